"""What is said of jobs: their kinds and leases, what they need of a dataset, how they ended, and how others see them.

Several workers answer at once. Predictions do not mind each other; but the labels of a timepoint have to be those of
the update that was asked for last, and a dataset that is converted again is nobody else's meanwhile. Of jobs that clash
the one that was entered first comes first.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

# What a job tells those who follow it.
Announcement = dict[str, Any]


class JobKind(StrEnum):
    """What a job does, as far as others are concerned."""

    TRAINING = "training"  # a training or a model reset: one at a time, held while an interactive job runs
    INTERACTIVE = "interactive"  # a prediction, a label update, the making or export of a dataset


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
        What it needs of a dataset; see :func:`claim`.
    """

    id: str
    kind: JobKind
    task: str
    owner: str
    claim: str = ""


class NotYet(Exception):  # noqa: N818 - nothing is wrong
    """A job cannot begin: one that was entered before it, and that it clashes with, is not done."""


class Access(StrEnum):
    """How a job uses a dataset."""

    READ = "r"  # predictions and exports: beside each other and beside changes of labels
    LABELS = "l"  # one after the other
    ALL = "a"  # alone


def claim(access: Access, dataset_name: str) -> str:
    """Return what is entered in the job store for a use of a dataset."""
    return f"{access.value}:{PurePosixPath(dataset_name)}"


def clash(one: str, other: str) -> bool:
    """Tell whether two claims exclude each other; empty ones exclude nothing."""
    if not one or not other or one[1:] != other[1:]:
        return False
    return Access.ALL.value in (one[0], other[0]) or one[0] == other[0] == Access.LABELS.value
