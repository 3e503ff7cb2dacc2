import pytest
import torch

from elephant.images import sample_at, voxel_positions

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [(5, 6), (1, 6), (1, 1), (3, 4, 5), (1, 4, 5)])
def test_voxels_are_found_where_they_are(size: tuple[int, ...]) -> None:
    image = torch.rand(1, 2, *size)
    found = sample_at(image, voxel_positions(size, torch.float32, CPU)[None], "bilinear", "zeros")
    torch.testing.assert_close(found, image, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [1, 3])
def test_outside_is_0_also_beside_a_single_plane(length: int) -> None:
    image = torch.ones(1, 1, length, 4, 4)
    positions = torch.tensor([[-1.0, 1, 1], [-0.25, 1, 1], [length - 0.5, 2, 3], [length, 2, 3]])[None, None, None]
    found = sample_at(image, positions, "bilinear", "zeros").flatten()
    torch.testing.assert_close(found, torch.tensor([0, 0.75, 0.5, 0]), rtol=0, atol=1e-5)
