"""Progress reporters of the jobs: to the client, to TensorBoard's files and to the dashboard."""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from elephant.io.paths import resolve_inside
from elephant.progress import ProgressReporter
from elephant.training.scalars import JUDGEMENT, UNNAMED, curves, unnamed_curves
from elephant.types import DetectedSpot, VoxelSize
from elephant_server.jobs.records import MOST_NUCLEI, JobFeed, Nuclei, Result
from elephant_server.rabbitmq import Messages
from elephant_server.schemas.common import Body
from elephant_server.schemas.detection import SegPredictBody

if TYPE_CHECKING:
    from elephant_server.jobs.context import WorkerContext
    from elephant_server.jobs.control import JobControl

logger = logging.getLogger(__name__)

LINE_INTERVAL_S = 1.0


class TileReporter:
    """Writes a line about the tiles of a prediction, at a rate that a person can read."""

    def __init__(self) -> None:
        self._last = 0.0

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """See :meth:`elephant.progress.ProgressReporter.progress`."""
        del values
        now = time.monotonic()
        if stage == "tile" and (done == total or now - self._last >= LINE_INTERVAL_S):
            self._last = now
            logger.info("Prediction: tile %d/%d", done, total)


class DatasetReporter:
    """Tells the client about every converted timepoint."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """See :meth:`elephant.progress.ProgressReporter.progress`."""
        del values
        if stage == "timepoint":
            self._messages.dataset_progress(done, total)


class SizeReporter:
    """Tells after each mask how large the file is, and writes a line about it at a rate that a person can read."""

    def __init__(self, file: BinaryIO, control: "JobControl") -> None:
        self._file = file
        self._control = control
        self._last = 0.0

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """See :meth:`elephant.progress.ProgressReporter.progress`."""
        del stage, values
        # The HTTP process may run on another machine, which sees only what has left this one.
        os.fsync(self._file.fileno())
        self._control.announce(size=self._file.tell())
        now = time.monotonic()
        if done == total or now - self._last >= LINE_INTERVAL_S:
            self._last = now
            logger.info("Export: mask %d/%d", done, total)


@contextmanager
def training_reporter(
    context: "WorkerContext", job_id: str, log_dir: str | None, model: Path
) -> Iterator[ProgressReporter]:
    """Give the reporter of a training, whose curves go into the folder that is named, or else into one of the model.

    Parameters
    ----------
    log_dir
        The folder that the request names.
    model
        The model's file.

    Raises
    ------
    elephant.errors.InvalidInputError
        The name leads out of the logs.
    """
    if log_dir:
        with curves(resolve_inside(context.logs, log_dir)) as reporter:
            yield reporter
        return
    name = model.relative_to(context.models.resolve()).as_posix()
    context.feed_publisher.job(job_id, log_dir=f"{UNNAMED}/{name}")
    with unnamed_curves(context.logs, name) as reporter:
        yield reporter


_PACE_WEIGHT = 0.1
_LONGEST_PAUSE = 5.0


class Pace:
    """How long what is left of a piece of work will take, from how long its units took lately.

    A pause, while a training is held for instance, counts little: it is no longer than a few units.

    Parameters
    ----------
    clock
        Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage = ""
        self._done = 0
        self._at = 0.0
        self._unit_s: float | None = None

    def remaining_s(self, stage: str, done: int, total: int) -> float | None:
        """Take note that `done` of `total` units are finished; return the seconds left, None where nobody can tell."""
        now, before = self._clock(), self._done
        if stage == self._stage and done > before:
            self._learn((now - self._at) / (done - before))
        elif stage != self._stage:
            self._unit_s = None
        self._stage, self._done, self._at = stage, done, now
        return None if self._unit_s is None else self._unit_s * max(total - done, 0)

    def _learn(self, unit_s: float) -> None:
        if self._unit_s is None:
            self._unit_s = unit_s
        else:
            self._unit_s += _PACE_WEIGHT * (min(unit_s, _LONGEST_PAUSE * self._unit_s) - self._unit_s)


class DashboardProgress:
    """A :class:`~elephant.progress.ProgressReporter` that tells the dashboard, then another reporter.

    Parameters
    ----------
    feed_publisher, job_id
        Where progress is published, and the job's id.
    inner
        The other reporter.
    """

    def __init__(self, feed_publisher: JobFeed, job_id: str, inner: ProgressReporter) -> None:
        self._feed_publisher = feed_publisher
        self._job_id = job_id
        self._inner = inner
        self._pace = Pace()

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """See :meth:`elephant.progress.ProgressReporter.progress`."""
        if stage == JUDGEMENT:  # its values come with the next steps
            self._inner.progress(stage, done, total, **values)
            return
        left = self._pace.remaining_s(stage, done, total)
        # What is not finite is no JSON.
        numbers = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        self._feed_publisher.job(self._job_id, stage=stage, done=done, total=total, remaining_s=left, values=numbers)
        self._inner.progress(stage, done, total, **values)


def show_begin(feed_publisher: JobFeed, job_id: str, body: Body) -> None:
    """Publish what a job is about, and what its request says of its dataset."""
    about = body.about()
    feed_publisher.job(job_id, started=time.time(), **about)
    facts = body.facts()
    if facts:
        feed_publisher.dataset(about["dataset_name"], **facts)


def show_found(
    feed_publisher: JobFeed, job_id: str, body: SegPredictBody, version: int, spots: Sequence[DetectedSpot]
) -> None:
    """Publish what a detection found, so that it can be shown although no probabilities are kept.

    Parameters
    ----------
    version
        Of the image that was looked at; see :func:`elephant.dataset.summary.image_version`.
    spots
        What was found.
    """
    params = body.params()
    box = params.prediction.crop_box
    feed_publisher.result(
        Result(
            id=job_id,
            at=time.time(),
            dataset_name=body.dataset_name,
            version=str(version),
            timepoint=body.timepoint,
            model_name=body.model_name,
            n_found=len(spots),
            is_kept=params.output_prediction,
            box=None if box is None else [*box.origin, *box.size],
            nuclei=in_voxels(spots, params.spots.voxel_size).best(MOST_NUCLEI).pack(),
        )
    )


def in_voxels(spots: Sequence[DetectedSpot], voxel_size: VoxelSize) -> Nuclei:
    """Return spots in voxels."""
    edges = np.array(voxel_size.zyx)
    return Nuclei(
        np.array([spot.pos for spot in spots]).reshape(-1, 3) / edges,
        np.array([spot.covariance for spot in spots]).reshape(-1, 3, 3) / np.outer(edges, edges),
        np.array([spot.quality for spot in spots], dtype=np.float64),
    )
