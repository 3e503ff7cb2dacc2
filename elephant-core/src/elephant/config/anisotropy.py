"""How far apart the planes of a movie are, and what the networks make of it."""

from math import frexp
from typing import Annotated

from pydantic import AfterValidator, Field

from elephant.types import VoxelSize

N_POOLINGS = 4
LEAST_KEEP_AXIALS, MOST_KEEP_AXIALS = -1, 31  # what the client sends


def n_keep_axials(voxel_size: VoxelSize, n_dims: int) -> int:
    """Return `n_keep_axials` as the client derives it from the voxel size.

    With the anisotropy a = Z / X: -1 below 0.75, 0 from there to below 2, and from 2 on the exponent of the nearest
    power of two, ties upwards, at most 31. In 2D it is 0.

    Parameters
    ----------
    voxel_size
        Of the image that the network sees.
    n_dims
        3 or 2.
    """
    anisotropy = voxel_size.z / voxel_size.x
    if n_dims == 2 or 0.75 <= anisotropy < 2:
        return 0
    if anisotropy < 0.75:
        return LEAST_KEEP_AXIALS
    mantissa, exponent = frexp(anisotropy)  # anisotropy = mantissa * 2^exponent with 0.5 <= mantissa < 1
    return min(exponent if mantissa >= 0.75 else exponent - 1, MOST_KEEP_AXIALS)


def kept_poolings(n_keep_axials: int) -> int:
    """Return how many of the four poolings leave Z alone: `n_keep_axials`, at least 0 and at most 4."""
    return min(max(n_keep_axials, 0), N_POOLINGS)


KeepAxials = Annotated[int, Field(ge=LEAST_KEEP_AXIALS, le=MOST_KEEP_AXIALS)]
KeptPoolings = Annotated[KeepAxials, AfterValidator(kept_poolings)]
