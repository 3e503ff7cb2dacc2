"""A model's provenance in words: which work is part of its current weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from elephant.models.provenance import ProvenanceEntry, SeenScale, TrainedWith, Work, is_current, read_provenance

# Of what the model held before them, nothing is left.
STARTS: frozenset[Work] = frozenset({"intensities", "random", "pretrained", "address", "upload", "import"})
TRAINED_STARTS: frozenset[Work] = frozenset({"pretrained", "address", "upload", "import"})


@dataclass(frozen=True, slots=True)
class ModelProvenance:
    """The known provenance of a model.

    Attributes
    ----------
    entries
        Its provenance, the oldest first.
    is_current
        Whether the model file is the one that the last entry describes.
    """

    entries: Sequence[ProvenanceEntry]
    is_current: bool

    def held(self, version: int | None = None) -> ProvenanceEntry | None:
        """Return the work that produced the model, or a version of it; none if unknown."""
        if version is None and not self.is_current:
            return None
        made = lineage(self.entries, version)
        return made[-1] if made else None

    @property
    def began_trained(self) -> bool:
        """Whether the model is known to have begun with trained weights."""
        made = lineage(self.entries) if self.is_current else []
        return bool(made) and made[0].what in TRAINED_STARTS

    def trained_with(self) -> TrainedWith | None:
        """Return the settings of the model's last training; none if unknown, or if it was not trained."""
        made = lineage(self.entries) if self.is_current else []
        return next((entry.trained_with for entry in reversed(made) if entry.trained_with is not None), None)

    def scaled(self) -> ProvenanceEntry | None:
        """Return the work that holds the scales at which the model sees datasets; none if the program chooses none.

        There are none any more once the model was trained at a scale that a person chose.
        """
        made = lineage(self.entries) if self.is_current else []
        last = next((one for one in reversed(made) if one.scales or one.trained_with or one.pretrained_with), None)
        return last if last is not None and (last.scales or last.pretrained_with) else None

    def scales(self) -> Mapping[str, SeenScale]:
        """Return the scale at which the model sees each dataset, where the program chose one."""
        entry = self.scaled()
        return {} if entry is None else entry.scales

    def is_in(self, entry: ProvenanceEntry) -> bool:
        """Return whether a piece of work is part of the current model, as far as is known."""
        return self.is_current and any(one.began == entry.began for one in lineage(self.entries))


def provenance_of(path: Path) -> ModelProvenance:
    """Return the provenance of a model file; empty if it is missing or damaged."""
    entries = read_provenance(path)
    return ModelProvenance(entries, is_current(path, entries))


def lineage(entries: Sequence[ProvenanceEntry], version: int | None = None) -> list[ProvenanceEntry]:
    """Return the work that produced a version, or the current model; the oldest first.

    It begins with the start of the model, or with the first known work. Work that was undone by a restore is not
    included.
    """
    until = list(entries) if version is None else _until(entries, version)
    if not until:
        return []
    last = until.pop()
    if last.what == "restored":
        return [] if last.restored is None else lineage(until, last.restored)
    return [last] if last.what in STARTS or not last.follows else [*lineage(until), last]


def summary(entry: ProvenanceEntry) -> str:
    """Summarise the work in a line."""
    if entry.what not in ("training", "live session"):
        return _of_start(entry)
    words = "trained on" if entry.what == "training" else "live session on"
    facts = (
        _timepoints(entry.timepoints),
        _counted(entry.n_annotations, (entry.annotated or "spots").removesuffix("s")),
        _counted(entry.epochs, "epoch"),
        "" if entry.loss is None else f"loss {entry.loss:.3g}",
        "" if entry.held_out is None else str(entry.held_out),
    )
    return f"{words} {_dataset(entry)}: {' · '.join(filter(None, facts))}"


def details(entry: ProvenanceEntry) -> str:
    """Return the details that the summary omits; may be empty."""
    facts = (
        _counted(entry.steps, "step"),
        "" if entry.lr is None else f"learning rate {entry.lr:g}{' (relative)' if entry.relative_lr else ''}",
        *([] if entry.trained_with is None else entry.trained_with.words()),
        *(f"{name}: {scale.words()}" for name, scale in entry.scales.items()),
        entry.remark or "",
        "" if entry.before is None else f"previous version: {entry.before}",
        "" if entry.within is None else f"saved during it: version {entry.within}",
        "" if entry.last is None else _last(entry),
    )
    return " · ".join(filter(None, facts))


def _until(entries: Sequence[ProvenanceEntry], version: int) -> list[ProvenanceEntry]:
    """Return the entries up to a version; the last one may be shortened."""
    for i in reversed(range(len(entries))):
        entry = entries[i]
        if entry.within == version:
            return [*entries[:i], entry.model_copy(update={"epochs": entry.within_epochs, "steps": 0, "loss": None})]
        if entry.last == version:
            update = {"epochs": entry.last_epochs, "steps": 0, "loss": None, "held_out": entry.last_held_out}
            return [*entries[:i], entry.model_copy(update=update)]
        if entry.before == version:
            return list(entries[:i]) if entry.follows else []
    return []


def _last(entry: ProvenanceEntry) -> str:
    score = "" if entry.last_held_out is None else f", {entry.last_held_out}"
    return f"last epoch, {entry.last_epochs}: version {entry.last}{score}"


def _of_start(entry: ProvenanceEntry) -> str:
    words = {
        "intensities": f"started from the intensities of {_dataset(entry)}",
        "random": "started from random weights",
        "pretrained": f"started from the pretrained model {entry.source}",
        "address": f"started from {entry.source}",
        "upload": "started from an uploaded file",
        "import": f"imported from {entry.source}",
        "restored": f"restored to version {entry.restored}",
    }
    return words[entry.what]


def _dataset(entry: ProvenanceEntry) -> str:
    return entry.dataset or "a dataset"


def _timepoints(timepoints: Sequence[int]) -> str:
    """Return sorted timepoints as ranges: 0-4, 7."""
    spans: list[list[int]] = []
    for t in timepoints:
        if spans and t == spans[-1][1] + 1:
            spans[-1][1] = t
        else:
            spans.append([t, t])
    shown = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans[:12])
    return f"timepoint{'' if len(timepoints) == 1 else 's'} {shown}{' …' if len(spans) > 12 else ''}" if spans else ""


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}" if n else ""
