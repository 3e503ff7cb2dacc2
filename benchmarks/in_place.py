"""Compares reading an OME-Zarr movie as an added dataset with zarr alone: ``python benchmarks/in_place.py [SIDE]``.

A timepoint of 64 x SIDE x SIDE voxels of noise, and a crop, are read by both in turns, from the page cache. zarr opens
the array each time, as a program does that reads one timepoint; and once for all, which is the least that is possible.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from elephant.config import ConversionParams
from elephant.dataset import Dataset, add
from elephant.progress import NeverCancelled
from elephant.types import Box

ROUNDS = 15
CROP = Box((16, 20, 20), (16, 96, 96))
N_TIMEPOINTS = 2


def write(path: Path, side: int, options: dict[str, Any]) -> None:
    """Write a movie with the noise and the few levels of a camera."""
    rng = np.random.default_rng(0)
    image = rng.poisson(100 + 60 * rng.random((64, side // 8, side // 8)).repeat(8, 1).repeat(8, 2))
    axes = [{"name": name, "type": {"t": "time"}.get(name, "space")} for name in "tzyx"]
    scale = [{"type": "scale", "scale": [1.0, 2.0, 0.5, 0.5]}]
    described = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    attributes: dict[str, Any] = {"ome": {"version": "0.5", "multiscales": [described]}}
    group = zarr.open_group(path, mode="w", zarr_format=3, attributes=attributes)
    array = group.create_array("0", shape=(N_TIMEPOINTS, *image.shape), dtype="uint16", **options)
    for t in range(N_TIMEPOINTS):
        array[t] = image + t


def compare(path: Path, dataset: Dataset, place: Box | None) -> tuple[float, float, float]:
    """Return the milliseconds of the dataset, of zarr that opens the array, and of zarr with an open one."""
    region: tuple[Any, ...] = () if place is None else place.slices
    kept: Any = zarr.open_array(path / "0", mode="r")
    ways: list[Callable[[], Any]] = [
        lambda: dataset.read_image(1, place),
        lambda: zarr.open_array(path / "0", mode="r")[(1, *region)],
        lambda: kept[(1, *region)],
    ]
    expected: NDArray[Any] = ways[2]()
    np.testing.assert_array_equal(ways[0](), expected)
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for way, taken in zip(ways, times, strict=True):
            start = time.perf_counter()
            way()
            taken.append(1000 * (time.perf_counter() - start))
    return tuple(median(taken) for taken in times)  # type: ignore[return-value] # three


def main() -> None:
    """Print a row for each way of storing the movie and each part of it that is read."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    layouts = {
        "chunks of 32 x 256 x 256": {"chunks": (1, 32, 256, 256)},
        "chunks of 16 x 128 x 128": {"chunks": (1, 16, 128, 128)},
        "a shard of 32 x 128 x 128": {"chunks": (1, 32, 128, 128), "shards": (1, 64, side, side)},
    }
    print("| stored in | read | added, ms | zarr, ms | ratio | open zarr, ms | ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, options in layouts.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "m.ome.zarr")
            write(path, side, options)
            add(path, Path(folder, "d"), ConversionParams(), NeverCancelled())
            dataset = Dataset(Path(folder, "d"))
            for what, place in (("timepoint", None), ("crop", CROP)):
                ours, opened, kept = compare(path, dataset, place)
                print(
                    f"| {name} | {what} | {ours:.1f} | {opened:.1f} | {ours / opened:.2f} | {kept:.1f} | "
                    f"{ours / kept:.2f} |"
                )


if __name__ == "__main__":
    main()
