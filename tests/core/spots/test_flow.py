import numpy as np
import pytest

from core import golden_files
from elephant.geometry import Ellipsoid, Raster, rasterise
from elephant.spots import FlowField, covers, moved, unmoved
from elephant.types import Box, Spot, VoxelSize


def raster_of(spot: Spot, voxel_size: VoxelSize, shape: tuple[int, ...]) -> Raster:
    n = len(shape)
    return rasterise(Ellipsoid.from_spot(spot, n), voxel_size.last(n), shape)


@pytest.mark.parametrize("name", golden_files.names("flow_positions_*"))
def test_earlier_positions_match_the_golden_ones(name: str) -> None:
    meta, arrays = golden_files.load(name)
    flow = arrays["flow_voxels_xyz"]
    shape = flow.shape[1:]
    voxel_size = VoxelSize(*golden_files.voxel_size(meta["scales_zyx"]))
    field = FlowField(Box.whole(shape), flow)
    for entry, expected in zip(meta["spots"], meta["result"], strict=True):
        spot = golden_files.spot(entry)
        raster = raster_of(spot, voxel_size, shape)
        found = unmoved(spot)
        if not raster.is_empty:
            found = moved(spot, field.displacement(raster), voxel_size)
        np.testing.assert_allclose(found.pos[::-1], expected["pos"], rtol=0, atol=1e-5)
        assert found.sqdisp == pytest.approx(expected["sqdisp"], abs=1e-5)


def test_a_flow_over_a_box_gives_what_the_whole_gives() -> None:
    flow = np.random.default_rng(0).random((3, 10, 20, 24))
    spot = Spot(1, np.array([5.0, 12.0, 10.0]), np.diag([4.0, 9.0, 6.0]), id=3)
    raster = raster_of(spot, VoxelSize(1, 1, 1), flow.shape[1:])
    box = Box((2, 8, 6), (7, 9, 10))
    assert covers(box, raster)
    part = FlowField(box, flow[(slice(None), *box.slices)])
    whole = FlowField(Box.whole(flow.shape[1:]), flow)
    np.testing.assert_allclose(part.displacement(raster), whole.displacement(raster))
    inside = flow[:, *raster.indices().T]
    np.testing.assert_allclose(whole.displacement(raster), inside.mean(1)[::-1])


@pytest.mark.parametrize(
    ("pos", "expected"), [((5, 10, 10), True), ((5, 6, 10), False), ((5, 30, 30), False), ((500, 10, 10), False)]
)
def test_a_box_covers_a_spot_with_all_its_voxels(pos: tuple[float, ...], expected: bool) -> None:
    spot = Spot(0, np.array(pos, dtype=float), np.eye(3) * 4.0)
    assert covers(Box((0, 5, 5), (10, 12, 12)), raster_of(spot, VoxelSize(1, 1, 1), (10, 40, 40))) is expected


def test_displacements_become_physical_and_leave_z_alone_in_2d() -> None:
    spot = Spot(1, np.array([7.0, 2.0, 3.0]), np.eye(3), id=9)
    solid = moved(spot, np.array([1.0, -2.0, 4.0]), VoxelSize(3, 2, 0.5))
    assert solid.pos.tolist() == [10, -2, 5]
    assert (solid.id, solid.sqdisp) == (9, 9 + 16 + 4)
    flat = moved(spot, np.array([-2.0, 4.0]), VoxelSize(3, 2, 0.5))
    assert flat.pos.tolist() == [7, -2, 5]
    assert flat.sqdisp == 20
    assert spot.pos.tolist() == [7, 2, 3]
