"""What is said of jobs: their kinds, their leases, how they ended, and what whoever watches them sees."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

News = dict[str, Any]


class JobKind(StrEnum):
    """What a job does, as far as others are concerned."""

    TRAINING = "training"  # a training or a model reset: one at a time, held while an interactive job runs
    INTERACTIVE = "interactive"  # a prediction, a label update, the making or export of a dataset


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
    """What a job learns when it looks into the job store.

    Attributes
    ----------
    is_cancelled
        Somebody asked it to end.
    is_missing
        It is not in the job store: it was given up, or Redis has lost its data.
    must_wait
        It is a training, and an interactive job is there or a person holds it.
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
    """A job as others see it.

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
    """What a worker keeps of the job that it runs: enough to enter it again when Redis has lost its data.

    Attributes
    ----------
    id, kind, task
        The job.
    owner
        The process that runs it.
    claim
        What it needs of a dataset; see :func:`elephant_server.state.claims.claim`.
    """

    id: str
    kind: JobKind
    task: str
    owner: str
    claim: str = ""


class NotYet(Exception):  # noqa: N818 - nothing is wrong
    """A job cannot begin: one that was entered before it, and that it clashes with, is not done."""
