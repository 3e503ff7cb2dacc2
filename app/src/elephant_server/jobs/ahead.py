"""Computing ahead: predictions that are likely to be asked for next, while nothing else is to be done.

It is no job: nobody waits for it, the state stays idle, and the job store knows nothing of it. Whatever happens in the
job store ends it before the next layer of a network. What it has found by then is known, the rest is lost.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from redis.exceptions import RedisError

from elephant.dataset import Dataset
from elephant.errors import Cancelled, ElephantError
from elephant.methods.base import AnyMethod
from elephant.methods.detection import DETECTION
from elephant.methods.flow import FLOW
from elephant.methods.work import ModelWork
from elephant.progress import NoReporter, cancelled_by
from elephant_server.jobs.context import WorkerContext, cache_bytes, model_file
from elephant_server.jobs.idle import IdleMemory
from elephant_server.jobs.records import JobKind
from elephant_server.jobs.state import QUEUED
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.submit import FLOW_PREDICT, SEG_PREDICT, Task
from elephant_server.jobs.walks import PredictBody, Step, Walks, body_of, next_steps, settings_of
from elephant_server.settings import Settings
from elephant_server.stop_flag import StopFlag

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class _Kind:
    task: Task[Any]
    method: AnyMethod


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {kind.task.name: kind for kind in (_Kind(SEG_PREDICT, DETECTION), _Kind(FLOW_PREDICT, FLOW))}
)


class Quiet:
    """A :class:`~elephant.progress.CancelToken` that ends work as soon as anything happens in the job store.

    But for a request for the very same: that waits for its end, and is answered by it.

    Parameters
    ----------
    job_store
        What is watched, from now on.
    is_ending
        Set where the worker is asked to end.
    """

    def __init__(self, job_store: JobStore, is_ending: StopFlag) -> None:
        self._job_store = job_store
        self._is_ending = is_ending
        self._seen = job_store.last_change()
        self._look_again_at = 0.0
        self.step: Step | None = None
        self.is_asked_for = False

    def check(self) -> None:
        """Return if nothing has happened.

        Raises
        ------
        Cancelled
            Something has, or the worker is asked to end.
        """
        if self._is_ending.is_set():
            raise Cancelled("the server is stopping")
        if (now := time.monotonic()) < self._look_again_at:
            return
        self._look_again_at = now + LOOK_INTERVAL_S
        try:
            change = self._job_store.last_change()
            if change != self._seen:
                self.is_asked_for = self._waits_for_this()
                self._seen = change
                if not self.is_asked_for:
                    raise Cancelled("something else is to be done")
        except RedisError as error:
            raise Cancelled("the state cannot be reached") from error

    def _waits_for_this(self) -> bool:
        """Tell whether all that is to be done is what is being computed."""
        entries = self._job_store.entries()
        if self.step is None or len(entries) != 1 or entries[0].is_cancelled:
            return False
        (entry,) = entries
        if (entry.phase, entry.task) != (QUEUED, self.step.task):
            return False
        text = self._job_store.message(entry.id)
        body: PredictBody | None = _KINDS[entry.task].task.read(text).body if text else None
        return body is not None and (body.timepoint, settings_of(body)) == (self.step.timepoint, self.step.settings)


class Ahead:
    """Computes ahead in a worker that has nothing else to do.

    Parameters
    ----------
    context
        The worker's.
    walks
        What was asked for lately.
    n_timepoints
        How far to look; 0: nothing is computed ahead.
    """

    def __init__(self, context: WorkerContext, walks: Walks, n_timepoints: int) -> None:
        self._context = context
        self._walks = walks
        self._n_timepoints = n_timepoints

    def run(self, is_ending: StopFlag) -> bool:
        """Compute until all is done or something else is to be done; True where a job waits for this worker."""
        job_store = self._context.job_store
        try:
            quiet = Quiet(job_store, is_ending)
            if not job_store.entries():
                self._compute_all(quiet)
            return job_store.has_ready(JobKind.INTERACTIVE.queue)
        except RedisError as error:
            logger.debug("Nothing is computed ahead: the state cannot be reached (%s)", error)
            return False

    def _compute_all(self, quiet: Quiet) -> None:
        for step in next_steps(self._walks.requests(), self._n_timepoints):
            quiet.step = step
            try:
                quiet.check()
                self._compute(step, quiet)
            except Cancelled as reason:
                logger.debug("Computing ahead ended: %s", reason)
                return
            except ElephantError as error:
                # The timepoint need not exist, and who asks for it is told.
                logger.debug("Nothing more is computed ahead: %s", error)
                return
            except Exception:  # nobody asked for it, so no request fails; but it is a fault of this program
                logger.warning("Nothing more is computed ahead", exc_info=True)
                return
            if quiet.is_asked_for:
                return

    def _compute(self, step: Step, quiet: Quiet) -> None:
        context, kind = self._context, _KINDS[step.task]
        body = body_of(kind.task.body, step)
        dataset, path = Dataset.open(context.datasets, body.dataset_name), model_file(context, body.model_name)
        if step.timepoint >= dataset.n_timepoints or dataset.is_3d != body.is_3d or not path.is_file():
            return
        work = ModelWork(
            *(dataset, path, context.model_cache, NoReporter(), quiet),
            cache_bytes=cache_bytes(body.cache_maxbytes),
            auto_scale=context.auto_scale,
            known=context.known,
        )
        params = body.params()
        kind.method.check_prediction(dataset, step.timepoint, params)
        with cancelled_by(quiet):
            is_new = kind.method.predict_ahead(work, step.timepoint, params)
        if is_new:
            words = "Timepoint %d of %s was computed ahead, %s"
            logger.info(words, step.timepoint, body.dataset_name, kind.method.name)
            context.feed_publisher.count("computed_ahead")


def ahead_of(context: WorkerContext, settings: Settings, memory: IdleMemory) -> Callable[[StopFlag], bool] | None:
    """Return what a worker does that has nothing else to do; None where nothing is computed ahead.

    Parameters
    ----------
    memory
        What gives memory back when nothing runs.
    """
    if context.walks is None:
        return None
    ahead = Ahead(context, context.walks, settings.compute_ahead)

    def run(is_ending: StopFlag) -> bool:
        with memory.busy():
            return ahead.run(is_ending)

    return run
