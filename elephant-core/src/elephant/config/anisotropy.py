"""How far apart the planes of a movie are, and what the networks make of it."""

from math import ceil, log2

from elephant.types import VoxelSize

MAX_KEEP_AXIALS = 4


def n_keep_axials(voxel_size: VoxelSize, n_dims: int) -> int:
    """Return how many of the four poolings leave Z alone, as the client derives it from the voxel size.

    With the anisotropy a = Z / X: 0 up to 2, then the exponent of the nearest power of two, ties upwards, at most 4.
    Where the client says -1 (a below 0.75) the networks take 0; so they do in 2D.

    Parameters
    ----------
    voxel_size
        Of the image that the network sees.
    n_dims
        3 or 2.
    """
    anisotropy = voxel_size.z / voxel_size.x
    if n_dims == 2 or anisotropy <= 2:
        return 0
    upper = ceil(log2(anisotropy))
    is_nearer_to_upper = 2**upper - anisotropy <= anisotropy - 2 ** (upper - 1)
    return min(upper if is_nearer_to_upper else upper - 1, MAX_KEEP_AXIALS)
