"""The job store as a running job sees it: whether it may go on, its settings, and the updates of a live session."""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from redis.exceptions import RedisError

from elephant.errors import Cancelled
from elephant.methods.annotations import by_timepoint
from elephant.training.control import LiveSettings
from elephant.types import FloatArray
from elephant_server.jobs.records import Checkpoint, Lease, LiveParams
from elephant_server.jobs.store import JobStore
from elephant_server.stop_flag import StopFlag

if TYPE_CHECKING:
    from elephant.methods.base import AnyMethod

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 0.05
AWAY_INTERVAL_S = 1.0
WAIT_S = 1.0
LONGEST_AWAY_S = 12.0  # of Redis, before a job has begun

T = TypeVar("T")


class JobControl:
    """The job store as one job's :class:`~elephant.training.control.TrainingControl`.

    Looks at most every `LOOK_INTERVAL_S` seconds, so that it may be asked as often as one likes. While Redis is away
    the job goes on as it was; when it is back with nothing in it, the job is entered again.

    Parameters
    ----------
    job_store, lease
        Where the job is, and the job.
    do_others
        Does the jobs of its queue that go before it; returns when there are none.
    """

    def __init__(self, job_store: JobStore, lease: Lease, do_others: Callable[[], None] | None = None) -> None:
        self.job_id, self.task, self.person = lease.id, lease.task, lease.person
        self._job_store = job_store
        self._lease = lease
        self._do_others = do_others
        self._thread = threading.get_ident()
        self._seen: Checkpoint | None = None
        self._params: LiveParams | None = None  # those that it began with
        self._look_again_at = 0.0
        self._is_shutting_down = StopFlag()

    def check(self) -> None:
        """Return if the work may go on; blocks while a training is held.

        Raises
        ------
        Cancelled
            The job was aborted or given up, or its worker is asked to end.
        """
        while self._look().must_wait:
            logger.debug("Training is held")
            try:
                self._wait_while_held()
            except RedisError:
                # It stays held: what it is held for is in the job store that is away.
                self.is_shutting_down(AWAY_INTERVAL_S)

    def let_others_go_first(self) -> None:
        """Do what is queued and goes before this job, here and now; for a job that lasts minutes, between its steps.

        Nothing is done in another thread than the job's own.
        """
        if self._do_others is not None and threading.get_ident() == self._thread:
            self._do_others()

    def settings(self) -> LiveSettings:
        """Return learning rate and number of crops as they are now."""
        params = self._look().params
        return LiveSettings(params.lr, params.n_crops)

    def write_settings(self, settings: LiveSettings) -> None:
        """Make the settings of a training those of the moment; what was changed since it was asked for stays changed.

        Where Redis is away for a short while, this waits for it.

        Raises
        ------
        Cancelled
            The worker is asked to end.
        redis.exceptions.RedisError
            Redis stays away.
        """
        params = LiveParams(settings.lr, settings.n_crops)
        self._params = self._patiently(lambda: self._job_store.begin_params(self.job_id, params))
        self._seen = None

    def announce(self, **news: Any) -> None:
        """Announce to those who follow the job how much of its result there is."""
        try:
            self._job_store.announce(self.job_id, news)
        except RedisError as error:
            # Each announcement says all that the ones before said.
            logger.warning("The progress of a file is announced later: the state cannot be reached (%s)", error)

    def renew(self) -> bool:
        """Prolong the job's lease; False where it was given up.

        Raises
        ------
        redis.exceptions.RedisError
            The job store cannot be reached.
        """
        return self._job_store.renew(self._lease, self._params if self._seen is None else self._seen.params)

    def end(self) -> None:
        """Make the next check raise; safe to call from a signal handler."""
        self._is_shutting_down.set()

    def is_shutting_down(self, wait_s: float = 0) -> bool:
        """Tell whether the worker is asked to end, within some seconds."""
        return self._is_shutting_down.wait(wait_s)

    def _wait_while_held(self) -> None:
        with self._job_store.watch() as wait:
            while self._look(fresh=True).must_wait:
                wait(WAIT_S)

    def _look(self, fresh: bool = False) -> Checkpoint:
        if self._is_shutting_down.is_set():
            raise Cancelled("the server is stopping")
        if fresh or self._seen is None or time.monotonic() > self._look_again_at:
            self._seen = self._ask()
        if self._seen.is_cancelled:
            raise Cancelled("aborted")
        return self._seen

    def _ask(self) -> Checkpoint:
        """Look into the job store; where it is away, what was seen last still counts for a while."""
        pause = LOOK_INTERVAL_S
        try:
            seen = self._look_or_enter() if self._seen is not None else self._patiently(self._look_or_enter)
        except RedisError as error:
            if self._seen is None:
                raise
            logger.debug("The state cannot be reached (%s)", error)
            seen, pause = self._seen, AWAY_INTERVAL_S
        self._look_again_at = time.monotonic() + pause
        return seen

    def _look_or_enter(self) -> Checkpoint:
        """Look into the job store; where that has lost the job, enter it again."""
        seen = self._job_store.look(self.job_id)
        if seen.is_missing:
            if not self.renew():
                raise Cancelled("it was given up, because it did not answer")
            seen = self._job_store.look(self.job_id)
        return seen

    def _patiently(self, step: Callable[[], T]) -> T:
        """Try a step on the job store until it is there, for some seconds: Redis may just be starting again."""
        end = time.monotonic() + LONGEST_AWAY_S
        while True:
            try:
                return step()
            except RedisError:
                if time.monotonic() > end:
                    raise
            if self.is_shutting_down(AWAY_INTERVAL_S):
                raise Cancelled("the server is stopping")


def tell(
    job_store: JobStore, dataset_name: str, method: "AnyMethod", annotations: Sequence[Any], n_timepoints: int
) -> None:
    """Tell the live session, where there is one, at which timepoints labels were written, and of what."""
    for t, group in by_timepoint(annotations, n_timepoints).items():
        update = {"dataset_name": dataset_name, "t": t, "positions": method.positions(group).tolist()}
        job_store.tell_live(json.dumps(update))


class LiveUpdates:
    """The job store as a live session's :class:`~elephant.methods.training.LiveUpdates`.

    Parameters
    ----------
    job_store, control, job_id
        Where updates are told, who ends the session, and the session itself.
    dataset_name
        Updates of other datasets are none of this session.
    """

    def __init__(self, job_store: JobStore, control: JobControl, job_id: str, dataset_name: str) -> None:
        self._job_store = job_store
        self._control = control
        self._job_id = job_id
        self._dataset_name = dataset_name
        job_store.open_live(job_id)

    def wait(self) -> dict[int, FloatArray]:
        """See :meth:`elephant.methods.training.LiveUpdates.wait`."""
        while True:
            found: dict[int, FloatArray] = {}
            for text in self._heard():
                update = json.loads(text)
                if update["dataset_name"] == self._dataset_name:
                    found.pop(update["t"], None)
                    found[update["t"]] = np.array(update["positions"], dtype=np.float64).reshape(-1, 3)
            self._control.check()
            if found:
                return found

    def _heard(self) -> list[str]:
        try:
            # Again each time: a Redis that lost its data knows of no session.
            self._job_store.open_live(self._job_id)
            return self._job_store.wait_for_live(self._job_id, WAIT_S)
        except RedisError as error:
            logger.debug("The state cannot be reached (%s)", error)
            time.sleep(WAIT_S)
            return []
