"""Types of the fields of request bodies, and the turn from X, Y, Z to Z, Y, X.

Numbers are finite, and of a size that something in a microscope can have. The bounds are wide. They are there so that
nothing can overflow on its way, and no loop or list grow without end.
"""

from typing import Annotated, Any
from urllib.parse import urlsplit

import annotated_types
from pydantic import AfterValidator, Field

from elephant.config import Params
from elephant.models.pretrained import VERSATILE
from elephant.types import VoxelSize

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
