"""Nuclei in request bodies: ellipsoids, and what they must be like."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from elephant.types import FloatArray, Tag
from elephant_server.jobs.payloads import SpotPayload
from elephant_server.schemas.base import Body, zyx
from elephant_server.schemas.numbers import FARTHEST, LARGEST_LENGTH, LEAST_LENGTH, Finite, Index, Vector, Whole

_AGAIN = "delete that spot and draw it again"


def _known_tag(value: Any) -> Any:
    if isinstance(value, str) and value not in set(Tag):
        raise ValueError(f"expected one of the tags {', '.join(Tag)}, but {value[:40]!r} came")
    return Tag(value) if isinstance(value, str) else value


class EllipsoidBody(Body):
    """A nucleus as an ellipsoid."""

    pos: Vector = Field(description="centre, physical, X, Y, Z")
    covariance: Annotated[tuple[Finite, ...], Field(min_length=9, max_length=9)] = Field(
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

    def covariance_zyx(self, is_3d: bool) -> tuple[float, ...]:
        """Return the covariance in the order Z, Y, X, in 2D without what stands at Z."""
        turned = self.covariance[::-1]
        return turned if is_3d else (1.0, 0.0, 0.0, 0.0, *turned[4:6], 0.0, *turned[7:])


class SpotBody(EllipsoidBody):
    """An annotated nucleus."""

    t: Index = Field(description="timepoint, counted from 0")
    tag: Annotated[Tag, BeforeValidator(_known_tag)] = Field(Tag.UNLABELED, description="what a person says of it")
    id: Whole = Field(-1, description="the client's name of the spot")

    @property
    def counts(self) -> bool:
        """Whether its shape is used."""
        return self.tag is not Tag.UNLABELED

    def to_payload(self, is_3d: bool) -> SpotPayload:
        """Return it in the order Z, Y, X."""
        covariance = self.covariance_zyx(is_3d)
        return SpotPayload(t=self.t, pos=zyx(self.pos), covariance=covariance, tag=self.tag, id=self.id)


E = TypeVar("E", bound=EllipsoidBody)


def check_spots(spots: Sequence[E], is_3d: bool, counts: Callable[[E], bool] = lambda spot: spot.counts) -> None:
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
                f"spots.{index}.{what}: expected numbers of at most {FARTHEST:g}, but "
                f"{list(getattr(spots[index], name))} came (X, Y, Z): {_AGAIN}"
            )
    counted = [i for i, spot in enumerate(spots) if counts(spot)]
    matrices = np.array([spots[i].covariance for i in counted]).reshape(-1, 3, 3)[:, :n, :n]
    wrong = np.flatnonzero(~_are_ellipsoids(matrices))
    if len(wrong):
        index = counted[int(wrong[0])]
        spot = spots[index]
        raise ValueError(
            f"spots.{index}.covariance: expected that of an ellipsoid, symmetric positive definite and with semi-axes "
            f"of {LEAST_LENGTH:g} to {LARGEST_LENGTH:g}, but {list(spot.covariance)} came (at {list(spot.pos)}, "
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
