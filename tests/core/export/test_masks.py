import itertools

import numpy as np
import pytest

from elephant.errors import Cancelled, InvalidInputError
from elephant.export import MarkedNucleus, ctc_mask, masks, shells
from elephant.geometry import Ellipsoid, rasterise
from elephant.progress import NeverCancelled
from elephant.types import Spot, VoxelSize

VOXEL = VoxelSize(2.0, 1.0, 1.0)


def ball(value: int, centre: tuple[float, float, float], radius: float, t: int = 0) -> MarkedNucleus:
    """Return a ball; `centre` is physical, Z, Y, X."""
    return MarkedNucleus(Spot(t, np.array(centre, dtype=float), np.eye(3) * radius**2), value)


def paint(shape: tuple[int, ...], *cells: MarkedNucleus) -> np.ndarray:
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
    cell = MarkedNucleus(Spot(0, np.array([0.0, 10.0, 9.0]), np.diag([1.0, 36.0, 9.0])), 7)
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
    with pytest.raises(InvalidInputError, match=f"0 to 65535, got {value} at"):
        ball(value, (0, 0, 0), 1)


class EndedLater:
    """Lets work go on for so many looks."""

    def __init__(self, n_looks: int) -> None:
        self.left = n_looks

    def check(self) -> None:
        if self.left == 0:
            raise Cancelled
        self.left -= 1


@pytest.mark.parametrize("n_looks", [0, 3])
def test_painting_can_be_ended_within_a_mask(n_looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shells, "BLOCK_VOXELS", 100)
    cancel = EndedLater(n_looks)
    with pytest.raises(Cancelled):
        ctc_mask((5, 21, 21), [ball(1, (4, 10, 10), 9)], VOXEL, cancel)
    assert cancel.left == 0


def one_by_one(shape: tuple[int, ...], cells: list[MarkedNucleus], voxel: VoxelSize) -> np.ndarray:
    """Paint as the method is described: shell after shell, cell after cell."""
    mask = np.zeros(shape, dtype=np.uint16)
    scale = voxel.last(len(shape))
    painted = [(Ellipsoid.from_spot(cell.spot, len(shape)), cell.value) for cell in cells]
    for shell in range(16):
        for ellipsoid, value in painted:
            raster = rasterise(ellipsoid.scaled(1 - 0.05 * shell), scale, shape, min_voxels=20)
            mask[raster.slices][raster.mask] = value
    for ellipsoid, value in painted:
        nearest = np.floor(ellipsoid.centre / scale + 0.5)
        if ((nearest >= 0) & (nearest < shape)).all():
            mask[tuple(nearest.astype(int))] = value
    return mask


def crowd(rng: np.random.Generator, shape: tuple[int, ...], voxel: VoxelSize, on_grid: bool) -> list[MarkedNucleus]:
    """Return cells of all sizes that overlap and reach over the edges; on a grid, voxels lie exactly on surfaces."""
    size = np.array([1] * (3 - len(shape)) + list(shape)) * np.array(voxel.zyx)
    cells = []
    for value in range(1, int(rng.integers(2, 25))):
        pos = rng.uniform(-0.2, 1.2, 3) * size
        radii = rng.uniform(*sorted(rng.choice([0.001, 0.3, 2.0, 5.0, 12.0], 2)), 3) + (1 if on_grid else 0)
        axes = np.eye(3)
        if on_grid:
            pos, radii = np.round(pos), np.round(radii)
        else:
            axes[3 - len(shape) :, 3 - len(shape) :] = np.linalg.qr(rng.normal(size=(len(shape),) * 2))[0]
        covariance = axes @ np.diag(radii**2) @ axes.T
        cells.append(MarkedNucleus(Spot(0, pos, (covariance + covariance.T) / 2), value))
    return cells


@pytest.mark.parametrize("seed", range(12))
def test_all_at_once_is_the_same_as_one_by_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    if seed % 2:  # large boxes are cut, and cells come in several runs
        monkeypatch.setattr(shells, "BLOCK_VOXELS", 50)
        monkeypatch.setattr(masks, "_MOST_VOXELS", 2000)
    for n_dims, on_grid in itertools.product((2, 3), (False, True)):
        shape = tuple(rng.integers(1, 30, n_dims).tolist())
        voxel = VoxelSize(*rng.choice([0.5, 1.0, 2.5], 3).tolist())
        cells = crowd(rng, shape, voxel, on_grid)
        np.testing.assert_array_equal(ctc_mask(shape, cells, voxel, NeverCancelled()), one_by_one(shape, cells, voxel))


@pytest.mark.parametrize("shape", [(40, 40), (20, 30, 30)])
def test_what_is_flatter_than_numbers_go_is_painted_the_same(shape: tuple[int, ...]) -> None:
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    flat = turned @ np.diag([1e-9, 100, 100]) @ turned.T
    thin = np.diag([1e-300, 1e-300, 9.0])
    cells = [
        MarkedNucleus(Spot(0, np.array([9.0, 11.0, 12.0]), c), i + 1) for i, c in enumerate([(flat + flat.T) / 2, thin])
    ]
    np.testing.assert_array_equal(ctc_mask(shape, cells, VOXEL, NeverCancelled()), one_by_one(shape, cells, VOXEL))
