"""Types of the fields of request bodies, nuclei among them, and the turn from X, Y, Z to Z, Y, X and back."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import annotated_types
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, ConfigDict, FailFast, Field
from pydantic.dataclasses import dataclass

from elephant.config import Params
from elephant.models.pretrained import VERSATILE
from elephant.progress import CancelToken
from elephant.types import DetectedSpot, FloatArray, Tag, VoxelSize

# Java's, in which the client counts.
LARGEST_INT = 2**31 - 1
LARGEST_LONG = 2**63 - 1

# Physical: a semi-axis or an edge of a voxel, and how far from the origin something can be.
LEAST_LENGTH, LARGEST_LENGTH = 1e-9, 1e9
FARTHEST = 1e12

# An epoch's crops are a list, as are the items of a batch; epochs are counted, and 1,000,000 are without end.
LARGEST_CROPS = 100_000
LARGEST_BATCH = 4096
LARGEST_EPOCHS = 1_000_000
LARGEST_RATE = 1000
LARGEST_WEIGHT = 1e6
LEAST_RATIO = 1e-3

Finite = Annotated[float, Field(allow_inf_nan=False)]
Vector = tuple[Finite, Finite, Finite]
Weight = Annotated[Finite, Field(ge=0, le=LARGEST_WEIGHT)]

Whole = Annotated[int, Field(ge=-LARGEST_LONG - 1, le=LARGEST_LONG)]
Index = Annotated[int, Field(ge=0, le=LARGEST_INT)]
Bytes = Annotated[int, Field(ge=0, le=LARGEST_LONG)]

Sizes = tuple[Whole, Whole, Whole]
CropBox = tuple[Whole, Whole, Whole, Whole, Whole, Whole]

Name = Annotated[str, Field(min_length=1, max_length=1000)]


def _check_address(url: str) -> str:
    """Accept what names a model: whether it may be fetched, and what it answers, shows later."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        is_one = False
    if url != VERSATILE and not is_one:
        raise ValueError(
            f'expected "{VERSATILE}", null, or the address of a .pth that starts with http:// or https://, got '
            f"{url[:80]!r}: check the address, or upload the file"
        )
    return url


ModelUrl = Annotated[str, Field(max_length=2000), AfterValidator(_check_address)]

_LOWER, _UPPER = ("ge", "gt"), ("le", "lt")


def parameter(model: type[Params], name: str, default: Any = ..., **bounds: float) -> Any:
    """Return the field of a request body that stands for a parameter of the core.

    Its description, bounds and default are those of the parameter; sizes are X, Y, Z in a request.

    Parameters
    ----------
    model, name
        The parameter.
    default
        Another default, where a request has one.
    **bounds
        Tighter ones (``ge``, ``gt``, ``le``, ``lt``), in place of the parameter's at the same end.
    """
    field = model.model_fields[name]
    limits = {
        word: getattr(limit, word)
        for limit in field.metadata
        if isinstance(limit, annotated_types.Ge | annotated_types.Gt | annotated_types.Le | annotated_types.Lt)
        for word in (*_LOWER, *_UPPER)
        if hasattr(limit, word)
    }
    for end in (_LOWER, _UPPER):
        if bounds.keys() & set(end):
            limits = {word: value for word, value in limits.items() if word not in end}
    words = (field.description or "").replace("(Z), Y, X", "X, Y, Z").replace("Z, Y, X", "X, Y, Z")
    return Field(field.default if default is ... else default, description=words, **{**limits, **bounds})


def zyx(vector: Vector) -> Vector:
    """Return a vector the other way round: X, Y, Z as Z, Y, X and back."""
    return (vector[2], vector[1], vector[0])


def sizes_zyx(sizes: Sizes, is_3d: bool) -> tuple[int, ...]:
    """Return sizes as Z, Y, X, or as Y, X where there is no Z."""
    return sizes[::-1] if is_3d else sizes[1::-1]


def voxel_size(scales: Vector, is_3d: bool) -> VoxelSize:
    """Return the voxel size; in 2D whatever stands at Z does not count."""
    return VoxelSize(scales[2] if is_3d else 1.0, scales[1], scales[0])


# Each takes some 2 kB while a request is read.
MOST_SPOTS = 1_000_000
# Without models' dicts they take a third of the memory.
SPOT_CONFIG = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)
_AGAIN = "delete that spot and draw it again"


def known_tag(value: Any) -> Any:
    """Return the tag of this name; refuse others in words."""
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
    tag: Annotated[Tag, BeforeValidator(known_tag)] = Field(Tag.UNLABELED, description="what a person says of it")
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


def ellipsoids_xyz(spots: Sequence[DetectedSpot]) -> tuple[list[list[float]], list[list[float]]]:
    """Return the centres and the covariances of many spots as :func:`xyz` and :func:`covariance_xyz` do, at once."""
    centres = np.array([spot.pos for spot in spots]).reshape(-1, 3)
    covariances = np.array([spot.covariance for spot in spots]).reshape(-1, 9)
    return centres[:, ::-1].tolist(), covariances[:, ::-1].tolist()


def vector_zyx(vector: Sequence[float]) -> FloatArray:
    """Return a vector of an answer, X, Y, Z, as the core has it, (3,), Z, Y, X."""
    return np.array(vector[::-1], np.float64)


def covariance_zyx(covariance: Sequence[float]) -> FloatArray:
    """Return a covariance of an answer, row-major over X, Y, Z, as the core has it, (3, 3), Z, Y, X."""
    return np.array(covariance[::-1], np.float64).reshape(3, 3)
