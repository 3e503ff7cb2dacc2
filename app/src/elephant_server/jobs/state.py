"""The document of all jobs, and the rules by which it changes and is read.

A change runs within one atomic step of the store; see :class:`elephant_server.jobs.store.JobStore`.
"""

from dataclasses import dataclass
from typing import Any

from elephant_server.jobs.records import Checkpoint, JobKind, Lease, LiveParams, Outcome, clash
from elephant_server.jobs.store_memory import Document, Effects
from elephant_server.schemas.state import ProcessState

QUEUED, RUNNING = "queued", "running"
# The log whose readers learn that the document changed.
CHANGES = "changes"
# A server has far fewer workers than this: of so many dropped jobs, and of so many silent workers, it is known.
MOST_DROPPED = 100


@dataclass(slots=True)
class State:
    """The document, by its parts, and what happens together with its change."""

    document: Document
    effects: Effects

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """Return the jobs by their ids, in the order in which they were entered."""
        jobs: dict[str, dict[str, Any]] = self.document.setdefault("jobs", {})
        return jobs

    @property
    def params(self) -> LiveParams:
        """Return the settings of the running, or the last, training."""
        return LiveParams(**self.document.get("params", {}))

    def remembered(self, name: str) -> list[str]:
        """Return a list of the document: ids of ``dropped`` jobs, ``silent`` workers, or whose ``turns`` there were."""
        found: list[str] = self.document.setdefault(name, [])
        return found

    def remember(self, name: str, value: str) -> None:
        """Add to a list of the document, of which the newest values stay."""
        self.document[name] = [*(it for it in self.remembered(name) if it != value), value][-MOST_DROPPED:]

    def in_phase(self, job_id: str, phase: str) -> dict[str, Any] | None:
        """Return a job that is in a phase; None where it is not."""
        job = self.jobs.get(job_id)
        return job if job is not None and job["phase"] == phase else None

    def ready(self, queue: str) -> list[str]:
        """Return the queued jobs of a queue that may begin, in order: those that clash with no earlier one.

        Jobs that are behind all others come last.

        Of trainings one may begin, where none runs: that of the person whose last one began longest ago.
        """
        if queue == JobKind.TRAINING.queue:
            return self._next_training()
        found: list[str] = []
        claims: list[str] = []
        for job_id, job in self.jobs.items():
            is_queued = job["phase"] == QUEUED and JobKind(job["kind"]).queue == queue
            if is_queued and not any(clash(job["claim"], earlier) for earlier in claims):
                found.append(job_id)
            claims.append(job["claim"])
        return sorted(found, key=lambda job_id: bool(self.jobs[job_id]["behind"]))

    def any(self, kind: JobKind) -> str | None:
        """Return the first job of a kind."""
        return next((job_id for job_id, job in self.jobs.items() if job["kind"] == kind), None)

    def trainings(self, phase: str | None = None) -> list[str]:
        """Return the trainings and resets, or those in a phase, in the order in which they were entered."""
        return [
            job_id
            for job_id, job in self.jobs.items()
            if job["kind"] == JobKind.TRAINING and phase in (None, job["phase"])
        ]

    def training(self) -> dict[str, Any]:
        """Return the training that runs, else the first that waits; an empty entry where there is none."""
        first = next(iter([*self.trainings(RUNNING), *self.trainings()]), "")
        return self.jobs.get(first, {})

    def _next_training(self) -> list[str]:
        if self.trainings(RUNNING):
            return []
        turns = self.remembered("turns")
        last_turn = {person: turn for turn, person in enumerate(turns)}
        queued = self.trainings(QUEUED)
        return sorted(queued, key=lambda job_id: last_turn.get(self.jobs[job_id]["person"], -1))[:1]

    def wake(self) -> None:
        """Wake those who watch for changes."""
        self.effects.notices.add(CHANGES)

    def end(self, job_id: str, outcome: str) -> None:
        """Remove a job with its message, and leave its outcome, as text."""
        self.jobs.pop(job_id, None)
        self.effects.writes[message_name(job_id)] = None
        self.effects.pushes.append((f"outcome:{job_id}", outcome))
        self.wake()

    def cancel(self, job_ids: list[str]) -> None:
        """Ask jobs to end; queued ones end at once."""
        for job_id in job_ids:
            if self.in_phase(job_id, QUEUED):
                self.end(job_id, Outcome(cancelled=True).text())
            elif job_id in self.jobs:
                self.jobs[job_id]["cancelled"] = True
        self.wake()

    def process_state(self) -> ProcessState:
        """Derive what the client sees from the jobs that are there."""
        training = self.training()
        if self.any(JobKind.INTERACTIVE) or training.get("held"):
            return ProcessState.WAITING
        return ProcessState.RUNNING if training else ProcessState.IDLE

    def checkpoint(self, job_id: str) -> Checkpoint:
        """Return what a running job has to know between its steps."""
        job = self.jobs.get(job_id)
        if job is None:
            return Checkpoint(False, False, self.params, is_missing=True)
        must_wait = job["held"] or self.any(JobKind.INTERACTIVE) is not None
        return Checkpoint(job["cancelled"], job["kind"] == JobKind.TRAINING and must_wait, self.params)


def message_name(job_id: str) -> str:
    """Return the name of the document that holds a job's message: it may be long, and the others need not read it."""
    return f"message:{job_id}"


def new_job(lease: Lease, phase: str, *, is_behind: bool = False) -> dict[str, Any]:
    """Return the entry of a job."""
    return {
        "kind": lease.kind.value,
        "phase": phase,
        "beat": 0,
        "owner": lease.owner,
        "task": lease.task,
        "claim": lease.claim,
        "person": lease.person,
        "cancelled": False,
        "held": False,
        "behind": is_behind,
        "live": False,
        "changed": {},
    }


def beat(job: dict[str, Any] | None) -> bool:
    """Count a beat of a job that is there."""
    if job is None:
        return False
    job["beat"] += 1
    return True
