"""Nuclei in requests and answers: ellipsoids, what they must be like, and the turn to Z, Y, X and back."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, ConfigDict, FailFast, Field
from pydantic.dataclasses import dataclass

from elephant.progress import CancelToken
from elephant.types import FloatArray, Tag
from elephant_server.schemas.fields import FARTHEST, LARGEST_LENGTH, LEAST_LENGTH, Finite, Index, Vector, Whole

# Each takes some 2 kB while a request is read.
MOST_SPOTS = 1_000_000
# Without models' dicts they take a third of the memory.
SPOT_CONFIG = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)
_AGAIN = "delete that spot and draw it again"


def _known_tag(value: Any) -> Any:
    if isinstance(value, str) and value not in set(Tag):
        raise ValueError(f"expected one of the tags {', '.join(Tag)}, got {value[:40]!r}")
    return Tag(value) if isinstance(value, str) else value


def _let_others_work(spot: Any) -> Any:
    """Return the same: while a function of Python's is called, other threads may have their turn."""
    return spot


E = TypeVar("E", bound="EllipsoidBody")
# The first that is wrong is enough: for each that is, Pydantic keeps a kilobyte.
SpotList = Annotated[
    tuple[Annotated[E, AfterValidator(_let_others_work)], ...], FailFast(), Field(max_length=MOST_SPOTS)
]


@dataclass(frozen=True, slots=True, config=SPOT_CONFIG)
class EllipsoidBody:
    """A nucleus as an ellipsoid."""

    pos: Vector = Field(description="centre, physical, X, Y, Z")
    covariance: Annotated[tuple[Finite, ...], FailFast(), Field(min_length=9, max_length=9)] = Field(
        description="3 x 3 covariance of the ellipsoid, physical, row-major over X, Y, Z; its surface is at one sigma"
    )

    @property
    def counts(self) -> bool:
        """Whether its shape is used."""
        return True

    @property
    def lengths(self) -> Vector:
        """What else must lie within the movie, X, Y, Z, physical."""
        return (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, config=SPOT_CONFIG)
class SpotBody(EllipsoidBody):
    """An annotated nucleus."""

    t: Index = Field(description="timepoint, counted from 0")
    tag: Annotated[Tag, BeforeValidator(_known_tag)] = Field(Tag.UNLABELED, description="what a person says of it")
    id: Whole = Field(-1, description="the client's name of the spot")

    @property
    def counts(self) -> bool:
        """Whether its shape is used."""
        return self.tag is not Tag.UNLABELED


def check_spots(spots: Sequence[EllipsoidBody], is_3d: bool) -> None:
    """Check that spots lie near the movie, and that the covariances of all that count are those of ellipsoids.

    Raises
    ------
    ValueError
        One is not as it should be; the message names it.
    """
    if not spots:
        return
    n = 3 if is_3d else 2
    for name in ("pos", "lengths"):
        far = np.abs([getattr(spot, name)[:n] for spot in spots]).max(axis=1) > FARTHEST
        if far.any():
            index = int(np.argmax(far))
            what = name if name == "pos" else "displacement"
            raise ValueError(
                f"spots.{index}.{what}: expected numbers of at most {FARTHEST:g}, got "
                f"{list(getattr(spots[index], name))} (X, Y, Z): {_AGAIN}"
            )
    counted = [i for i, spot in enumerate(spots) if spot.counts]
    matrices = np.array([spots[i].covariance for i in counted]).reshape(-1, 3, 3)[:, :n, :n]
    wrong = np.flatnonzero(~_are_ellipsoids(matrices))
    if len(wrong):
        index = counted[int(wrong[0])]
        spot = spots[index]
        raise ValueError(
            f"spots.{index}.covariance: expected that of an ellipsoid, symmetric positive definite and with semi-axes "
            f"of {LEAST_LENGTH:g} to {LARGEST_LENGTH:g}, got {list(spot.covariance)} (at {list(spot.pos)}, "
            f"X, Y, Z): {_AGAIN}"
        )


def _are_ellipsoids(matrices: FloatArray) -> NDArray[np.bool_]:
    """Tell which of the matrices, (N, n, n), are symmetric and have eigenvalues within bounds, (N,)."""
    largest = np.abs(matrices).max(axis=(1, 2), initial=0)
    small_enough = largest <= LARGEST_LENGTH**2
    # What is too large would overflow below: it is refused as it is.
    matrices = np.where(small_enough[:, None, None], matrices, 0)
    turned = matrices.transpose(0, 2, 1)
    symmetric = np.abs(matrices - turned).max(axis=(1, 2), initial=0) <= 1e-4 * largest
    positive = np.linalg.eigvalsh((matrices + turned) / 2)[:, 0] >= LEAST_LENGTH**2
    accepted: NDArray[np.bool_] = small_enough & symmetric & positive
    return accepted


_AT_ONCE = 10_000


def turned(spots: Sequence[E], is_3d: bool, cancel: CancelToken) -> Iterator[tuple[E, FloatArray, FloatArray]]:
    """Yield each spot with its centre, (3,), and covariance, (3, 3), both Z, Y, X, in 2D without what stands at Z.

    A million of them take seconds, within which `cancel` is asked.
    """
    for begin in range(0, len(spots), _AT_ONCE):
        some = spots[begin : begin + _AT_ONCE]
        centres = np.array([spot.pos for spot in some], np.float64)[:, ::-1].copy()
        covariances = np.array([spot.covariance[::-1] for spot in some], np.float64).reshape(-1, 3, 3)
        if not is_3d:
            covariances[:, 0] = covariances[:, :, 0] = 0
            covariances[:, 0, 0] = 1
        for item in zip(some, centres, covariances, strict=True):
            cancel.check()
            yield item


def xyz(vector: FloatArray) -> list[float]:
    """Return a vector of the core, (3,), Z, Y, X, as it is answered: X, Y, Z."""
    found: list[float] = vector[::-1].tolist()
    return found


def covariance_xyz(matrix: FloatArray) -> list[float]:
    """Return a covariance of the core, (3, 3), Z, Y, X, as it is answered: row-major over X, Y, Z."""
    found: list[float] = matrix[::-1, ::-1].ravel().tolist()
    return found


def vector_zyx(vector: Sequence[float]) -> FloatArray:
    """Return a vector of an answer, X, Y, Z, as the core has it, (3,), Z, Y, X."""
    return np.array(vector[::-1], np.float64)


def covariance_zyx(covariance: Sequence[float]) -> FloatArray:
    """Return a covariance of an answer, row-major over X, Y, Z, as the core has it, (3, 3), Z, Y, X."""
    return np.array(covariance[::-1], np.float64).reshape(3, 3)
