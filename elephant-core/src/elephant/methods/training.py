"""Trainings: prepared and checked once, then run, or kept going while a person annotates."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Protocol

from elephant.device import needs_memory
from elephant.errors import Cancelled, DivergedError, InvalidInputError, MemoryLimitError
from elephant.methods.base import A, AnyMethod, Method, P
from elephant.methods.best_epoch import BestEpoch
from elephant.methods.compatibility import warn_of_differences
from elephant.methods.judging import AnyJudge
from elephant.methods.lesson import Lesson
from elephant.methods.recording import RecordedTraining, with_seed
from elephant.methods.scale import still_valid
from elephant.methods.starting import ModelStart
from elephant.methods.work import TRAINING_REMEDY, ModelWork, check_batches, check_images
from elephant.models.ensemble import Ensemble
from elephant.models.lock import writing
from elephant.models.provenance import ProvenanceEntry, finite
from elephant.models.provenance_text import provenance_of
from elephant.models.versions import ModelFile
from elephant.training.control import LiveSettings, TrainingControl
from elephant.training.scalars import JUDGEMENT
from elephant.types import FloatArray, Link, Spot

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
            of its annotations, (N, 3), Z, Y, X.

        Raises
        ------
        elephant.errors.Cancelled
            The session was ended.
        """


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A training that was checked and can be run.

    Attributes
    ----------
    method
        What is trained.
    work
        The dataset and the model.
    annotations
        What a person has annotated.
    params
        Parameters of the training.
    """

    method: AnyMethod
    work: ModelWork
    annotations: Sequence[Spot] | Sequence[Link]
    params: Any

    def start(self) -> ModelStart:
        """Return how the model begins where its file is not there yet."""
        return self.method.start(self.params, self.work)

    def at_scale(self) -> "TrainingRun":
        """Return the training at the scale at which its model, which is there by now, sees the dataset."""
        return replace(self, params=self.method.training_at_scale(self.params, self.work, self.annotations))

    def load(self) -> Ensemble:
        """Return the model.

        Raises
        ------
        elephant.errors.NotFoundError, elephant.errors.ModelFileError
            Its file is not there, or holds something else.
        """
        work, method = self.work, self.method
        keep = method.n_keep_axials(self.params)
        model = work.model_cache.get(work.model_path, method.network, work.dataset.n_dims, keep)
        model.began_trained = provenance_of(work.model_path).began_trained
        return model

    @needs_memory("the training", TRAINING_REMEDY)
    def run(self, control: TrainingControl, on_saved: Callable[[], None]) -> None:
        """Label the timepoints of the annotations, then train the model on them; it is saved after each epoch.

        Where a part of the annotations is held out, the epoch that did best on it is in the file at the end, and the
        last one is a version beside it. Timepoints that were labelled before are replayed.

        Parameters
        ----------
        control
            Ends the training, and knows the settings of the moment.
        on_saved
            Called each time that the model was saved.

        Raises
        ------
        InvalidInputError
            No voxel is labelled.
        elephant.errors.InUseError
            Somebody else is changing the model.
        elephant.errors.DivergedError
            The loss exploded; the file holds the best epoch, or the last good one.
        elephant.errors.Cancelled
            The training was ended; the file holds the best of the finished epochs, where that is known.
        """
        method, dataset, params = self.method, self.work.dataset, self.params
        with self._changing("a training"):
            model = self.load()  # what is wrong with it is found before the first label is written
            lesson = Lesson(method, self.work, params, self._timepoints())
            positions = self._write_labels()
            positions = {t: found for t, found in positions.items() if method.is_labelled(dataset, t)}
            if not positions:
                raise InvalidInputError(method.nothing_to_train)
            lesson.prepare(positions)
            with self._recording("training", model, control, on_saved) as recorder:
                trainer = method.trainer(model, lesson, params, dataset)
                trainer.replay(lesson.replayed)
                recorder.trains_on({t: len(found) for t, found in positions.items()})
                recorder.judge_by(lesson.judge() if params.loop.n_epochs else None, params.loop.n_epochs)
                trainer.run(list(positions), recorder, recorder, recorder.save)

    @needs_memory("the live training", TRAINING_REMEDY)
    def run_live(self, updates: LiveUpdates, control: TrainingControl, on_saved: Callable[[], None]) -> None:
        """Train one epoch on each timepoint whose labels are written, until the session is ended.

        The annotations given, if any, are labelled first and make the first epoch. Each epoch reads the newest labels
        of its timepoint; the model is saved after it.

        Parameters
        ----------
        updates
            Says where labels were written.
        control, on_saved
            As for :meth:`run`.

        Raises
        ------
        elephant.errors.Cancelled
            The session was ended, as every one is; the file holds the last finished epoch, or an earlier one that did
            better on the same held-out nuclei.
        """
        with self._changing("a live session"):
            model = self.load()
            lesson = Lesson(self.method, self.work, self.params, self._timepoints())
            pending = self._write_labels()
            epoch = 0
            with self._recording("live session", model, control, on_saved) as recorder:
                trainer = self.method.trainer(model, lesson, self.params, self.work.dataset)
                while True:
                    for t, positions in pending.items():
                        if not self.method.is_labelled(self.work.dataset, t):
                            logger.info("Live training: timepoint %d has no labels, nothing to learn", t)
                            continue
                        epoch += 1
                        lesson.prepare({t: positions})
                        lesson.stay_at(t)
                        trainer.replay(lesson.replayed)
                        recorder.trains_on({t: len(positions)})
                        recorder.judge_by(lesson.judge())
                        trainer.run_epoch([t], recorder, recorder, epoch)
                        recorder.save()
                    pending = updates.wait()

    @contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        """Be the only one that changes the model, whatever process others run in, and keep the dataset in place."""
        with writing(self.work.model_path, what), self.work.dataset.in_use():
            yield

    def _timepoints(self) -> list[int]:
        return sorted({one.t for one in self.annotations})

    def _write_labels(self) -> Positions:
        """Write the labels, and return where crops are cut."""
        method, work = self.method, self.work
        groups = method.check(work.dataset, self.annotations)
        labels = method.labels_of(self.params)
        method.update_labels(work.dataset, self.annotations, labels, work.reporter, work.cancel)
        return {t: method.positions(group) for t, group in groups.items()}

    @contextmanager
    def _recording(
        self, what: Any, model: Ensemble, control: TrainingControl, on_saved: Callable[[], None]
    ) -> Iterator["EpochRecorder"]:
        """Give what saves the model; the model cache forgets it afterwards.

        An epoch that was not finished has changed the weights in memory, but not the file. Inside, the model is adapted
        to the training: what trains it has to be made there.
        """
        work, method = self.work, self.method
        used = method.trained_with(self.params, work.dataset.shape)
        warn_of_differences(work.model_path, used, f"this {what}")
        params = method.resolved(self.params, model)
        entry = ProvenanceEntry(
            what=what,
            dataset=work.dataset.name,
            annotated=method.annotated,
            relative_lr=method.is_relative(params),
            trained_with=used,
            scales=still_valid(work, used),
        )
        timepoints = sorted({one.t for one in self.annotations})
        record = RecordedTraining(work, method.name, params, what, timepoints, model.state_dicts(), control)
        entry = entry.model_copy(update={"record": record.position})
        recorder = EpochRecorder(work, model, record, entry, record.after_epoch(on_saved))
        try:
            method.adapt(model, work, self.params)
            yield recorder
        except (Cancelled, DivergedError, MemoryLimitError):
            recorder.finish()
            raise
        else:
            recorder.finish()
        finally:
            record.end()
            work.model_cache.forget(work.model_path)


def prepare_training(
    method: Method[A, Any, P, Any, Any, Any],
    work: ModelWork,
    annotations: Sequence[A],
    params: P,
    *,
    may_wait: bool = False,
) -> TrainingRun:
    """Check that a training can be done, before anything is written or a model is started.

    Parameters
    ----------
    may_wait
        Whether annotations may come later, as in a live session.

    Raises
    ------
    InvalidInputError
        An annotation is wrong, none of them labels a voxel, or memory cannot hold what it needs.
    """
    dataset = work.dataset
    groups = method.check(dataset, annotations)
    if not may_wait and not method.labels_any(dataset, annotations, method.labels_of(params)):
        raise InvalidInputError(method.nothing_to_train)
    check_images(dataset, params.image, method.n_images(dataset.n_dims))
    seen = params.image.input_size or dataset.shape
    check_batches(params.crop_size, seen, params.loop, len(groups), work.model_cache.device)
    return TrainingRun(method, work, annotations, with_seed(params))


class EpochRecorder:
    """Saves the model after each epoch, with its provenance, and judges it; at the end the best epoch is in the file.

    It is the reporter and the control of the training, so that it sees the losses and the settings of each epoch.

    Parameters
    ----------
    work
        The model's file, and the reporter that progress is passed on to.
    model
        What is trained.
    control
        May end the training, and takes note of what it needs to be repeated.
    entry
        What is known of the training before it begins.
    on_saved
        Called each time that the model was saved.
    """

    def __init__(
        self,
        work: ModelWork,
        model: Ensemble,
        control: RecordedTraining,
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
        self._best: BestEpoch | None = None
        self._n_epochs: int | None = None
        self._shown: dict[str, float] = {}

    def trains_on(self, annotations: Mapping[int, int]) -> None:
        """Take note of the timepoints of the next epochs, with the number of their annotations."""
        self._annotations.update(annotations)
        self._control.trains_on(annotations)

    def judge_by(self, judge: AnyJudge | None, n_epochs: int | None = None) -> None:
        """Judge the model as it is now, and after each epoch from now on.

        Parameters
        ----------
        judge
            Judges it; None for no judgement. One that judges the same as the one before takes its place.
        n_epochs
            The number of epochs, where that is known.
        """
        self._n_epochs = n_epochs
        if judge is None or self._best is None or not self._best.judge.is_like(judge):
            self._best = None if judge is None else BestEpoch(judge, self._model, self._entry, self)

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Keep the loss, and pass on the progress."""
        if "loss" in values:
            self._losses.append(values["loss"])
        self._reporter.progress(stage, done, total, **values, **self._shown)

    def check(self) -> None:
        """Raise where the training has to end."""
        self._control.check()

    def settings(self) -> LiveSettings:
        """Return the settings of the moment."""
        settings = self._control.settings()
        self._lr = settings.lr
        return settings

    def save(self) -> None:
        """Save the model after an epoch.

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
                "held_out": None,
            }
        )
        self._losses.clear()
        self._file.save(self._model.state_dicts(), self._entry)
        self._on_saved()
        if self._best is not None:
            self._judge(self._best)

    def finish(self) -> None:
        """Put the best epoch into the file, where the last one is worse; that one is a version then."""
        kept = None if self._best is None else self._best.kept()
        if self._best is None or kept is None or not self._entry.epochs:
            return
        known = {name: getattr(kept.entry, name) for name in ("epochs", "steps", "lr", "loss", "held_out")}
        entry = self._entry.model_copy(update=known | {"curve": self._best.curve, "curve_of": self._best.figure})
        number = self._file.go_back(kept.members, entry, self._entry)
        logger.info(
            "%s is kept: %s. The last epoch, %d, is version %s of the model%s.",
            f"Epoch {kept.epoch}" if kept.epoch else "The model as it was before this training",
            *(kept.entry.held_out, self._entry.epochs, number),
            "" if self._entry.held_out is None else f": {self._entry.held_out}",
        )

    def _judge(self, best: BestEpoch) -> None:
        score = best.after(self._entry, is_final=self._entry.epochs == self._n_epochs)
        if score is None:
            return
        known = {"held_out": score, "curve": best.curve, "curve_of": score.figure, "said": best.said}
        self._entry = self._entry.model_copy(update=known)
        self._file.note(self._entry)
        figures = score.model_dump(exclude={"n_nuclei"}, exclude_none=True)
        values = {f"held_out_{name}": float(value) for name, value in figures.items()}
        self._shown = {name: value for name, value in values.items() if name == f"held_out_{score.figure}"}
        self._reporter.progress(JUDGEMENT, self._entry.epochs, self._n_epochs or self._entry.epochs, **values)
