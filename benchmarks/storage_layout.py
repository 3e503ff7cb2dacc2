"""Compares ways of storing a dataset's images and labels: ``python benchmarks/storage_layout.py [MOVIE.h5]``.

Without a movie, nuclei in noise are simulated. Times are printed as milliseconds and as multiples of the time in
which NumPy reads the same bytes from an uncompressed file (all files are in the page cache).
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec

from elephant.dataset import labels_as_rgb
from elephant.dataset.arrays import create_array
from elephant.dataset.layout import IMAGES, LABELS, LABELS_RGB, array_specs
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader

Volume = NDArray[Any]
CROP = (16, 96, 96)
N_CROPS = 10
ROUNDS = 10


@dataclass(frozen=True)
class Candidate:
    """A way of storing an array of (T, Z, Y, X)."""

    name: str
    options: Callable[[tuple[int, ...]], dict[str, Any]]
    config: dict[str, Any] = field(default_factory=dict)


def plane(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the chunks of the original server."""
    return (1, 1, *(min(1024, s) for s in shape[-2:]))


def blosc2(name: str, shuffle: int) -> dict[str, Any]:
    """Return the options of a format 2 array with a Blosc codec."""
    from numcodecs import Blosc  # noqa: PLC0415 - format 2 alone needs it

    return {"zarr_format": 2, "compressors": Blosc(cname=name, clevel=5, shuffle=shuffle)}


def blosc3(name: str, shuffle: str, level: int = 5) -> dict[str, Any]:
    """Return the options of a format 3 array with a Blosc codec."""
    return {"zarr_format": 3, "compressors": BloscCodec(cname=name, clevel=level, shuffle=shuffle)}


def sharded(chunk: tuple[int, ...], codec: dict[str, Any], parts: int = 1) -> Callable[..., dict[str, Any]]:
    """Return the options of shards of a timepoint, or of a part of its Z, cut into chunks."""

    def options(shape: tuple[int, ...]) -> dict[str, Any]:
        shard = (1, -(-shape[1] // parts), *shape[2:])
        inner = (1, *(min(c, s) for c, s in zip(chunk, shard[1:], strict=True)))
        return {"chunks": inner, "shards": shard, **codec}

    return options


def candidates() -> Iterator[Candidate]:
    """Yield what is compared."""
    ours = blosc3("lz4", "bitshuffle")
    for name in ("lz4", "zstd"):
        codec = blosc2(name, 1)
        yield Candidate(f"format 2, planes, blosc-{name} shuffle", lambda s, c=codec: {"chunks": plane(s), **c})
    chunk = {"chunks": (1, 16, 128, 128), **blosc2("lz4", 2)}
    yield Candidate("format 2, 16x128x128, blosc-lz4 bitshuffle", lambda _: chunk)
    yield Candidate("format 3, 32x128x128, blosc-lz4 bitshuffle", lambda _: {"chunks": (1, 32, 128, 128), **ours})
    yield Candidate("format 3, one chunk, blosc-lz4 bitshuffle", lambda s: {"chunks": (1, *s[1:]), **ours})
    for edges in ((16, 64, 64), (16, 128, 128), (32, 128, 128), (32, 256, 256)):
        yield Candidate(f"shard of {'x'.join(map(str, edges))}, blosc-lz4 bitshuffle", sharded(edges, ours))
    best = (32, 128, 128)
    yield Candidate("4 shards of 32x128x128, blosc-lz4 bitshuffle", sharded(best, ours, 4))
    for name, shuffle in (("lz4", "noshuffle"), ("lz4", "shuffle"), ("zstd", "shuffle"), ("zstd", "bitshuffle")):
        codec = blosc3(name, shuffle, 5 if name == "lz4" else 1)
        yield Candidate(f"shard of 32x128x128, blosc-{name} {shuffle}", sharded(best, codec))
    zstd = {"zarr_format": 3, "compressors": ZstdCodec(level=1)}
    yield Candidate("shard of 32x128x128, zstd 1", sharded(best, zstd))
    for key, value in (
        ("async.concurrency", 1),
        ("async.concurrency", 64),
        ("codec_pipeline.batch_size", 8),
        ("codec_pipeline.batch_size", 64),
    ):
        yield Candidate(f"shard of 32x128x128, blosc-lz4 bitshuffle, {key} {value}", sharded(best, ours), {key: value})


def simulated() -> Volume:
    """Return two timepoints of 32 x 256 x 256 with nuclei in noise, 8 bits."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[:32, :256, :256]
    volume = rng.poisson(20, (2, 32, 256, 256)).astype(np.float32)
    for cz, cy, cx in rng.uniform(0, (32, 256, 256), (150, 3)):
        volume += 120 * np.exp(-(((z - cz) / 3) ** 2 + ((y - cy) / 7) ** 2 + ((x - cx) / 7) ** 2))
    return np.minimum(volume, 255).astype(np.uint8)


def loaded(path: Path) -> Volume:
    """Return the first two timepoints of a movie."""
    movie = BigDataViewerReader.open(path)
    whole = tuple(slice(0, s) for s in movie.shape)
    volumes = []
    for t in range(min(2, movie.n_timepoints)):
        with movie.timepoint(t) as timepoint:
            volumes.append(timepoint[whole])
    return np.stack(volumes)


def tiled(movie: Volume, shape: tuple[int, int, int], dtype: str) -> Volume:
    """Return a movie of a size and type; mirrored tiles with fresh noise, so that no codec finds repetitions."""
    repeats = [1, *(-(-s // m) for s, m in zip(shape, movie.shape[1:], strict=True))]
    values = np.tile(movie, repeats)[:, : shape[0], : shape[1], : shape[2]].astype(np.uint16)
    noise = np.random.default_rng(1).integers(0, 16, values.shape, dtype=np.uint16)
    if dtype == "uint16":
        return values * 16 + noise
    return np.clip(values.astype(np.int16) + noise.astype(np.int16) // 8 - 1, 0, 255).astype(np.uint8)


def timed(work: Callable[[], object]) -> float:
    """Return how long something takes, in milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def on_disk(path: Path) -> tuple[int, int]:
    """Return bytes and number of files, metadata aside."""
    files = [p for p in path.rglob("*") if p.is_file() and p.name not in ("zarr.json", ".zarray", ".zattrs")]
    return sum(p.stat().st_size for p in files), len(files)


def crops(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Return the same random boxes for all."""
    rng = np.random.default_rng(2)
    size = [min(c, s) for c, s in zip(CROP, shape, strict=True)]
    origins = [[int(rng.integers(0, s - c + 1)) for s, c in zip(shape, size, strict=True)] for _ in range(N_CROPS)]
    return [tuple(slice(o, o + c) for o, c in zip(origin, size, strict=True)) for origin in origins]


def compare(images: Volume, folder: Path) -> None:
    """Print one line for each candidate: the shortest of several times, taken in turns, since noise only adds."""
    n, *shape = images.shape
    boxes = crops(tuple(shape))
    raw = folder / "raw.npy"
    np.save(raw, images[0])
    all_of_them = list(candidates())
    arrays = []
    for i, candidate in enumerate(all_of_them):
        path = folder / f"{images.dtype}-{i}.zarr"
        options = candidate.options(images.shape)
        arrays.append(zarr.create_array(path, shape=images.shape, dtype=images.dtype, fill_value=0, **options))
        arrays[i][:] = images
        assert np.array_equal(arrays[i][n - 1], images[n - 1])
    plain, best = [], np.full((len(arrays), 3), np.inf)
    for turn in range(ROUNDS):
        plain.append(timed(lambda: np.load(raw)))
        for i, array in enumerate(arrays):
            with zarr.config.set(all_of_them[i].config):
                times = once(array, images, turn % n, boxes)
            best[i] = np.minimum(best[i], times)
    print(f"\n### {images.dtype}, {' x '.join(map(str, shape))}; NumPy reads a timepoint in {min(plain):.1f} ms\n")
    print("| layout | whole timepoint, ms | ratio | crop, ms | write, ms | size / raw | files per timepoint |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for i, candidate in enumerate(all_of_them):
        read, crop, write = best[i]
        size, files = on_disk(folder / f"{images.dtype}-{i}.zarr")
        print(
            f"| {candidate.name} | {read:.1f} | {read / min(plain):.1f} | {crop:.2f} | {write:.1f} "
            f"| {size / images.nbytes:.2f} | {files / n:.0f} |"
        )


def once(array: Any, images: Volume, t: int, boxes: list[tuple[slice, ...]]) -> tuple[float, float, float]:
    """Return the time of a whole timepoint, of a crop and of writing a timepoint."""
    read = timed(lambda: array[t])
    crop = timed(lambda: [array[(t, *box)] for box in boxes]) / len(boxes)
    write = timed(lambda: array.__setitem__(t, images[t]))
    return read, crop, write


def compare_labels(shape: tuple[int, int, int], folder: Path) -> None:
    """Print how long the labels of a timepoint take as the project stores them."""
    rng = np.random.default_rng(3)
    labels = np.zeros(shape, np.uint8)
    for z, y, x in rng.integers(0, [s - 8 for s in shape], (shape[0] * 5, 3)):
        labels[z : z + 4, y : y + 12, x : x + 12] = rng.integers(1, 4)
    arrays = {}
    for name, spec in array_specs(2, shape, "uint8").items():
        if name in (LABELS, LABELS_RGB):
            shutil.rmtree(folder / name, ignore_errors=True)
            create_array(folder / name, spec)
            arrays[name] = zarr.open_array(folder / name, mode="r+")

    def update(t: int) -> None:
        arrays[LABELS][t % 2] = labels
        arrays[LABELS_RGB][t % 2] = labels_as_rgb(labels)

    write = min(timed(lambda t=t: update(t)) for t in range(ROUNDS))
    read = min(timed(lambda t=t: arrays[LABELS][t % 2]) for t in range(ROUNDS))
    size = sum(on_disk(folder / name)[0] for name in arrays) / 2
    print(f"| {' x '.join(map(str, shape))} | {write:.1f} | {read:.1f} | {size / 1024:.0f} |")


def main() -> None:
    """Print the tables of ``docs/dataset-format.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("movie", nargs="?", type=Path, help="a BigDataViewer movie; simulated where absent")
    parser.add_argument("--shape", nargs=3, type=int, default=(64, 512, 512), metavar=("Z", "Y", "X"))
    args = parser.parse_args()
    movie = loaded(args.movie) if args.movie else simulated()
    print(f"zarr {zarr.__version__}, {len(os.sched_getaffinity(0))} cores; layout of {IMAGES} and labels")
    with tempfile.TemporaryDirectory() as name:
        for dtype in ("uint8", "uint16"):
            compare(tiled(movie, tuple(args.shape), dtype), Path(name))
        print("\n| labels and colours of | write both, ms | read labels, ms | KiB |\n| --- | ---: | ---: | ---: |")
        for shape in ((32, 256, 256), tuple(args.shape)):
            compare_labels(shape, Path(name))


if __name__ == "__main__":
    main()
