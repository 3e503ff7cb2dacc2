"""What predictions found, kept for whoever looks at it later: bounded in number and in bytes."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from elephant.types import FloatArray

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
        The nuclei, packed; empty where only the rest is told.
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
