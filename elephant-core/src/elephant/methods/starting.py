"""How a model begins: reset on request, or started because it is asked for and its file is not there."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from elephant.device import needs_memory
from elephant.errors import ModelFileError, NotFoundError
from elephant.io.atomic import explained_storage
from elephant.methods.work import START_REMEDY, ModelWork
from elephant.models.ensemble import Ensemble, ModelCache, Network, load_ensemble
from elephant.models.inspect import NetworkKind, nearest_model, shown_name
from elephant.models.lock import writing
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.provenance import ProvenanceEntry, read_provenance
from elephant.models.provenance_text import summary
from elephant.models.shipped import StartingWeights, shipped_weights
from elephant.models.unet import FlowNet
from elephant.progress import CancelToken

logger = logging.getLogger(__name__)

Started = tuple[ProvenanceEntry, Ensemble]


@dataclass(frozen=True, slots=True)
class ModelStart:
    """What is needed to begin a model.

    Attributes
    ----------
    network, n_dims, n_keep_axials
        The architecture.
    file
        Name of the published pretrained file; None where there is none of this kind.
    kind
        What such a model is called: ``flow model for 2D``.
    untrained
        Makes a model without any trained weights; is given the reason where trained weights were wanted.
    judged
        Judges the shipped weights on the dataset, and returns them or what is better; by default they are taken.
    """

    network: Network
    n_dims: int
    n_keep_axials: int
    file: str | None
    kind: str
    untrained: Callable[[str | None], Started]
    judged: Callable[[Started], Started] = lambda started: started

    def load(self, weights: StartingWeights) -> Started:
        """Load weights from a model file."""
        return weights.entry, load_ensemble(weights.path, self.network, self.n_dims, self.n_keep_axials)

    def shipped(self) -> StartingWeights | None:
        """Return the shipped weights; None where there are none."""
        return shipped_weights(NetworkKind("flow" if self.network is FlowNet else "detection", self.n_dims))

    @property
    def no_file(self) -> str:
        """Why there is no pretrained model."""
        return f"there is no pretrained {self.kind}"


@needs_memory("the start of the model", START_REMEDY)
def reset_model(
    path: Path,
    start: ModelStart,
    source: ModelSource,
    pretrained: Pretrained,
    model_cache: ModelCache,
    cancel: CancelToken,
) -> None:
    """Start a model anew; the file is replaced whole at the end, or stays as it was.

    Parameters
    ----------
    path
        The model file.
    start
        The architecture, and how a model begins that has no trained weights.
    source
        Where the weights come from; where it names none, or the pretrained model of a kind of which there is none, the
        model starts untrained.
    pretrained
        The pretrained models.
    model_cache
        Where models are kept between pieces of work.

    Raises
    ------
    elephant.errors.NotFoundError, elephant.errors.InvalidInputError, elephant.errors.ModelFileError
        The weights asked for cannot be had, or are of another network.
    elephant.errors.InUseError
        Somebody else is changing the model.
    elephant.errors.Cancelled
        The work was ended.
    """
    with writing(path, "a reset"):
        entry, model = _requested(start, source, pretrained, cancel)
        cancel.check()
        model.save(path, entry)
        model_cache.forget(path)
        logger.info("The model %s was %s", path.name, summary(entry))


def _requested(start: ModelStart, source: ModelSource, pretrained: Pretrained, cancel: CancelToken) -> Started:
    if source.is_empty:
        return start.untrained(None if start.file else _none_wanted(start))
    if source.is_pretrained:
        try:
            return _from_pretrained(start, pretrained, NotFoundError)
        except NotFoundError:
            if start.file is not None:
                raise
            return start.untrained(start.no_file)
    with source.weights(pretrained, cancel) as weights:
        return start.load(weights)


def _none_wanted(start: ModelStart) -> str:
    return start.no_file if start.shipped() is None else "no pretrained weights were asked for"


def _from_pretrained(
    start: ModelStart, pretrained: Pretrained, *forgiven: type[NotFoundError | ModelFileError]
) -> Started:
    """Load the published weights: from the workspace, or from their address; or else the shipped ones.

    Parameters
    ----------
    forgiven
        Errors of the published weights after which the shipped ones are tried.
    """
    try:
        if start.file is None:
            raise NotFoundError(start.no_file)
        source = ProvenanceEntry(what="pretrained", source=start.file)
        return start.load(StartingWeights(pretrained.get(start.file), source))
    except forgiven as error:
        shipped = start.shipped()
        if shipped is None:
            raise
        if isinstance(error, ModelFileError) or (pretrained.address and start.file):
            logger.warning("%s. Using %s instead.", error, shipped.entry.source)
        return start.judged(start.load(shipped))


@needs_memory("the start of the model", START_REMEDY)
def ensure_model(path: Path, start: ModelStart, pretrained: Pretrained) -> None:
    """Start a model where its file is not there yet: pretrained, or else untrained.

    That is a warning, since the name of another model may have been misspelt.
    """
    if path.is_file():
        return
    try:
        entry, model = _from_pretrained(start, pretrained, NotFoundError, ModelFileError)
    except (NotFoundError, ModelFileError) as error:
        entry, model = start.untrained(str(error))
    if not path.is_file():  # somebody else's, who was faster, stays
        model.save(path, entry)
        warn_of_start(path, entry, pretrained.folder.parent)


def start_unnamed(path: Path, start: ModelStart) -> None:
    """Start a model without a name of its own where its file is not there: from shipped weights, or else untrained."""
    if path.is_file():
        return
    weights = start.shipped()
    entry, model = start.untrained(None) if weights is None else start.load(weights)
    model.save(path, entry)
    logger.info("The new model was %s", summary(entry))


def start_model(work: ModelWork, start: ModelStart, source: ModelSource | None = None, *, anew: bool = False) -> None:
    """Start a model where its file is not there, or in any case; the pretrained models are in a folder beside it.

    Parameters
    ----------
    source
        Where the weights come from; by default the best that there is, as for :func:`ensure_model`.
    anew
        Whether a model that is there is started anew; needs a source.

    Raises
    ------
    elephant.errors.NotFoundError, elephant.errors.ModelFileError, elephant.errors.InUseError
        As for :func:`reset_model`.
    """
    path, pretrained = work.model_path, Pretrained(work.model_path.parent / "pretrained")
    if source is None:
        ensure_model(path, start, pretrained)
    elif anew or not path.exists():
        was_there = path.exists()
        reset_model(path, start, source, pretrained, work.model_cache, work.cancel)
        provenance = read_provenance(path)
        if not was_there and not anew and provenance:
            warn_of_start(path, provenance[-1], path.parent)


def warn_of_start(path: Path, entry: ProvenanceEntry, models: Path) -> None:
    """Say that a model's file was not there, from what it was started, and which model was perhaps meant.

    Parameters
    ----------
    path
        The model file.
    entry
        What its provenance says of this start.
    models
        Folder of all models.
    """
    other = nearest_model(path, models)
    hint = "" if other is None else f". There is a model {other}: if you meant that one, correct the name"
    logger.warning(
        "%s did not exist: %s%s", shown_name(path, models), summary(entry).replace("started", "started anew", 1), hint
    )


FOLDER = ".starting"
LOOK_INTERVAL_S = 0.5


@contextmanager
def one_starter(models: Path, path: Path, cancel: CancelToken) -> Iterator[None]:
    """Keep others waiting while the block starts a model; nobody waits for one that is there.

    Else each would start one of its own, and the first predictions would come from different models. For jobs that
    nothing holds: a training is held while such jobs work, and would keep them waiting in turn.

    Parameters
    ----------
    models
        Folder of all models.
    path
        The model's file.
    cancel
        Ends the waiting.

    Raises
    ------
    elephant.errors.StorageError
        Nothing can be written beside the models.
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    if path.is_file():
        yield
        return
    name = hashlib.sha256(bytes(path)).hexdigest()[:32]
    with explained_storage("the start of a model", models, 0):
        (models / FOLDER).mkdir(exist_ok=True)
        lock = FileLock(models / FOLDER / f"{name}.lock")
        _acquire(lock, cancel)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, cancel: CancelToken) -> None:
    while True:
        cancel.check()
        try:
            lock.acquire(timeout=LOOK_INTERVAL_S)
        except Timeout:
            continue
        return
