"""What a model was made from and trained on: the last pieces of work that changed it, kept beside it.

They lie in ``.history/<name of the model>.json`` in the model's own folder, the oldest first. Whoever saves a model
writes its entry, and again after each epoch. It is a remark about the model and no part of it: where it cannot be
written or read, that is a warning, and the model is saved and used all the same. This is read without PyTorch.
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
    """Shorten a text, and replace what no JSON can hold: file names may be any bytes."""
    return value.encode(errors="replace").decode()[:_LONGEST_TEXT] if isinstance(value, str) else value


Moment = Annotated[float, Field(ge=0, lt=1e11)]
Text = Annotated[str, BeforeValidator(_readable)]


class ProvenanceEntry(BaseModel):
    """A piece of work that changed a model.

    Attributes
    ----------
    what
        Which kind of work it was.
    began, saved
        When it began and when it saved the model last, seconds since 1970.
    changed
        What the model's file said then of when it was changed, seconds since 1970: another file says something else.
    source
        Where the weights came from: the name of a file, or an address without its secrets.
    dataset
        The dataset that it looked at.
    timepoints
        Those that it was trained on, sorted.
    annotated, n_annotations
        What it was trained on, and how many of them.
    epochs, steps
        Those that are in the model's file.
    lr, loss
        The last learning rate, and the mean loss of the last epoch.
    before
        The generation that holds what the model was before; none where there was no model.
    follows
        Whether that is what the entry before this one tells of, rather than a file that came by other ways.
    within, within_epochs
        The generation that was kept while it went on, and the epochs that are in it.
    restored
        The generation that the model was set back to.
    trained_with
        What a prediction should be made with, too.
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
    """Return the entries of a model file, the oldest first; what is damaged is left out, with a warning."""
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
    """Write the entry of work that has just saved the model; where it has one already, that is replaced.

    Returns whether it could; raises nothing, what is wrong is in the log.
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
    """Return whether the model's file is the one that the last entry tells of."""
    try:
        return bool(entries) and abs(path.stat().st_mtime - entries[-1].changed) < _SAME_S
    except OSError:  # there is none
        return False


def provenance_file(path: Path) -> Path:
    """Return where the entries of a model file are."""
    return path.parent / FOLDER / f"{path.name}.json"


def finite(value: float) -> float | None:
    """Return a number that an entry can hold."""
    return value if math.isfinite(value) else None


def without_secrets(url: str) -> str:
    """Return an address without user, password, query and fragment; none of what is no address."""
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
