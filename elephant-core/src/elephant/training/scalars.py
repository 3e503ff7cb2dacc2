"""The curves of trainings: TensorBoard's scalars, whose steps continue from run to run."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from elephant.progress import ProgressReporter
from elephant.training.event_files import PATTERN, EventWriter, last_step

# The names in existing log folders, so that their curves continue.
SCALAR_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "loss": "train_loss",
        "nll": "nll_loss",
        "center": "center_dice_loss",
        "instance": "instance_loss",
        "ssim": "SSIM_loss",
        "smooth": "smooth_loss",
        **{name: name for name in ("held_out_f1", "held_out_precision", "held_out_recall", "held_out_distance_left")},
    }
)
# The stage of values that belong to a finished epoch, rather than to a step.
JUDGEMENT = "judgement"


logger = logging.getLogger(__name__)

# A folder per model, below the folder of logs, for trainings without a log folder of their own.
UNNAMED = ".trainings"
# How many of their files are kept for each model, and in total.
MOST_OF_MODEL, MOST_FILES = 10, 200
# After this many points, each point stands for twice as many steps: a session of weeks takes a few megabytes.
POINTS_BEFORE_THINNING = 2000


class ScalarReporter:
    """A :class:`~elephant.progress.ProgressReporter` that writes the values of each step to TensorBoard's files.

    The folder and the file are created at the first step. A failure to write is logged once; the training continues.

    Parameters
    ----------
    folder
        Folder of the files; steps continue from the last one found there.
    thin_after
        After this many points, each point is the mean of twice as many steps, and so on; none: every step is a point.
    prepare
        Called before the first step.
    """

    def __init__(self, folder: Path, thin_after: int | None = None, prepare: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._thin_after = thin_after
        self._prepare = prepare
        self._writer: EventWriter | None = None
        self._has_failed = False
        self._step, self._stride, self._n_points = 0, 1, 0
        self._since: list[dict[str, float]] = []

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Write the values of a step, or of a judgement of the last one; other stages are ignored."""
        del done, total
        if stage == JUDGEMENT and self._writer is not None and not self._has_failed:
            with self._said():
                self._writer.add(self._step, {SCALAR_NAMES[name]: value for name, value in values.items()})
            return
        if stage != "step" or self._has_failed:
            return
        with self._said():
            if self._writer is None:
                self._prepare()
                self._step = last_step(self._folder)
                self._writer = EventWriter(self._folder)
            self._step += 1
            self._since.append({SCALAR_NAMES[name]: value for name, value in values.items() if name in SCALAR_NAMES})
            if len(self._since) >= self._stride:
                self._write(self._writer)

    def close(self) -> None:
        """Flush to disk."""
        if self._writer is None:
            return
        with self._said():
            try:
                if self._since and not self._has_failed:
                    self._write(self._writer)
            finally:
                self._writer.close()

    def _write(self, writer: EventWriter) -> None:
        names = self._since[-1]
        means = {name: sum(values[name] for values in self._since) / len(self._since) for name in names}
        writer.add(self._step, means)
        self._since = []
        self._n_points += 1
        if self._thin_after is not None and self._n_points % self._thin_after == 0:
            self._stride *= 2

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._has_failed:
                logger.warning("The curves of this training end here: %s cannot be written (%s)", self._folder, error)
            self._has_failed = True


@contextmanager
def curves(folder: Path) -> Iterator[ScalarReporter]:
    """Open the reporter of a training with a log folder."""
    reporter = ScalarReporter(folder)
    try:
        yield reporter
    finally:
        reporter.close()


@contextmanager
def unnamed_curves(logs: Path, model_name: str) -> Iterator[ProgressReporter]:
    """Open the reporter of a training without a log folder: the last few per model are kept.

    Parameters
    ----------
    logs
        The folder of all logs.
    model_name
        The model that is trained, below the folder of all models.
    """
    root = logs / UNNAMED
    folder = root / model_name
    reporter = ScalarReporter(folder, POINTS_BEFORE_THINNING, lambda: make_room(root, folder))
    try:
        yield reporter
    finally:
        reporter.close()


def make_room(root: Path, folder: Path) -> None:
    """Remove the oldest files of a model, to keep one more."""
    _keep_newest(folder.glob(PATTERN), MOST_OF_MODEL - 1)
    _keep_newest(root.rglob(PATTERN), MOST_FILES - 1)


def _keep_newest(files: Iterator[Path], n: int) -> None:
    found = []
    for path in files:
        with suppress(FileNotFoundError):  # another process also removes files
            found.append((path.stat().st_mtime, path))
    for _, path in sorted(found, reverse=True)[n:]:
        path.unlink(missing_ok=True)
