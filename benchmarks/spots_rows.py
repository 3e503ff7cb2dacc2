"""Turning a map of probabilities into spots."""

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.measuring import Row, Spread, in_turns
from benchmarks.movies import probability_map
from elephant.config.detection import SpotParams
from elephant.spots.detection import extract_spots
from elephant.types import VoxelSize


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
        0.25,
        {"% of the volume above the threshold": share},
    )
