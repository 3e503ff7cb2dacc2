"""The board of a server that is one process: its requests and its workers are threads."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TypeVar

from elephant_server.state.claims import clash
from elephant_server.state.job_store import (
    Checkpoint,
    JobEntry,
    JobKind,
    Lease,
    LiveParams,
    News,
    NotYet,
    Outcome,
    ProcessState,
)

# Outcomes and news that nobody has asked for yet, of so many jobs.
MOST_KEPT = 1000
QUEUED, RUNNING = "queued", "running"

T = TypeVar("T")


@dataclass
class _Job:
    entry: JobEntry
    is_cancelled: bool = False
    is_held: bool = False
    is_live: bool = False
    claim: str = ""
    updates: deque[str] = field(default_factory=deque)


class MemoryJobStore:
    """A :class:`~elephant_server.state.job_store.JobStore` in this process' memory."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._version = 0
        self._jobs: dict[str, _Job] = {}
        self._news: OrderedDict[str, deque[News]] = OrderedDict()
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()
        self._dropped: OrderedDict[str, None] = OrderedDict()
        self._params = LiveParams()

    def open(self, job_id: str, kind: JobKind, task: str = "", claim: str = "") -> bool:
        """See :meth:`JobStore.open`."""
        with self._changed:
            if kind is JobKind.TRAINING and self._any(kind) not in (None, job_id):
                return False
            self._jobs[job_id] = _Job(JobEntry(job_id, kind, QUEUED, 0, "", task), claim=claim)
            self._tell()
            return True

    def take(self, job_id: str, owner: str = "") -> Lease | None:
        """See :meth:`JobStore.take`."""
        with self._changed:
            job = self._in_phase(job_id, QUEUED)
            if job is None:
                return None
            # They are in the order in which they were entered.
            if any(clash(job.claim, other.claim) for other in takewhile(lambda it: it is not job, self._jobs.values())):
                raise NotYet
            job.entry = replace(job.entry, phase=RUNNING, beat=0, owner=owner)
            return Lease(job_id, job.entry.kind, job.entry.task, owner, job.claim)

    def renew_queued(self, job_id: str) -> bool:
        """See :meth:`JobStore.renew_queued`."""
        return self._beat(job_id, QUEUED)

    def renew(self, lease: Lease, params: LiveParams | None = None) -> bool:
        """See :meth:`JobStore.renew`; this board loses nothing, so what is not there was given up."""
        del params
        return self._beat(lease.id, RUNNING)

    def entries(self) -> list[JobEntry]:
        """See :meth:`JobStore.entries`."""
        with self._changed:
            return [replace(job.entry, is_cancelled=job.is_cancelled) for job in self._jobs.values()]

    def drop(self, entry: JobEntry, outcome: Outcome) -> bool:
        """See :meth:`JobStore.drop`."""
        with self._changed:
            job = self._jobs.get(entry.id)
            if job is None or (job.entry.phase, job.entry.beat) != (entry.phase, entry.beat):
                return False
            _keep(self._dropped, entry.id, None)
            self._end(entry.id, outcome)
            return True

    def silent_owners(self) -> set[str]:
        """See :meth:`JobStore.silent_owners`; here all are this process, which cannot end a thread."""
        return set()

    def forget_owner(self, owner: str) -> None:
        """See :meth:`JobStore.forget_owner`."""

    def finish(self, job_id: str, outcome: Outcome) -> None:
        """See :meth:`JobStore.finish`."""
        with self._changed:
            if job_id not in self._dropped:
                self._end(job_id, outcome)

    def wait_for_outcome(self, job_id: str, timeout_s: float) -> Outcome | None:
        """See :meth:`JobStore.wait_for_outcome`."""
        return self._wait(lambda: self._outcomes.pop(job_id, None), timeout_s)

    def announce(self, job_id: str, news: News) -> None:
        """See :meth:`JobStore.announce`."""
        with self._changed:
            if job_id in self._jobs:
                _keep(self._news, job_id, self._news.get(job_id, deque[News]()))
                self._news[job_id].append(news)
                self._tell()

    def wait_for_news(self, job_id: str, timeout_s: float) -> News | Outcome | None:
        """See :meth:`JobStore.wait_for_news`."""

        def take() -> News | Outcome | None:
            news = self._news.get(job_id)
            if news:
                return news.popleft()
            return self._outcomes.pop(job_id, None)

        return self._wait(take, timeout_s)

    def open_live(self, job_id: str) -> None:
        """See :meth:`JobStore.open_live`."""
        with self._changed:
            if job_id in self._jobs:
                self._jobs[job_id].is_live = True

    def tell_live(self, update: str) -> None:
        """See :meth:`JobStore.tell_live`."""
        with self._changed:
            job_id = self._any(JobKind.TRAINING)
            if job_id is not None and self._jobs[job_id].is_live:
                self._jobs[job_id].updates.append(update)
                self._tell()

    def wait_for_live(self, job_id: str, timeout_s: float) -> list[str]:
        """See :meth:`JobStore.wait_for_live`."""

        def take() -> list[str] | None:
            job = self._jobs.get(job_id)
            if job is None or not job.updates:
                return None
            found, job.updates = list(job.updates), deque()
            return found

        return self._wait(take, timeout_s) or []

    def is_alive(self, job_id: str) -> bool:
        """See :meth:`JobStore.is_alive`."""
        return job_id in self._jobs

    def cancel(self, job_id: str) -> None:
        """See :meth:`JobStore.cancel`."""
        with self._changed:
            self._cancel([job_id])

    def cancel_all(self) -> None:
        """See :meth:`JobStore.cancel_all`."""
        with self._changed:
            self._cancel(list(self._jobs))

    def hold(self, held: bool) -> None:
        """See :meth:`JobStore.hold`."""
        with self._changed:
            job_id = self._any(JobKind.TRAINING)
            if job_id is not None:
                self._jobs[job_id].is_held = held
            self._tell()

    def process_state(self) -> ProcessState:
        """See :meth:`JobStore.process_state`."""
        with self._changed:
            training = self._any(JobKind.TRAINING)
            if self._any(JobKind.INTERACTIVE) is not None or (training is not None and self._jobs[training].is_held):
                return ProcessState.WAITING
            return ProcessState.IDLE if training is None else ProcessState.RUNNING

    def look(self, job_id: str) -> Checkpoint:
        """See :meth:`JobStore.look`."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None:
                return Checkpoint(False, False, self._params, is_missing=True)
            is_training = job.entry.kind is JobKind.TRAINING
            must_wait = is_training and (job.is_held or self._any(JobKind.INTERACTIVE) is not None)
            return Checkpoint(job.is_cancelled, must_wait, self._params)

    @contextmanager
    def watch(self) -> Iterator[Callable[[float], None]]:
        """See :meth:`JobStore.watch`."""
        seen = self._version

        def wait(timeout_s: float) -> None:
            nonlocal seen
            with self._changed:
                self._changed.wait_for(lambda: self._version != seen, timeout_s)
                seen = self._version

        yield wait

    def read_params(self) -> LiveParams:
        """See :meth:`JobStore.read_params`."""
        return self._params

    def write_params(self, lr: float | None = None, n_crops: int | None = None) -> LiveParams:
        """See :meth:`JobStore.write_params`."""
        with self._changed:
            old = self._params
            self._params = LiveParams(old.lr if lr is None else lr, old.n_crops if n_crops is None else n_crops)
            return self._params

    def _any(self, kind: JobKind) -> str | None:
        return next((job_id for job_id, job in self._jobs.items() if job.entry.kind is kind), None)

    def _in_phase(self, job_id: str, phase: str) -> _Job | None:
        job = self._jobs.get(job_id)
        return job if job is not None and job.entry.phase == phase else None

    def _beat(self, job_id: str, phase: str) -> bool:
        with self._changed:
            job = self._in_phase(job_id, phase)
            if job is None:
                return False
            job.entry = replace(job.entry, beat=job.entry.beat + 1)
            return True

    def _end(self, job_id: str, outcome: Outcome) -> None:
        self._jobs.pop(job_id, None)
        _keep(self._outcomes, job_id, outcome)
        self._tell()

    def _cancel(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            if self._in_phase(job_id, QUEUED) is not None:
                self._end(job_id, Outcome(cancelled=True))
            elif job_id in self._jobs:
                self._jobs[job_id].is_cancelled = True
        self._tell()

    def _tell(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def _wait(self, take: Callable[[], T], timeout_s: float) -> T | None:
        """Take something as soon as it is there; None after some seconds."""
        with self._changed:
            found: list[T] = []

            def look() -> bool:
                value = take()
                if value is not None:
                    found.append(value)
                return value is not None

            self._changed.wait_for(look, timeout_s)
            return found[0] if found else None


def _keep(kept: "OrderedDict[str, T]", job_id: str, value: T) -> None:
    """Keep a value for a job, and let go of that for which nobody has asked for longest."""
    kept[job_id] = value
    kept.move_to_end(job_id)
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
