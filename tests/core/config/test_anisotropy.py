import pytest

from elephant.config.anisotropy import n_keep_axials
from elephant.types import VoxelSize


@pytest.mark.parametrize(
    ("anisotropy", "expected"),
    [(0.5, 0), (1, 0), (2, 0), (2.5, 1), (2.99, 1), (3, 2), (4, 2), (5.9, 2), (6, 3), (10, 3), (12, 4), (100, 4)],
)
def test_kept_poolings_follow_the_anisotropy(anisotropy: float, expected: int) -> None:
    voxel_size = VoxelSize(anisotropy * 0.5, 0.5, 0.5)
    assert n_keep_axials(voxel_size, 3) == expected
    assert n_keep_axials(voxel_size, 2) == 0
