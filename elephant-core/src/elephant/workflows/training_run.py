"""The course of a training: what it has saved, and what the model's history says of it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import fmean

from elephant.models.ensemble import Ensemble
from elephant.models.provenance import ProvenanceEntry, finite
from elephant.models.versions import ModelFile
from elephant.training.loop import LiveSettings, TrainingControl
from elephant.workflows.work import ModelWork


class TrainingRun:
    """A training on its way: passes on what goes between it and who started it, and saves the model.

    It is a reporter and a control, so that it sees the losses and the settings that the history tells of.

    Parameters
    ----------
    work
        The model's file, and who hears how far it is.
    model
        What is trained.
    control
        Who may end it.
    entry
        What is known of it before it begins.
    on_saved
        Called after each time that the model was saved.
    """

    def __init__(
        self,
        work: ModelWork,
        model: Ensemble,
        control: TrainingControl,
        entry: ProvenanceEntry,
        on_saved: Callable[[], None],
    ) -> None:
        self._reporter, self._model, self._control, self._on_saved = work.reporter, model, control, on_saved
        self._file = ModelFile(work.model_path)
        self._dataset = work.dataset
        self._entry = entry
        self._annotations: dict[int, int] = {}
        self._losses: list[float] = []
        self._lr: float | None = None

    def trains_on(self, annotations: Mapping[int, int]) -> None:
        """Take note of the timepoints of the epochs that come, with the number of their annotations."""
        self._annotations.update(annotations)

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Pass on how far it is."""
        if "loss" in values:
            self._losses.append(values["loss"])
        self._reporter.progress(stage, done, total, **values)

    def check(self) -> None:
        """Return where it may go on."""
        self._control.check()

    def settings(self) -> LiveSettings:
        """Return the settings as they are now."""
        settings = self._control.settings()
        self._lr = settings.lr
        return settings

    def save(self) -> None:
        """Save the model after an epoch, and say so.

        Raises
        ------
        elephant.errors.DatasetError
            The dataset was replaced meanwhile; nothing is saved.
        """
        self._dataset.check_not_replaced()
        self._entry = self._entry.model_copy(
            update={
                "timepoints": tuple(sorted(self._annotations)),
                "n_annotations": sum(self._annotations.values()),
                "epochs": self._entry.epochs + 1,
                "steps": self._entry.steps + len(self._losses),
                "lr": self._lr,
                "loss": finite(fmean(self._losses)) if self._losses else None,
            }
        )
        self._losses.clear()
        self._file.save(self._model.state_dicts(), self._entry)
        self._on_saved()


@contextmanager
def in_training(
    work: ModelWork, model: Ensemble, control: TrainingControl, entry: ProvenanceEntry, on_saved: Callable[[], None]
) -> Iterator[TrainingRun]:
    """Give the course of a training of a model of the shelf.

    What the file held before the first time that it is saved is kept as a generation.

    The shelf lets go of it after the block: an epoch that was not finished has changed the weights in memory, but not
    the file.
    """
    try:
        yield TrainingRun(work, model, control, entry, on_saved)
    finally:
        work.model_cache.forget(work.model_path)
