"""Turning a map of probabilities into spots, and spots into masks."""

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.bench import Bench
from benchmarks.goals import goal
from benchmarks.measuring import Row, Spread, in_turns
from benchmarks.movies import probability_map
from elephant.config import SpotParams
from elephant.export import MarkedNucleus, ctc_mask
from elephant.export.shells import FACTORS, MIN_VOXELS
from elephant.geometry import Ellipsoid, rasterise
from elephant.progress import NeverCancelled
from elephant.spots import extract_spots
from elephant.types import Spot, VoxelSize

_VOXEL = VoxelSize(1, 1, 1)
_SHARE_ONE_BY_ONE = 50  # of the nuclei: all of them would take minutes


def spots(bench: Bench) -> Iterator[Row]:
    """Time it for a large volume with many cells."""
    shape, n_cells = bench.sizes.map_shape, bench.sizes.map_cells
    probabilities = probability_map(shape, n_cells)
    params = SpotParams(voxel_size=VoxelSize(1, 1, 1), p_thresh=0.5)
    found = len(extract_spots(probabilities, params)[1])
    assert found == n_cells, f"{n_cells} cells gave {found} spots"
    times = in_turns({"": lambda: extract_spots(probabilities, params)}, bench.sizes.rounds)[""]
    share = 100 * float((probabilities > params.p_thresh).mean())
    yield Row(
        "spots",
        f"spots from {' x '.join(map(str, shape))} with {n_cells:,} cells",
        Spread.of(times),
        "s",
        goal("spots"),
        {"% of the volume above the threshold": share},
    )


def masks(bench: Bench) -> Iterator[Row]:
    """Paint a mask with many nuclei in one plane, and some of them one shell of one nucleus after the other."""
    n = bench.sizes.n_painted
    side = int(16 * n**0.5)
    cells = _nuclei(n, side)
    some = cells[:: max(1, min(_SHARE_ONE_BY_ONE, n // 10))]
    painted = ctc_mask((side, side), some, _VOXEL, NeverCancelled())
    assert (painted == _one_by_one(some, side)).all(), "the yardstick paints something else"
    times = in_turns(
        {
            "together": lambda: ctc_mask((side, side), cells, _VOXEL, NeverCancelled()),
            "one by one": lambda: _one_by_one(some, side),
        },
        bench.sizes.rounds,
    )
    one_by_one = [len(cells) / len(some) * seconds for seconds in times["one by one"]]
    yield Row(
        "masks",
        f"a mask of {n:,} nuclei in one plane",
        Spread.of_ratios(times["together"], one_by_one),
        "one nucleus after the other",
        goal("masks"),
        {"s": min(times["together"]), "one after the other s": min(one_by_one)},
    )


def _nuclei(n: int, side: int) -> Sequence[MarkedNucleus]:
    """Return ellipses with semi-axes of 3 to 6 voxels, turned at random."""
    rng = np.random.default_rng(0)
    cells = []
    for value, (y, x, angle, *radii) in enumerate(rng.uniform([0, 0, 0, 3, 3], [side, side, 3, 6, 6], (n, 5)), start=1):
        axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        covariance = np.eye(3)
        covariance[1:, 1:] = axes @ np.diag(np.square(radii)) @ axes.T
        cells.append(MarkedNucleus(Spot(0, np.array([0, y, x]), (covariance + covariance.T) / 2), value))
    return cells


def _one_by_one(cells: Sequence[MarkedNucleus], side: int) -> np.ndarray:
    mask = np.zeros((side, side), dtype=np.uint16)
    ellipsoids = [Ellipsoid.from_spot(cell.spot, 2) for cell in cells]
    for factor in FACTORS.tolist():
        for cell, ellipsoid in zip(cells, ellipsoids, strict=True):
            raster = rasterise(ellipsoid.scaled(factor), _VOXEL.last(2), (side, side), MIN_VOXELS)
            mask[raster.slices][raster.mask] = cell.value
    for cell, ellipsoid in zip(cells, ellipsoids, strict=True):
        nearest = np.floor(ellipsoid.centre + 0.5).astype(int)
        if (nearest < side).all():
            mask[tuple(nearest)] = cell.value
    return mask
