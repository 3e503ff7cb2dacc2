"""What becomes of a training that somebody waits for: finished epochs, losses, and what is left where it ends early."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from elephant.config import LoopParams
from elephant.console import Console
from elephant.dataset import Dataset
from elephant.device import choose_device
from elephant.errors import InUseError
from elephant.methods.training import TrainingRun
from elephant.methods.work import ModelWork
from elephant.models.ensemble import ModelCache
from elephant.models.lock import writing
from elephant.models.provenance_text import provenance_of
from elephant.models.versions import discard
from elephant.progress import CancelToken, NoReporter, ProgressReporter
from elephant.training.control import FixedControl
from elephant.training.scalars import JUDGEMENT
from elephant.words import counted


@dataclass
class Outcome:
    """What a training has come to; also its reporter.

    Attributes
    ----------
    path
        The model file.
    curves
        Losses are passed on to it.
    reporter
        Progress is passed on to it; while it runs that is the console's.
    n_epochs
        Finished epochs that the model holds.
    losses
        Of each step.
    made
        When the file was last changed, where it was made by this training.
    """

    path: Path
    curves: ProgressReporter = field(default_factory=NoReporter)
    reporter: ProgressReporter = field(default_factory=NoReporter)
    n_epochs: int = 0
    losses: list[float] = field(default_factory=list)
    made: float | None = None

    def __post_init__(self) -> None:
        self._before = self._changed()

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Remember the loss, and pass the progress on."""
        if stage == JUDGEMENT:  # its values come with the next steps
            self.curves.progress(stage, done, total, **values)
            return
        if "loss" in values and "epoch" in values:
            self.losses.append(values["loss"])
            self.curves.progress(stage, done, total, **values)
        self.reporter.progress(stage, done, total, **values)

    def saved(self) -> None:
        """Take note of an epoch."""
        self.n_epochs += 1

    def promise(self) -> str:
        """Say what an interrupted training leaves."""
        if self.n_epochs:
            held = provenance_of(self.path).held()
            score = None if held is None else held.held_out
            if held is None or score is None:
                return f"{self.path} holds {counted(self.n_epochs, 'finished epoch')}"
            return f"{self.path} holds the best of {counted(self.n_epochs, 'finished epoch')}, {held.epochs}: {score}"
        if self._changed() != self._before:
            return f"{self.path} was started anew, but not trained; elephant models restore brings its old version back"
        return f"{self.path} is unchanged by the training"

    def run(
        self,
        dataset: Dataset,
        prepare: Callable[[ModelWork], TrainingRun],
        start: Callable[[TrainingRun], None],
        device: str,
        console: Console,
    ) -> None:
        """Check a training, start its model where that is missing, and train it.

        Parameters
        ----------
        prepare
            Checks the training, before a model is started for nothing.
        start
            Starts the model where it is missing.
        device
            What computes, as a person names it.
        console
            Shows the progress, and ends the work.

        Raises
        ------
        elephant.errors.Cancelled, KeyboardInterrupt
            The training was ended, as the console says; the message tells what is left.
        """
        model_cache = ModelCache(choose_device(device))
        with console.attend(self.promise) as (self.reporter, cancel), self._leaving_no_start():
            training = prepare(ModelWork(dataset, self.path, model_cache, self, cancel))
            was_there = self.path.exists()
            start(training)
            self.made = None if was_there else self._changed()
            training.at_scale().run(InterruptibleControl(training.params.loop, cancel), self.saved)

    @contextmanager
    def _leaving_no_start(self) -> Iterator[None]:
        """Remove a model that was made here and ends up without a finished epoch, unless somebody else took it over."""
        try:
            yield
        except BaseException:
            if self.made is not None and not self.n_epochs:
                with suppress(InUseError), writing(self.path, "a removal"):
                    if self._changed() == self.made:
                        discard(self.path)
            raise

    def loss_of_last_epoch(self) -> float | None:
        """Return the mean loss of the last finished epoch; None where there is none."""
        if not self.losses or not self.n_epochs:
            return None
        last = self.losses[-max(1, len(self.losses) // self.n_epochs) :]
        return sum(last) / len(last)

    def _changed(self) -> float | None:
        return self.path.stat().st_mtime if self.path.exists() else None


class InterruptibleControl(FixedControl):
    """The settings that a training was started with, and a token that may end it."""

    def __init__(self, loop: LoopParams, cancel: CancelToken) -> None:
        super().__init__(loop.lr, loop.n_crops)
        self._cancel = cancel

    def check(self) -> None:
        """Raise where the token does."""
        self._cancel.check()
