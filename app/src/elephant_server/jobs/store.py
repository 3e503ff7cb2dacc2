"""The job store: every step of a job is one atomic change of one small document.

A *job* is a piece of work from the moment it is asked for until its outcome is known. Its entry is a lease: the process
that accepted it renews it while it is queued, the worker while it runs, and each renewal counts a beat. An entry whose
beats stand still, or whose worker is gone, is dropped by the reaper. The state that the client sees is derived from the
entries, so that a process that dies can never leave it stuck. No clock of the machine decides anything: it may be set
at any time.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TypeVar

from elephant_server.jobs.records import (
    Announcement,
    Checkpoint,
    JobEntry,
    JobKind,
    Lease,
    LiveParams,
    Outcome,
)
from elephant_server.jobs.state import CHANGES, QUEUED, RUNNING, State, beat, message_name, new_job
from elephant_server.jobs.store_memory import Effects, Store
from elephant_server.schemas.state import ProcessState

# The document.
STATE = "state"
MOST_UPDATES_AT_ONCE = 1000

T = TypeVar("T")


class JobStore:
    """Jobs and their leases.

    Every method is one atomic step. Over Redis every method may raise :class:`redis.exceptions.RedisError`; what was
    asked for then may have happened or not.

    Parameters
    ----------
    store
        Where the document is, and the queues of outcomes, announcements and live updates.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def open(
        self,
        job_id: str,
        kind: JobKind,
        task: str = "",
        claim: str = "",
        message: str = "",
        *,
        person: str = "",
        may_wait: bool = False,
        is_behind: bool = False,
    ) -> bool:
        """Enter a queued job; False, and nothing changed, where it is a training and may not wait for another one.

        Parameters
        ----------
        job_id, kind, task
            The job, and the name of its task.
        claim
            What it needs of a dataset.
        message
            What its worker has to know; see :meth:`message`.
        person
            Who asked for it; empty where nobody knows.
        may_wait
            Whether a training is entered although another one is there, unless that is a live session, and begins when
            it is its person's turn.
        is_behind
            Whether all others of its queue begin before it.
        """

        def change(state: State) -> bool:
            others = [state.jobs[other] for other in state.trainings() if other != job_id]
            # A live session goes on until somebody ends it: to wait for it could be to wait for oneself.
            if kind is JobKind.TRAINING and (any(it["live"] for it in others) or (others and not may_wait)):
                return False
            # To ask twice is to ask once: an answer may be lost on its way.
            if job_id not in state.jobs:
                state.jobs[job_id] = new_job(Lease(job_id, kind, task, "", claim, person), QUEUED, is_behind=is_behind)
                state.effects.writes[message_name(job_id)] = {"text": message}
            state.wake()
            return True

        return self._change(change)

    def message(self, job_id: str) -> str:
        """Return what a job was entered with; empty where the job is gone, or Redis has lost its data."""
        return str(self._store.read(message_name(job_id)).get("text", ""))

    def take(self, queue: str, owner: str = "", *, with_behind: bool = True) -> Lease | None:
        """Start the first job of a queue that may begin; None where there is none.

        A job waits for those that were entered before it and that it clashes with, a training for its person's turn.

        Parameters
        ----------
        with_behind
            Whether it may be one of those that are behind all others.
        """
        asked = uuid.uuid4().hex

        def change(state: State) -> Lease | None:
            # To ask twice is to ask once: where an answer was lost on its way, the job has begun already.
            begun = (job_id for job_id, job in state.jobs.items() if job.get("asked") == asked)
            ready = (job_id for job_id in state.ready(queue) if with_behind or not state.jobs[job_id]["behind"])
            job_id = next(begun, None) or next(ready, None)
            if job_id is None:
                return None
            job = state.jobs[job_id]
            if job["phase"] == QUEUED and job["kind"] == JobKind.TRAINING:
                state.remember("turns", job["person"])
            job.update(phase=RUNNING, beat=0, owner=owner, asked=asked)
            return Lease(job_id, JobKind(job["kind"]), job["task"], owner, job["claim"], job["person"])

        return self._change(change)

    def has_ready(self, queue: str) -> bool:
        """Tell whether a job of a queue may begin."""
        return bool(self._read().ready(queue))

    def renew_queued(self, job_id: str) -> bool:
        """Prolong the lease of a queued job; False where it is not queued, or not any more."""
        return self._change(lambda state: beat(state.in_phase(job_id, QUEUED)))

    def renew(self, lease: Lease, params: LiveParams | None = None) -> bool:
        """Prolong the lease of a running job; False where it was given up.

        Where Redis has lost its data meanwhile, the job is entered again, with the settings that it runs with.
        """

        def change(state: State) -> bool:
            if lease.id in state.jobs:
                return beat(state.in_phase(lease.id, RUNNING))
            if lease.id in state.remembered("dropped") or (lease.kind is JobKind.TRAINING and state.trainings(RUNNING)):
                return False
            # It began before all that are there.
            again = {lease.id: new_job(lease, RUNNING)}
            state.document["jobs"] = {**again, **state.jobs}
            if params is not None:
                state.document.setdefault("params", asdict(params))
            state.wake()
            return True

        return self._change(change)

    def entries(self) -> list[JobEntry]:
        """Return the jobs that are there, in the order in which they were entered."""
        return [
            JobEntry(
                job_id,
                *(JobKind(it["kind"]), it["phase"], it["beat"], it["owner"], it["task"], it["cancelled"], it["person"]),
            )
            for job_id, it in self._read().jobs.items()
        ]

    def drop(self, entry: JobEntry, outcome: Outcome) -> bool:
        """End a job for good, unless it has been renewed since; False where it was."""

        def change(state: State) -> bool:
            job = state.jobs.get(entry.id)
            if job is None or (job["phase"], job["beat"]) != (entry.phase, entry.beat):
                return False
            if job["phase"] == RUNNING:
                state.remember("dropped", entry.id)
            if job["owner"]:
                state.remember("silent", job["owner"])
            state.end(entry.id, outcome.text())
            return True

        return self._change(change)

    def silent_owners(self) -> set[str]:
        """Return the processes whose running jobs were dropped, and that are not known to have ended."""
        return set(self._read().remembered("silent"))

    def forget_owner(self, owner: str) -> None:
        """Take note that a process whose job was dropped has ended."""

        def change(state: State) -> None:
            state.document["silent"] = [it for it in state.remembered("silent") if it != owner]

        self._change(change)

    def finish(self, job_id: str, outcome: Outcome) -> None:
        """Remove a job and leave its outcome, both at once; nothing where the job was dropped."""
        text = outcome.text()  # once: what is large takes long, and the step may be tried several times

        def change(state: State) -> None:
            if job_id not in state.remembered("dropped"):
                state.end(job_id, text)

        self._change(change)

    def wait_for_outcome(self, job_id: str, timeout_s: float) -> Outcome | None:
        """Block until the outcome is there, and take it; None after `timeout_s` seconds."""
        found = self._store.pop([f"outcome:{job_id}"], timeout_s)
        return None if found is None else Outcome(**json.loads(found[1][0]))

    def announce(self, job_id: str, news: Announcement) -> None:
        """Announce to those who follow a job how much of its result there is; nothing where the job is gone."""
        text = json.dumps(news, allow_nan=False)

        def change(state: State) -> None:
            if job_id in state.jobs:
                state.effects.pushes.append((f"news:{job_id}", text))

        self._change(change)

    def wait_for_news(self, job_id: str, timeout_s: float) -> Announcement | Outcome | None:
        """Block until the job has announced something or its outcome is there, and take that; None after `timeout_s`.

        Announcements come in their order, and all of them before the outcome.
        """
        news = f"news:{job_id}"
        found = self._store.pop([news, f"outcome:{job_id}"], timeout_s)
        if found is None:
            return None
        content: Announcement = json.loads(found[1][0])
        return content if found[0] == news else Outcome(**content)

    def open_live(self, job_id: str) -> None:
        """Let a training hear of labels that are written from now on."""

        def change(state: State) -> None:
            if job_id in state.jobs:
                state.jobs[job_id]["live"] = True

        self._change(change)

    def tell_live(self, update: str) -> None:
        """Tell the live trainings, one that runs and those that wait, that labels were written."""

        def change(state: State) -> None:
            for job_id in state.trainings():
                if state.jobs[job_id]["live"]:
                    state.effects.pushes.append((f"live:{job_id}", update))

        self._change(change)

    def wait_for_live(self, job_id: str, timeout_s: float) -> list[str]:
        """Block until the live training was told something, and take all of it in order; nothing after `timeout_s`."""
        found = self._store.pop([f"live:{job_id}"], timeout_s, MOST_UPDATES_AT_ONCE)
        return [] if found is None else found[1]

    def is_alive(self, job_id: str) -> bool:
        """Tell whether the job is there."""
        return job_id in self._read().jobs

    def cancel(self, job_id: str) -> None:
        """Ask a job to end; a queued one ends at once."""
        self._change(lambda state: state.cancel([job_id]))

    def cancel_all(self) -> None:
        """Ask all jobs to end; queued ones end at once."""
        self._change(lambda state: state.cancel(list(state.jobs)))

    def hold(self, held: bool) -> None:
        """Hold the running training, or let it go on."""

        def change(state: State) -> None:
            if training := state.training():
                training["held"] = held
            state.wake()

        self._change(change)

    def process_state(self) -> ProcessState:
        """Derive the state from the jobs that are there."""
        return self._read().process_state()

    def look(self, job_id: str) -> Checkpoint:
        """Return what a running job has to know between its steps."""
        return self._read().checkpoint(job_id)

    def last_change(self) -> str:
        """Return what is another text once a job was entered or has ended, or something was asked of jobs."""
        return self._store.last_id(CHANGES)

    @contextmanager
    def watch(self) -> Iterator[Callable[[float], None]]:
        """Watch for changes inside the block.

        The value is a function that blocks until something changed since the block began or since it was called last,
        or for so many seconds.
        """
        seen = self._store.last_id(CHANGES)

        def wait(timeout_s: float) -> None:
            nonlocal seen
            for entry in self._store.entries(CHANGES, seen, timeout_s):
                seen = entry.id

        yield wait

    def read_params(self) -> LiveParams:
        """Return the settings of the running, or the last, training."""
        return self._read().params

    def write_params(self, lr: float | None = None, n_crops: int | None = None) -> LiveParams:
        """Change the settings that are given, and return all.

        A training that is there but has not begun its first step begins with them; see :meth:`begin_params`.
        """
        given = {name: value for name, value in (("lr", lr), ("n_crops", n_crops)) if value is not None}

        def change(state: State) -> LiveParams:
            if given:
                state.document.setdefault("params", {}).update(given)
                if training := state.training():
                    training["changed"].update(given)
            return state.params

        return self._change(change)

    def begin_params(self, job_id: str, params: LiveParams) -> LiveParams:
        """Make the settings of a training those of the moment, but for what was changed since it was asked for."""

        def change(state: State) -> LiveParams:
            changed = state.jobs[job_id]["changed"] if job_id in state.jobs else {}
            state.document["params"] = {**asdict(params), **changed}
            return state.params

        return self._change(change)

    def _read(self) -> State:
        return State(self._store.read(STATE), Effects())

    def _change(self, change: Callable[[State], T]) -> T:
        return self._store.update(STATE, lambda document, effects: change(State(document, effects)))
