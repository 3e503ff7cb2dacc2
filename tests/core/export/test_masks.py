import io
import itertools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from elephant.errors import Cancelled, InvalidInputError
from elephant.export import Cell, ctc_mask, write_mask
from elephant.reporting import NeverCancelled
from elephant.types import Spot, VoxelSize

VOXEL = VoxelSize(2.0, 1.0, 1.0)


def ball(value: int, centre: tuple[float, float, float], radius: float, t: int = 0) -> Cell:
    """Return a ball; `centre` is physical, Z, Y, X."""
    return Cell(Spot(t, np.array(centre, dtype=float), np.eye(3) * radius**2), value)


def paint(shape: tuple[int, ...], *cells: Cell) -> np.ndarray:
    return ctc_mask(shape, cells, VOXEL, NeverCancelled())


def inside(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> np.ndarray:
    """Return the voxels nearer to a centre than a radius, by the definition."""
    distances = np.zeros(shape)
    for index in itertools.product(*map(range, shape)):
        offset = np.array(index) * VOXEL.last(len(shape)) - np.array(centre)
        distances[index] = np.sqrt((offset**2).sum())
    return distances < radius


def test_a_cell_fills_its_ellipsoid_with_its_value() -> None:
    mask = paint((9, 16, 17), ball(65535, (8.0, 7.3, 8.9), 5.05))
    assert mask.dtype == np.uint16
    np.testing.assert_array_equal(mask, np.where(inside((9, 16, 17), (8.0, 7.3, 8.9), 5.05), 65535, 0))


def test_a_2d_cell_is_an_ellipse() -> None:
    cell = Cell(Spot(0, np.array([0.0, 10.0, 9.0]), np.diag([1.0, 36.0, 9.0])), 7)
    mask = paint((21, 19), cell)
    assert mask.shape == (21, 19)
    assert np.flatnonzero(mask[:, 9]).tolist() == list(range(5, 16))
    assert np.flatnonzero(mask[10]).tolist() == list(range(7, 12))


def test_cells_that_touch_split_evenly() -> None:
    mask = paint((3, 21, 40), ball(1, (2.0, 10.0, 14.0), 8.0), ball(2, (2.0, 10.0, 25.0), 8.0))
    row = mask[1, 10]
    assert set(row[7:14]) == {1}
    assert set(row[26:32]) == {2}
    # Half way between the centres, 14 and 25, to a shell's width: 0.05 * 8.
    border = np.flatnonzero(np.diff(row.astype(int)) == 1).max()
    assert border in (19, 20)
    sizes = np.bincount(mask.ravel(), minlength=3)
    assert sizes[1] == pytest.approx(sizes[2], rel=0.1)


def test_of_cells_at_the_same_place_each_keeps_its_centre() -> None:
    mask = paint((5, 21, 21), ball(1, (4.0, 10.0, 10.0), 3.0), ball(2, (4.0, 10.4, 12.0), 12.0))
    assert mask[2, 10, 10] == 1
    assert mask[2, 10, 12] == 2


def test_a_small_cell_has_voxels_enough_and_one_outside_has_none() -> None:
    mask = paint((9, 9, 9), ball(3, (8.0, 4.0, 4.0), 0.01), ball(4, (8.0, 4.0, 1e300), 2.0))
    assert np.count_nonzero(mask == 3) >= 20
    assert not (mask == 4).any()


def test_without_cells_the_mask_is_blank() -> None:
    assert not paint((2, 3, 4)).any()


@pytest.mark.parametrize("value", [-1, 65536])
def test_a_value_of_more_than_16_bits_is_refused(value: int) -> None:
    with pytest.raises(InvalidInputError, match=f"0 to 65535, but {value} came"):
        ball(value, (0, 0, 0), 1)


def test_painting_can_be_ended() -> None:
    class Ended:
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        ctc_mask((2, 3, 4), [ball(1, (0, 0, 0), 1)], VOXEL, Ended())


@pytest.mark.parametrize("shape", [(5, 6, 3), (1, 6, 4), (3, 4, 5), (6, 3), (3, 3)])
def test_a_mask_is_read_back_as_it_was(shape: tuple[int, ...], tmp_path: Path) -> None:
    mask = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) * 700
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        write_mask(archive, "mask000.tif", mask, tmp_path, NeverCancelled())
    with zipfile.ZipFile(file) as archive, archive.open("mask000.tif") as entry, tifffile.TiffFile(entry) as tiff:
        assert tiff.is_imagej
        np.testing.assert_array_equal(tiff.asarray().reshape(shape), mask)
        assert len(tiff.pages) == (shape[0] if len(shape) == 3 else 1)
    assert not list(tmp_path.iterdir())
