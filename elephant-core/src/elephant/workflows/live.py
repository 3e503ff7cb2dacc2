"""A live session: the model learns while a person annotates."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from elephant.config import DetectionTrainingParams
from elephant.crops.sample import LabelledVolume, TimepointCache
from elephant.dataset import Dataset
from elephant.device import needs_memory
from elephant.images import prepare
from elephant.models.provenance import ProvenanceEntry
from elephant.training.loop import TrainingControl
from elephant.training.networks import DetectionTrainer
from elephant.types import FloatArray, Spot
from elephant.workflows.compatibility import of_detection, warn_of_differences
from elephant.workflows.detection import (
    DetectionWork,
    PreparedImage,
    check_training,
    labelled_volume,
    load_model,
    positions_of,
)
from elephant.workflows.labels import by_timepoint, update_labels
from elephant.workflows.training_run import in_training
from elephant.workflows.work import DEFAULT_CACHE_BYTES, TRAINING_REMEDY, changes_model

logger = logging.getLogger(__name__)

Positions = Mapping[int, FloatArray]


class LiveUpdates(Protocol):
    """Where a live session learns that labels were written."""

    def wait(self) -> Positions:
        """Block, without load, until labels were written since the last call.

        Returns
        -------
        mapping
            For every timepoint with new labels, in the order in which they were written last, the physical positions
            of its annotated spots, (N, 3), Z, Y, X.

        Raises
        ------
        elephant.errors.Cancelled
            The session was ended.
        """


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What a live session needs besides the work and its parameters.

    Attributes
    ----------
    control
        Says when the session ends, and the settings of the moment.
    updates
        Says where labels were written.
    on_saved
        Called after each time that the model was saved.
    cache_bytes
        Limit for the prepared timepoints that are kept in memory.
    """

    control: TrainingControl
    updates: LiveUpdates
    on_saved: Callable[[], None]
    cache_bytes: int = DEFAULT_CACHE_BYTES


@changes_model("a live session")
@needs_memory("the live training", TRAINING_REMEDY)
def train_live(
    work: DetectionWork, spots: Sequence[Spot], params: DetectionTrainingParams, session: LiveSession
) -> None:
    """Train one epoch on each timepoint whose labels are written, until the session is ended.

    The spots given, if any, are labelled first and make the first epoch. Each epoch reads the newest labels of its
    timepoint; the model is saved after it.

    Raises
    ------
    InvalidInputError
        A spot is wrong.
    elephant.errors.Cancelled
        The session was ended, as every one is; the file holds the last finished epoch.
    """
    dataset = work.dataset
    check_training(work, spots, params, may_wait=True)
    model = load_model(work, params.n_keep_axials)
    update_labels(dataset, spots, params.labels, work.reporter, work.cancel)
    groups = by_timepoint(spots, dataset.n_timepoints)
    pending: Positions = {t: positions_of(group) for t, group in groups.items()}
    volumes = _NewestLabels(dataset, params, session.cache_bytes)
    trainer = DetectionTrainer(model, volumes, params, dataset.n_dims)
    epoch = 0
    used = of_detection(params, dataset.shape)
    warn_of_differences(work.model_path, used, "this live session")
    entry = ProvenanceEntry(what="live session", dataset=dataset.name, annotated="spots", trained_with=used)
    with in_training(work, model, session.control, entry, session.on_saved) as training_run:
        while True:
            for t, positions in pending.items():
                if not volumes.renew(t, positions):
                    logger.info("Live training: timepoint %d has no labels, nothing to learn", t)
                    continue
                epoch += 1
                training_run.trains_on({t: len(positions)})
                trainer.run_epoch([t], training_run, training_run, epoch)
                training_run.save()
            pending = session.updates.wait()


class _NewestLabels:
    """The labelled volume of the epoch: the image is kept in memory, the labels are read when they were written."""

    def __init__(self, dataset: Dataset, params: DetectionTrainingParams, cache_bytes: int) -> None:
        self._dataset = dataset
        self._params = params
        self._images = TimepointCache(self._prepare, cache_bytes)
        self._current: dict[int, LabelledVolume] = {}

    def renew(self, t: int, positions: FloatArray) -> bool:
        """Take the newest labels of a timepoint; False where it has none."""
        volume = labelled_volume(self._dataset, t, positions, self._images(t).image, self._params)
        self._current = {t: volume}
        return bool(volume.labels.any())

    def __call__(self, t: int) -> LabelledVolume:
        return self._current[t]

    def _prepare(self, t: int) -> PreparedImage:
        return PreparedImage(prepare(self._dataset.read_image(t), self._params.image))
