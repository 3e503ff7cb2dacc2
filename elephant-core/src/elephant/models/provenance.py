"""What a model was made from and trained on: the last pieces of work that changed it, kept beside it.

Entries are in ``.history/<name of the model>.json`` in the model's folder, the oldest first. The process that saves a
model writes its entry, and updates it after each epoch. Failing to write or read it only causes a warning, and the
model is saved and used all the same. Reading it does not need PyTorch.
"""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from elephant.config import kept_poolings, n_keep_axials
from elephant.io.atomic import replacing
from elephant.io.locks import give_back, take
from elephant.types import Shape, VoxelSize

_SAME = 0.01  # voxel sizes are given with few digits, and sizes of images are rounded
_Edge = Annotated[float, Field(gt=0)]


class TrainedWith(BaseModel):
    """The settings of a training on which the meaning of its network depends.

    Attributes
    ----------
    voxel_size
        Physical size of the stored voxels, (Z), Y, X.
    rescaling
        Size of the network's input image divided by that of the stored one, (Z), Y, X; 1 if it was not rescaled.
    n_keep_axials
        How many of the four poolings left Z unchanged; for flow as it was sent, -1 to 31.
    use_median
        Whether slices were shifted to the same median.
    c_ratio
        Of detection: semi-axes of a nucleus' centre divided by those of the nucleus.
    max_displacement
        Of flow: the displacement, in voxels, for which the output is 1.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    voxel_size: tuple[_Edge, ...]
    rescaling: tuple[_Edge, ...]
    n_keep_axials: int
    use_median: bool = False
    c_ratio: float | None = None
    max_displacement: float | None = None

    def input_size(self, shape: Shape) -> Shape | None:
        """Return the size, (Z), Y, X, to which an image has to be rescaled as in the training; None if it was not."""
        if all(_is_same(ratio, 1.0) for ratio in self.rescaling) or len(self.rescaling) != len(shape):
            return None
        return tuple(max(1, round(n * ratio)) for n, ratio in zip(shape, self.rescaling, strict=True))

    def differences(self, other: "TrainedWith") -> list[tuple[str, str, str]]:
        """Return the differences: the name in the client and the command line, the value here and the other one."""
        n = min(len(self.voxel_size), len(other.voxel_size))  # a network for planes may be used on slices
        found = []
        for name in ("voxel_size", "rescaling"):
            here, there = getattr(self, name)[-n:], getattr(other, name)[-n:]
            if not all(map(_is_same, here, there)):
                found.append((_NAMES[name], in_xyz(here), in_xyz(there)))
        if len(self.voxel_size) == len(other.voxel_size) == 3 and self.counted_axials != other.counted_axials:
            found.append(("n_keep_axials", str(self.n_keep_axials), str(other.n_keep_axials)))
        if self.use_median != other.use_median:
            found.append(("use_median", str(self.use_median).lower(), str(other.use_median).lower()))
        for name in ("c_ratio", "max_displacement"):
            here, there = getattr(self, name), getattr(other, name)
            if None not in (here, there) and not math.isclose(here, there, rel_tol=1e-6):
                found.append((name, f"{here:g}", f"{there:g}"))
        return found

    def words(self) -> list[str]:
        """Return the settings in words, for people."""
        is_rescaled = not all(_is_same(ratio, 1.0) for ratio in self.rescaling)
        return [
            f"voxel size {in_xyz(self.voxel_size)}",
            *([f"rescaled by {in_xyz(self.rescaling)}"] if is_rescaled else []),
            *([f"n_keep_axials {self.n_keep_axials}"] if len(self.voxel_size) == 3 else []),
            *(["use_median"] if self.use_median else []),
            *([] if self.c_ratio is None else [f"c_ratio {self.c_ratio:g}"]),
            *([] if self.max_displacement is None else [f"max_displacement {self.max_displacement:g}"]),
        ]

    @property
    def n_keep_axials_was_chosen(self) -> bool:
        """Whether `n_keep_axials` differs from the one that follows from the voxels of the network's input."""
        seen = [edge / ratio for edge, ratio in zip(self.voxel_size, self.rescaling, strict=True)]
        follows = n_keep_axials(VoxelSize(*seen), 3) if len(seen) == 3 else 0
        return self.model_copy(update={"n_keep_axials": follows}).counted_axials != self.counted_axials

    @property
    def counted_axials(self) -> int:
        """What makes a difference of `n_keep_axials`: the poolings clamp it, the norm of flow does not."""
        return kept_poolings(self.n_keep_axials) if self.max_displacement is None else self.n_keep_axials


class SeenScale(BaseModel):
    """The scale, chosen by the program, at which a model sees the images of a dataset.

    Attributes
    ----------
    rescaling
        Size of the network's input image divided by that of the stored one, (Z), Y, X.
    n_keep_axials
        How many of the four poolings leave Z unchanged at this scale.
    basis
        What it was chosen by: the ``spots`` that a person annotated, or the ``image`` alone.
    shape
        Size of the stored images for which it was chosen, (Z), Y, X; those of another size are other images.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    rescaling: tuple[Annotated[float, Field(ge=0.01, le=100)], ...] = Field(min_length=2, max_length=3)
    n_keep_axials: int = Field(0, ge=0, le=4)
    basis: Literal["image", "spots"] = "image"
    shape: tuple[int, ...] | None = None

    def input_size(self, shape: Shape) -> Shape | None:
        """Return the size, (Z), Y, X, to which an image is rescaled; None if it is seen as stored."""
        if len(self.rescaling) != len(shape):
            return None
        size = tuple(max(1, round(n * ratio)) for n, ratio in zip(shape, self.rescaling, strict=True))
        return None if size == tuple(shape) else size

    def words(self) -> str:
        """Return the scale in words, for people."""
        why = "the image" if self.basis == "image" else "annotated nuclei"
        is_rescaled = not all(_is_same(ratio, 1.0) for ratio in self.rescaling)
        seen = f"{in_xyz(self.rescaling)} times as large as stored" if is_rescaled else "as stored"
        return f"seen {seen} (chosen by {why})"


_NAMES = {"voxel_size": "voxel size", "rescaling": "rescaling"}


def in_xyz(values: Sequence[float]) -> str:
    """Format numbers in (Z), Y, X in the order X, Y(, Z)."""
    return f"{' x '.join(f'{value:g}' for value in reversed(values))} ({', '.join('XYZ'[: len(values)])})"


def _is_same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_SAME)


logger = logging.getLogger(__name__)

FOLDER = ".history"
N_KEPT = 50
N_SCALES = 50
_LARGEST_BYTES = 8 << 20
_LONGEST_TEXT = 1000
_WAIT_S, _LONGEST_WAIT_S = 0.002, 10.0  # a change takes milliseconds
_SAME_S = 2.0  # some file systems keep times no finer

Work = Literal[
    "intensities", "random", "pretrained", "address", "upload", "training", "live session", "import", "restored"
]


def _readable(value: Any) -> Any:
    """Shorten a text, and replace what JSON cannot hold: file names may be any bytes."""
    return value.encode(errors="replace").decode()[:_LONGEST_TEXT] if isinstance(value, str) else value


Moment = Annotated[float, Field(ge=0, lt=1e11)]
Text = Annotated[str, BeforeValidator(_readable)]


class PretrainedWith(BaseModel):
    """What the weights of a pretrained network mean, which sees voxels and knows no physical size.

    Attributes
    ----------
    radii
        Smallest and largest radius of the nuclei that it was trained on, voxels of Y and X of what it sees.
    c_ratio
        Of detection: semi-axes of a nucleus' centre divided by those of the nucleus.
    max_displacement
        Of flow: the displacement, in voxels of Y and X of what it sees, for which the output is 1; along Z divided by
        2^n_keep_axials.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    radii: tuple[_Edge, _Edge]
    c_ratio: _Edge | None = None
    max_displacement: _Edge | None = None


HeldOutFigure = Literal["f1", "distance_left"]


class RecordPosition(BaseModel):
    """A place in the record of what a dataset was taught; see :mod:`elephant.dataset.record`.

    Attributes
    ----------
    entry
        Number of the entry of a training.
    digest
        Digest of the record up to it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    entry: int
    digest: str


class HeldOutScore(BaseModel):
    """How good a model was on annotations that were held out of its training.

    Attributes
    ----------
    n_nuclei
        How many nuclei there were; of flow, how many links.
    f1, precision, recall
        Of detection; None where nothing was found and nothing is true.
    distance_left
        Of flow: from where nuclei are said to have been to where they were, over the distance without a flow: 0 is
        right, 1 is no flow.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    n_nuclei: int
    f1: float | None = None
    precision: float | None = None
    recall: float | None = None
    distance_left: float | None = None

    def __str__(self) -> str:
        return f"{self.words} on {self.what}"

    @property
    def figure(self) -> HeldOutFigure:
        """The figure by which epochs are compared."""
        return "f1" if self.distance_left is None else "distance_left"

    @property
    def value(self) -> float:
        """The value of that figure; an F1 is 0 where nothing counts."""
        return (self.f1 or 0.0) if self.distance_left is None else self.distance_left

    @property
    def goodness(self) -> float:
        """The value as a number that is higher for what is better; of flow to two digits, a difference worth naming."""
        return self.value if self.figure == "f1" else -round(self.value, 2)

    @property
    def words(self) -> str:
        """The value with the name of the figure, rounded so that it is not kinder than it is."""
        if self.distance_left is not None:
            return f"distance left {math.ceil(self.distance_left * 100 - 1e-6) / 100:.2f}"
        return "F1 -" if self.f1 is None else f"F1 {math.floor(self.f1 * 100 + 1e-6) / 100:.2f}"

    @property
    def what(self) -> str:
        """What the model was judged by."""
        one, more = ("nucleus", "nuclei") if self.figure == "f1" else ("link", "links")
        return f"{self.n_nuclei} held-out {one if self.n_nuclei == 1 else more}"


class ProvenanceEntry(BaseModel):
    """A piece of work that changed a model.

    Attributes
    ----------
    what
        The kind of work.
    began, saved
        When it began and when it saved the model last, seconds since 1970.
    changed
        Modification time of the model file after it was saved, seconds since 1970, by which a replaced file is noticed.
    source
        Where the weights came from: the name of a file, or an address without its secrets.
    dataset
        The dataset that was used.
    timepoints
        The timepoints that it was trained on, sorted.
    annotated, n_annotations
        The kind of annotations that it was trained on, and their number.
    epochs, steps
        The epochs and steps that are in the model file.
    lr, loss
        The last learning rate, and the mean loss of the last epoch.
    relative_lr
        Whether the learning rate of each layer was multiplied by the size of its weights.
    before
        The version that holds the previous weights; none if there was no model.
    follows
        Whether that version comes from the entry before this one, rather than from a file replaced by other means.
    within, within_epochs
        The version that was saved during the work, and its number of epochs.
    restored
        The version that was restored.
    trained_with
        The settings that a prediction should use, too.
    pretrained_with
        What the weights mean that it was started from, where they are those of the package elephant-models.
    scales
        The scale at which the model sees each dataset, by its name, where the program chose one.
    remark
        Why the model began as it did, where there was a choice.
    record
        Where the training is in the record of the dataset, from which it can be repeated.
    held_out
        How good the model in the file was on what was held out; none if nothing was.
    curve, curve_of
        The value of a figure of `held_out` after some of the epochs: their number, 0 before the first, and the value;
        and which figure that is.
    said
        What a person should know of how it went, in sentences: that it got no better, or worse.
    last, last_epochs, last_held_out
        The version that holds the last epoch, where an earlier one is in the file, its number of epochs, and how good
        it was.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    what: Work
    began: Moment = Field(default_factory=time.time)
    saved: Moment = 0.0
    changed: Moment = 0.0
    source: Text | None = None
    dataset: Text | None = None
    timepoints: tuple[int, ...] = ()
    annotated: Literal["spots", "links"] | None = None
    n_annotations: int = 0
    epochs: int = 0
    steps: int = 0
    lr: float | None = None
    relative_lr: bool = False
    loss: float | None = None
    before: int | None = None
    follows: bool = True
    within: int | None = None
    within_epochs: int = 0
    restored: int | None = None
    trained_with: TrainedWith | None = None
    pretrained_with: PretrainedWith | None = None
    scales: dict[Text, SeenScale] = {}
    remark: Text | None = None
    record: RecordPosition | None = None
    held_out: HeldOutScore | None = None
    curve: tuple[tuple[int, float], ...] = ()
    curve_of: HeldOutFigure = "f1"
    said: tuple[Text, ...] = ()
    last: int | None = None
    last_epochs: int = 0
    last_held_out: HeldOutScore | None = None


def read_provenance(path: Path) -> list[ProvenanceEntry]:
    """Return the entries of a model file, the oldest first; ignore damaged ones with a warning."""
    place = provenance_file(path)
    try:
        with place.open("rb") as file:
            content = from_json(file.read(_LARGEST_BYTES))
        found = list(content["entries"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, LookupError) as error:
        logger.warning("The provenance of the model %s cannot be read (%s): it is ignored", path.name, _short(error))
        return []
    return [entry for item in found[-N_KEPT:] if (entry := _entry(item, path.name)) is not None]


def record(path: Path, entry: ProvenanceEntry, level: int = logging.WARNING) -> bool:
    """Write, or replace, the entry of the work that has just saved the model.

    Returns whether it succeeded; raises nothing, but logs what is wrong.
    """
    try:
        with _changing(path):
            now = entry.model_copy(update={"saved": time.time(), "changed": path.stat().st_mtime})
            before = read_provenance(path)
            for same in (one for one in before if _is_same_work(one, entry)):
                now = _with_scales(now, same.scales)  # those that predictions have added meanwhile
            others = [other for other in before if not _is_same_work(other, entry)]
            _write(path, [*others, now][-N_KEPT:])
    except (OSError, ValueError) as error:
        said = "The provenance of the model %s cannot be written (%s); the model itself is saved"
        logger.log(level, said, path.name, _short(error))
        return False
    return True


def remember_scale(path: Path, entry: ProvenanceEntry, dataset: str, scale: SeenScale) -> bool:
    """Add the scale of a dataset to an entry of a model, which is unchanged else.

    Returns whether it succeeded; raises nothing, but warns of what is wrong.
    """
    try:
        with _changing(path):
            amended = [
                _with_scales(one, {**entry.scales, dataset: scale}) if _is_same_work(one, entry) else one
                for one in read_provenance(path)
            ]
            _write(path, amended)
    except (OSError, ValueError) as error:
        logger.warning("The scale at which %s sees %s cannot be kept (%s)", path.name, dataset, _short(error))
        return False
    return True


def _with_scales(entry: ProvenanceEntry, scales: Mapping[str, SeenScale]) -> ProvenanceEntry:
    others = [item for item in entry.scales.items() if item[0] not in scales]
    return entry.model_copy(update={"scales": dict([*others, *scales.items()][-N_SCALES:])})


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Let others wait who change the entries of a model: a prediction adds a scale while a training goes on."""
    lock = lock_file(path)
    lock.parent.mkdir(parents=True, exist_ok=True)
    until, handle = time.monotonic() + _LONGEST_WAIT_S, None
    try:
        while (handle := take(lock)) is None and time.monotonic() < until:
            time.sleep(_WAIT_S)
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        if handle is not None:
            give_back(handle)


def _write(path: Path, entries: Sequence[ProvenanceEntry]) -> None:
    content = {"entries": [kept.model_dump(exclude_defaults=True) for kept in entries]}
    with replacing(provenance_file(path)) as file:
        file.write(to_json(content, indent=1))


def _is_same_work(one: ProvenanceEntry, other: ProvenanceEntry) -> bool:
    return (one.began, one.what) == (other.began, other.what)


def is_current(path: Path, entries: Sequence[ProvenanceEntry]) -> bool:
    """Return whether the model file is the one that the last entry describes."""
    try:
        return bool(entries) and abs(path.stat().st_mtime - entries[-1].changed) < _SAME_S
    except OSError:  # there is none
        return False


def provenance_file(path: Path) -> Path:
    """Return the path of the entries of a model file."""
    return path.parent / FOLDER / f"{path.name}.json"


def lock_file(path: Path) -> Path:
    """Return the path of the lock on the entries of a model file."""
    return path.parent / FOLDER / f".{path.name}.lock"


def finite(value: float) -> float | None:
    """Return a number that an entry can hold."""
    return value if math.isfinite(value) else None


def without_secrets(url: str) -> str:
    """Return an address without user, password, query and fragment; none if it is not an address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _entry(item: Any, name: str) -> ProvenanceEntry | None:
    try:
        return ProvenanceEntry.model_validate(item)
    except ValidationError as error:
        logger.warning("An entry in the provenance of the model %s is damaged (%s): it is ignored", name, _short(error))
        return None


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
