"""The contract of the board on which every process sees what runs.

A *job* is a piece of work from the moment it is asked for until its outcome is known. Its entry in the job store is a
lease: whoever is responsible for it (the process that accepted it while it is queued, the worker while it runs) renews
it, which counts its beats. An entry whose beats stand still, or whose worker is gone, is dropped by whoever watches the
board. The state that the client sees is derived from the entries, so that a process that dies can never leave it stuck.
No clock of the machine decides anything: it may be set at any time.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Protocol

News = dict[str, Any]


class JobKind(StrEnum):
    """What a job does, as far as others are concerned."""

    TRAINING = "training"  # a training or a model reset: one at a time, held while a guest works
    INTERACTIVE = "guest"  # a prediction, a label update, the making or export of a dataset


class ProcessState(IntEnum):
    """The state as the client knows it."""

    IDLE = 0
    RUNNING = 1
    WAITING = 2


@dataclass(frozen=True, slots=True)
class LiveParams:
    """Settings of the running, or the last, training: learning rate and crops per timepoint and epoch."""

    lr: float = 0.001
    n_crops: int = 5


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a job learns from a look at the board.

    Attributes
    ----------
    is_cancelled
        It must end: somebody asked for it.
    is_missing
        It is not in the job store: it was given up, or Redis has lost its data.
    must_wait
        It is a training, and a guest works or a person holds it.
    params
        The settings of the moment.
    """

    is_cancelled: bool
    must_wait: bool
    params: LiveParams
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    result
        What it answers, where it completed.
    cancelled
        It was ended before it was done.
    error
        Name of the error's class, where it failed.
    message
        What the error says.
    """

    result: dict[str, Any] | None = None
    cancelled: bool = False
    error: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job as whoever watches the board sees it.

    Attributes
    ----------
    id, kind
        The job.
    phase
        ``queued`` or ``running``.
    beat
        How often it was renewed in this phase.
    owner
        The process that runs it; empty while it is queued.
    task
        What it does, by the name of its task.
    is_cancelled
        Whether it was asked to end.
    """

    id: str
    kind: JobKind
    phase: str
    beat: int
    owner: str
    task: str
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """What a worker keeps of the job that it runs: enough to enter it again on a board that was emptied.

    Attributes
    ----------
    id, kind, task
        The job.
    owner
        The process that runs it.
    claim
        What it needs of a dataset; see :mod:`elephant_server.state.claims`.
    """

    id: str
    kind: JobKind
    task: str
    owner: str
    claim: str = ""


class NotYet(Exception):  # noqa: N818 - nothing is wrong
    """A job cannot begin: one that was entered before it, and that it clashes with, is not done."""


class JobStore(Protocol):
    """Jobs and their leases; every method is one atomic step."""

    def open(self, job_id: str, kind: JobKind, task: str = "", claim: str = "") -> bool:
        """Enter a queued job; False, and nothing changed, where it is a training and another one is there."""

    def take(self, job_id: str, owner: str = "") -> Lease | None:
        """Start a queued job; None where it is gone, because it was cancelled or nobody waited for it any more.

        Raises
        ------
        NotYet
            An earlier job that it clashes with is queued or runs; this one stays queued.
        """

    def renew_queued(self, job_id: str) -> bool:
        """Prolong the lease of a job that is queued; False where it is not, or not any more."""

    def renew(self, lease: Lease, params: LiveParams | None = None) -> bool:
        """Prolong the lease of a job that runs; False where it was given up.

        Where Redis has lost its data meanwhile, it is entered again, with the settings that it runs with.
        """

    def entries(self) -> list[JobEntry]:
        """Return the jobs that are there."""

    def drop(self, entry: JobEntry, outcome: Outcome) -> bool:
        """End a job for good, unless it has been renewed since; False where it was."""

    def silent_owners(self) -> set[str]:
        """Return the processes whose running jobs were dropped, and that are not known to have ended."""

    def forget_owner(self, owner: str) -> None:
        """Take note that a process whose job was dropped has ended."""

    def finish(self, job_id: str, outcome: Outcome) -> None:
        """Take a job off the board and leave its outcome, both at once."""

    def wait_for_outcome(self, job_id: str, timeout_s: float) -> Outcome | None:
        """Block until the outcome is there, and take it; None after `timeout_s` seconds."""

    def announce(self, job_id: str, news: News) -> None:
        """Tell whoever follows a job what is there of it already; nothing where the job is gone."""

    def wait_for_news(self, job_id: str, timeout_s: float) -> News | Outcome | None:
        """Block until the job has announced something or its outcome is there, and take that; None after `timeout_s`.

        Announcements come in their order, and all of them before the outcome.
        """

    def open_live(self, job_id: str) -> None:
        """Let a training hear of labels that are written from now on."""

    def tell_live(self, update: str) -> None:
        """Tell the live training, where there is one, that labels were written."""

    def wait_for_live(self, job_id: str, timeout_s: float) -> list[str]:
        """Block until the live training was told something, and take all of it in order; nothing after `timeout_s`."""

    def is_alive(self, job_id: str) -> bool:
        """Tell whether the job is in the job store."""

    def cancel(self, job_id: str) -> None:
        """Ask a job to end; a queued one ends at once."""

    def cancel_all(self) -> None:
        """Ask all jobs to end."""

    def hold(self, held: bool) -> None:
        """Hold the running training, or let it go on."""

    def process_state(self) -> ProcessState:
        """Derive the state from the jobs that are there."""

    def look(self, job_id: str) -> Checkpoint:
        """Return what a running job has to know between its steps."""

    def watch(self) -> AbstractContextManager[Callable[[float], None]]:
        """Watch the board inside the block.

        The value is a function that blocks until something changed since the block began or since it was called last,
        or for so many seconds.
        """

    def read_params(self) -> LiveParams:
        """Return the settings of the running, or the last, training."""

    def write_params(self, lr: float | None = None, n_crops: int | None = None) -> LiveParams:
        """Change the settings that are given, and return all."""
