"""The entries of a record, as they are in its lines."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from typing_extensions import override

from elephant.dataset.record.packing import RowKind

FORMAT = "elephant annotations"
VERSION = 1
MOST_ANNOTATIONS = 1_000_000  # of a timepoint, as in a request
MOST_IN_LINE = 2048  # annotations: no line is longer than half of LONGEST_LINE
MOST_RUNS = 1000
LONGEST_LINE = 1 << 19
_LONGEST_TEXT = 300


def _readable(value: Any) -> Any:
    return value.encode(errors="replace").decode()[:_LONGEST_TEXT] if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_readable)]
Number = Annotated[int, Field(ge=0, lt=1 << 53)]
MethodName = Literal["detection", "flow"]


class Entry(BaseModel):
    """What each entry says.

    Attributes
    ----------
    entry
        Its number, counted from 0 without gaps.
    what
        Its kind.
    when
        When it was written, seconds since 1970.
    who
        The person, where one is known.
    request
        What was asked for, such as ``seg/update`` or ``elephant train``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    entry: Number
    what: str
    when: Annotated[float, Field(ge=0, lt=1e11)]
    who: Text | None = None
    request: Text | None = None


class BeginEntry(Entry):
    """The first entry.

    Attributes
    ----------
    format, version
        What the file is.
    labelled_before
        The timepoints that had labels before there was a record, of each method.
    """

    what: Literal["begin"]
    format: Literal["elephant annotations"]
    version: int
    labelled_before: dict[MethodName, list[Number]] = Field(default_factory=dict)


class PartEntry(Entry):
    """Annotations that did not fit into the line of their entry, which follows and names it.

    Attributes
    ----------
    n, packed
        How many, and their text; see :mod:`elephant.dataset.record.packing`.
    """

    what: Literal["part"]
    n: Annotated[int, Field(ge=1, le=MOST_IN_LINE)]
    packed: str


class TaughtEntry(Entry):
    """The labels of a timepoint changed as annotations say.

    Attributes
    ----------
    method
        Whose labels.
    t
        The timepoint; of flow the earlier one.
    params
        How the annotations became labels: :class:`elephant.config.LabelParams`, or
        :class:`elephant.config.DisplacementParams` of flow.
    shape
        Size of the image, (Z), Y, X.
    over
        Whether they were painted over the labels that were there, instead of replacing them.
    n, n_labelling
        How many annotations there are, and how many of them have a tag, without which a spot labels nothing.
    base, kept
        The entry before of the same timepoint and method, and which of its annotations are among these: runs of the
        first there, the end there, and the place of the first here.
    parts
        The entries right before this one that hold the first of those that are not kept.
    n_packed, packed
        The others, in their order.
    checksum
        CRC-32 of the labels in C order.
    """

    method: MethodName
    t: Number
    params: dict[str, Any]
    shape: Annotated[tuple[Number, ...], Field(min_length=2, max_length=3)]
    over: bool = False
    n: Annotated[int, Field(ge=0, le=MOST_ANNOTATIONS)]
    n_labelling: Number | None = None
    base: Number | None = None
    kept: Annotated[list[tuple[Number, Number, Number]], Field(max_length=MOST_RUNS)] = Field(default_factory=list)
    parts: list[Number] = Field(default_factory=list)
    n_packed: Annotated[int, Field(ge=0, le=MOST_IN_LINE)] = 0
    packed: str = ""
    checksum: Number

    @property
    def rows(self) -> RowKind:
        """What is known of each annotation."""
        return self.method


class LabelsEntry(TaughtEntry):
    """The labels of a timepoint were replaced by those of annotations."""

    what: Literal["labels"]


class AnswersEntry(TaughtEntry):
    """A person said of places of a review whether a nucleus is there; their labels were painted over the others.

    Each answer is a spot: its tag says what was listed there and what the person said.

    Attributes
    ----------
    model
        File name of the model that was reviewed; empty where it is not known.
    """

    what: Literal["answers"]
    method: Literal["detection"]
    over: Literal[True] = True
    model: Text = ""

    @property
    @override
    def rows(self) -> RowKind:
        """An answer comes with what the model said of its place."""
        return "answers"


class ClearedEntry(Entry):
    """The labels of all timepoints were removed.

    Attributes
    ----------
    method
        Whose; None for all, since the dataset was made again.
    """

    what: Literal["cleared"]
    method: MethodName | None = None


class WrittenEntry(Entry):
    """A program wrote the labels of a timepoint itself: they come from no annotations.

    Attributes
    ----------
    method, t, checksum
        As for :class:`LabelsEntry`.
    """

    what: Literal["written"]
    method: MethodName
    t: Number
    checksum: Number


class TrainingEntry(Entry):
    """A training began.

    Attributes
    ----------
    kind
        ``training``, or ``live session``.
    method, params
        What was trained, with all parameters; the seed is among them.
    labels
        The entries of the labels that it wrote itself.
    model
        The model's file name.
    weights
        Digest of the weights that it began with.
    began_as
        The provenance of these weights: ``intensities``, ``random``, ``pretrained`` and others.
    software
        What else decides the weights: versions, the device, the number of threads.
    """

    what: Literal["training"]
    kind: Literal["training", "live session"]
    method: MethodName
    params: dict[str, Any]
    labels: list[Number] = Field(default_factory=list)
    model: Text = ""
    weights: Text | None = None
    began_as: Text | None = None
    software: dict[str, Text] = Field(default_factory=dict)


class EpochEntry(Entry):
    """An epoch of a live session, or one within which settings were changed.

    Attributes
    ----------
    training
        The entry of its training.
    epoch
        Its number, from 1.
    timepoints, labels
        What was trained on, and the entries of its labels.
    settings
        The settings that changed: how often they had been asked for in the epoch, the learning rate, and the number of
        crops per timepoint.
    """

    what: Literal["epoch"]
    training: Number
    epoch: Number
    timepoints: list[Number] = Field(default_factory=list)
    labels: list[Number] = Field(default_factory=list)
    settings: list[tuple[Number, float, Number]] = Field(default_factory=list)


class TrainedEntry(Entry):
    """A training ended.

    Attributes
    ----------
    training
        The entry of its beginning.
    epochs
        How many are in the model file.
    weights
        Digest of the weights in the model file.
    """

    what: Literal["trained"]
    training: Number
    epochs: Number
    weights: Text | None = None


AnyEntry = (
    BeginEntry
    | PartEntry
    | LabelsEntry
    | AnswersEntry
    | ClearedEntry
    | WrittenEntry
    | TrainingEntry
    | EpochEntry
    | TrainedEntry
)
ENTRY: TypeAdapter[AnyEntry] = TypeAdapter(Annotated[AnyEntry, Field(discriminator="what")])
