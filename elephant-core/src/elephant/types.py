"""Small types that all modules share: frozen, validated, always in the order Z, Y, X."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError

Shape = tuple[int, ...]
FloatArray = NDArray[np.float64]


class Tag(StrEnum):
    """A user's tag of a spot: true or false positive, negative or border, or unlabelled."""

    TP = "tp"
    FP = "fp"
    TN = "tn"
    FN = "fn"
    TB = "tb"
    FB = "fb"
    UNLABELED = "unlabeled"


N_CLASSES = 3  # background, border and centre


class Label(IntEnum):
    """The value of a voxel in detection labels; those of false annotations ("false") weigh more in the loss."""

    NOTHING = 0
    BACKGROUND = 1
    BORDER = 2
    CENTRE = 3
    FALSE_BACKGROUND = 4
    FALSE_BORDER = 5
    FALSE_CENTRE = 6

    @property
    def channel(self) -> int:
        """The channel of its class in a network's output, 0 background (and nothing), 1 border, 2 centre."""
        return max(self - 1, 0) % N_CLASSES

    def of(self, tag: Tag) -> "Label":
        """Return the label of this class for a spot's tag: the false one for fp, fn and fb."""
        return Label(self + N_CLASSES) if tag in _FALSE_TAGS else self


_FALSE_TAGS = frozenset({Tag.FP, Tag.FN, Tag.FB})


@dataclass(frozen=True, slots=True)
class VoxelSize:
    """Physical edge lengths of a voxel, in the unit of the movie (usually micrometres).

    Raises
    ------
    InvalidInputError
        A length is not a positive finite number.
    """

    z: float
    y: float
    x: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(edge) and edge > 0 for edge in self.zyx):
            raise InvalidInputError(
                f"expected a voxel whose edges are positive finite numbers, got X = {self.x:g}, Y = {self.y:g}, "
                f"Z = {self.z:g}: correct `voxel_size`"
            )

    @property
    def zyx(self) -> tuple[float, float, float]:
        """The three lengths in the order Z, Y, X."""
        return (self.z, self.y, self.x)

    def last(self, n_dims: int) -> tuple[float, ...]:
        """Return the lengths of the last `n_dims` axes: Y, X for 2, Z, Y, X for 3."""
        return self.zyx[3 - n_dims :]


@dataclass(frozen=True, slots=True)
class Box:
    """A block of voxels, ``origin`` inclusive, over the last axes of an image ((Z), Y, X).

    Raises
    ------
    InvalidInputError
        A size is below 1, an origin is negative, or their lengths differ.
    """

    origin: Shape
    size: Shape

    def __post_init__(self) -> None:
        if len(self.origin) != len(self.size) or min(self.origin) < 0 or min(self.size) < 1:
            raise InvalidInputError(
                f"expected a box with an origin of at least 0 and a size of at least 1 on each axis, got origin "
                f"{self.origin} and size {self.size}: choose a box inside the image"
            )

    @classmethod
    def whole(cls, shape: Shape) -> Self:
        """Return the box that covers an image of `shape`."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def end(self) -> Shape:
        """The first voxel after the box, per axis."""
        return tuple(o + s for o, s in zip(self.origin, self.size, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """The slices that cut the box out of an array."""
        return tuple(slice(o, e) for o, e in zip(self.origin, self.end, strict=True))

    def fits(self, shape: Shape) -> bool:
        """Return whether the box is inside an image of `shape`."""
        return len(shape) == len(self.size) and all(e <= s for e, s in zip(self.end, shape, strict=True))


# Radii, (n,), ascending, and unit vectors as rows, (n, n), of an ellipsoid: elephant.geometry stores them in the spot,
# so that a covariance is decomposed once, however many steps need it.
Semiaxes = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """A nucleus as an ellipsoid.

    Attributes
    ----------
    t
        Timepoint, counted from 0.
    pos
        Centre in physical units, (3,), Z, Y, X.
    covariance
        Symmetric positive definite matrix in squared physical units, (3, 3), Z, Y, X. The surface is its one-sigma
        level set: semi-axes are the square roots of its eigenvalues.
    tag
        The user's tag.
    id
        The client's id of the spot, -1 if it has none.

    Raises
    ------
    InvalidInputError
        A number is not finite, or the covariance is not symmetric.
    """

    t: int
    pos: FloatArray
    covariance: FloatArray
    tag: Tag = Tag.UNLABELED
    id: int = -1
    decomposed: Semiaxes | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        name = f"the spot at timepoint {self.t}" + ("" if self.id < 0 else f" with id {self.id}")
        _check_ellipsoid(name, self.pos, self.covariance)


@dataclass(frozen=True, slots=True, eq=False)
class AnsweredSpot(Spot):
    """A place of a review as the annotation that a person's answer makes of it.

    Attributes
    ----------
    log_odds
        What the model said, before any correction; none if it is not known.
    """

    log_odds: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DetectedSpot:
    """A nucleus found by a prediction.

    Attributes
    ----------
    pos
        Centre, physical, (3,), Z, Y, X; Z is 0 in 2D.
    covariance
        (3, 3), physical, Z, Y, X; its one-sigma surface is the nucleus'; ZZ is 1 in 2D.
    quality
        How probable it is that it is a nucleus, 0 to 1: of a prediction the calibrated probability, or as extracted
        the mean centre probability; of a detector of another kind how sure that is.
    """

    pos: FloatArray
    covariance: FloatArray
    quality: float

    @classmethod
    def ball(cls, centre: Sequence[float], radius: float, quality: float = 1.0) -> Self:
        """Return a nucleus as a ball around a centre, physical, (Z), Y, X; in 2D a disk at Z = 0."""
        n = len(centre)
        pos, variances = np.zeros(3), np.ones(3)
        pos[3 - n :], variances[3 - n :] = centre, radius**2
        return cls(pos, np.diag(variances), quality)


@dataclass(frozen=True, slots=True, eq=False)
class EarlierSpot:
    """The position of a spot at the previous timepoint.

    Attributes
    ----------
    id
        The client's id of the spot.
    pos
        Its earlier centre, physical, (3,), Z, Y, X; in 2D Z stays.
    sqdisp
        The squared physical distance to its current position.
    """

    id: int
    pos: FloatArray
    sqdisp: float


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A link from a nucleus to its earlier position.

    Attributes
    ----------
    t
        The earlier timepoint, counted from 0; `pos` is the position at `t` + 1.
    pos, covariance
        The later spot, as of :class:`Spot`.
    displacement
        The earlier position minus the later one, physical, (3,), Z, Y, X.

    Raises
    ------
    InvalidInputError
        A number is not finite, or the covariance is not symmetric.
    """

    t: int
    pos: FloatArray
    covariance: FloatArray
    displacement: FloatArray
    decomposed: Semiaxes | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        name = f"the link from timepoint {self.t}"
        _check_ellipsoid(name, self.pos, self.covariance)
        if self.displacement.shape != (3,) or not np.isfinite(self.displacement).all():
            raise InvalidInputError(f"{name} needs a displacement of three finite numbers, got {self.displacement}")


# Places of the pairs in a 3 x 3 matrix that are alike where it is symmetric.
_PAIRS = ((1, 3), (2, 6), (5, 7))


def _check_ellipsoid(name: str, pos: FloatArray, covariance: FloatArray) -> None:
    # A request may have a million spots: for so few numbers, Python takes a fifth of NumPy's time.
    if pos.shape != (3,) or not all(map(math.isfinite, pos.tolist())):
        raise InvalidInputError(f"{name} needs a position of three finite numbers, got {pos}")
    values = covariance.ravel().tolist()
    if covariance.shape != (3, 3) or not all(map(math.isfinite, values)):
        raise InvalidInputError(f"{name} needs a covariance of 3 x 3 finite numbers, got {covariance.tolist()}")
    pairs = [(values[i], values[j]) for i, j in _PAIRS]
    least = 1e-9 * max(map(abs, values))
    if any(abs(x - y) > least + 1e-4 * min(abs(x), abs(y)) for x, y in pairs):
        raise InvalidInputError(f"{name} needs a symmetric covariance, got {covariance.tolist()}")
