"""What is said of jobs: kinds and leases, what they need of a dataset, how they ended, and what predictions found.

Several workers answer at once. Predictions do not conflict with each other; but the labels of a timepoint have to be
those of the last update that was requested, and a dataset that is converted again belongs to that job alone. Of jobs
that clash the one that was entered first runs first.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Protocol, Self

import numpy as np

from elephant.types import FloatArray

# What a job tells those who follow it.
Announcement = dict[str, Any]


class JobKind(StrEnum):
    """What a job does, as far as others are concerned."""

    TRAINING = "training"  # a training or a model reset: one at a time, held while an interactive job runs
    INTERACTIVE = "interactive"  # a prediction, a label update, the making or export of a dataset

    @property
    def queue(self) -> str:
        """Return the name of the queue whose workers do such jobs."""
        return "training" if self is JobKind.TRAINING else "answering"


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

    def text(self) -> str:
        """Return it as JSON."""
        # dataclasses.asdict would copy every number of the result, which takes longer than to write them.
        return json.dumps({each.name: getattr(self, each.name) for each in fields(self)}, allow_nan=False)


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
    person
        Who asked for it; empty where nobody knows.
    """

    id: str
    kind: JobKind
    phase: str
    beat: int
    owner: str
    task: str
    is_cancelled: bool = False
    person: str = ""


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
    person
        Who asked for it; empty where nobody knows.
    """

    id: str
    kind: JobKind
    task: str
    owner: str
    claim: str = ""
    person: str = ""


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


MOST_RESULTS = 20
# Of all of them together; the newest one always stays.
MOST_BYTES = 4 << 20
# Of one result: what a page can draw.
MOST_NUCLEI = 10_000
_UPPER = np.triu_indices(3)


@dataclass(frozen=True, slots=True)
class Nuclei:
    """Nuclei in voxels.

    Attributes
    ----------
    pos
        Centres, (N, 3), Z, Y, X.
    covariance
        (N, 3, 3), Z, Y, X; the surface is at one sigma.
    quality
        Mean centre probabilities, (N,).
    """

    pos: FloatArray
    covariance: FloatArray
    quality: FloatArray

    def best(self, n: int) -> Self:
        """Return the `n` nuclei of the highest quality, in the order in which they are."""
        chosen = np.sort(np.argsort(-self.quality, kind="stable")[:n])
        return replace(self, pos=self.pos[chosen], covariance=self.covariance[chosen], quality=self.quality[chosen])

    def pack(self) -> str:
        """Return them as a short text; numbers keep the seven digits of a float32."""
        upper = self.covariance[:, _UPPER[0], _UPPER[1]]
        table = np.concatenate([self.pos, upper, self.quality[:, None]], axis=1).astype("<f4")
        return base64.b64encode(zlib.compress(table.T.tobytes(), 6)).decode()

    @classmethod
    def unpack(cls, text: str) -> Self:
        """Return what :meth:`pack` made a text of."""
        table = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<f4").reshape(10, -1).T.astype(np.float64)
        covariance = np.empty((len(table), 3, 3))
        covariance[:, _UPPER[0], _UPPER[1]] = covariance[:, _UPPER[1], _UPPER[0]] = table[:, 3:9]
        return cls(table[:, :3], covariance, table[:, 9])


@dataclass(frozen=True, slots=True)
class Result:
    """What a prediction found.

    Attributes
    ----------
    id
        Of the job that found it.
    at
        When, seconds since 1970.
    dataset_name, version, timepoint
        Where; the version is that of the dataset's image, as :func:`elephant.dataset.summary.image_version` tells it.
    model_name
        The model that found it.
    n_found
        Number of nuclei; `nuclei` holds the best :data:`MOST_NUCLEI` of them.
    is_kept
        Whether the probabilities were kept in the dataset, too.
    box
        First voxel and size of the part that was predicted, Z, Y, X each; none where it was all of it.
    nuclei
        The nuclei, packed; empty where only the rest is listed.
    """

    id: str
    at: float
    dataset_name: str
    version: str
    timepoint: int
    model_name: str
    n_found: int
    is_kept: bool = False
    box: Sequence[int] | None = None
    nuclei: str = ""


class JobFeed(Protocol):
    """Where a worker publishes what its jobs are about, how far they are, and what they found; nobody waits for it."""

    def job(self, job_id: str, **fields: object) -> None:
        """Publish what is known of a job; fields that are not named stay as they were."""

    def dataset(self, name: str, **fields: object) -> None:
        """Publish what a request said of a dataset."""

    def result(self, result: Result) -> None:
        """Publish what a prediction found."""

    def count(self, what: str) -> None:
        """Count something that happened."""
