"""What a model was made from and trained on: the last pieces of work that changed it, kept beside it.

Entries are in ``.history/<name of the model>.json`` in the model's folder, the oldest first. The process that saves a
model writes its entry, and updates it after each epoch. Failing to write or read it only causes a warning, and the
model is saved and used all the same. Reading it does not need PyTorch.
"""

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from elephant.io.atomic import replacing
from elephant.models.trained_with import TrainedWith

logger = logging.getLogger(__name__)

FOLDER = ".history"
N_KEPT = 50
_LARGEST_BYTES = 8 << 20
_LONGEST_TEXT = 1000
_SAME_S = 2.0  # some file systems keep times no finer

Work = Literal[
    "intensities", "random", "pretrained", "address", "upload", "training", "live session", "import", "restored"
]


def _readable(value: Any) -> Any:
    """Shorten a text, and replace what JSON cannot hold: file names may be any bytes."""
    return value.encode(errors="replace").decode()[:_LONGEST_TEXT] if isinstance(value, str) else value


Moment = Annotated[float, Field(ge=0, lt=1e11)]
Text = Annotated[str, BeforeValidator(_readable)]


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
    loss: float | None = None
    before: int | None = None
    follows: bool = True
    within: int | None = None
    within_epochs: int = 0
    restored: int | None = None
    trained_with: TrainedWith | None = None


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
        now = entry.model_copy(update={"saved": time.time(), "changed": path.stat().st_mtime})
        others = [other for other in read_provenance(path) if (other.began, other.what) != (entry.began, entry.what)]
        content = {"entries": [kept.model_dump(exclude_defaults=True) for kept in [*others, now][-N_KEPT:]]}
        with replacing(provenance_file(path)) as file:
            file.write(to_json(content, indent=1))
    except (OSError, ValueError) as error:
        said = "The provenance of the model %s cannot be written (%s); the model itself is saved"
        logger.log(level, said, path.name, _short(error))
        return False
    return True


def is_told(path: Path, entries: Sequence[ProvenanceEntry]) -> bool:
    """Return whether the model file is the one that the last entry describes."""
    try:
        return bool(entries) and abs(path.stat().st_mtime - entries[-1].changed) < _SAME_S
    except OSError:  # there is none
        return False


def provenance_file(path: Path) -> Path:
    """Return the path of the entries of a model file."""
    return path.parent / FOLDER / f"{path.name}.json"


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
