"""Conversion, reading, and what is on disk at last."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from benchmarks import bodies
from benchmarks.bench import DATASET, Bench
from benchmarks.converting import Converted, watch
from benchmarks.goals import goal
from benchmarks.measuring import Curve, Result, Row, Spread, in_turns, taken
from benchmarks.movies import lengthen, write_long

_MB = 1e6
_METADATA = {"zarr.json", ".zarray", ".zattrs"}


def conversion(bench: Bench) -> Iterator[Result]:
    """Compare conversions with decoding the same movie in one process, and watch their memory, as movies grow."""
    shape, lengths = bench.sizes.long_shape, bench.sizes.lengths
    path = bench.folder / "long.h5"
    write_long(path, shape, 1)
    found: dict[int, list[Converted]] = {}
    decoded: list[float] = []
    for n in lengths:
        lengthen(path, n)
        found[n] = []
        for _ in range(bench.sizes.rounds // 2 if n == lengths[-1] else 1):
            plain = taken(partial(_decode, path, n))
            found[n].append(_convert(path, bench.folder / "long"))
            if n == lengths[-1]:
                decoded.append(plain)
    path.unlink()
    megabytes = np.prod(shape) * 2 / _MB
    longest = found[lengths[-1]]
    size = f"{lengths[-1]} timepoints of {' x '.join(map(str, shape))}, {lengths[-1] * megabytes:.0f} MB raw"
    ratios = Spread.of_ratios([c.seconds for c in longest], decoded)
    rates = {
        "MB/s": lengths[-1] * megabytes / min(c.seconds for c in longest),
        "decoding MB/s": lengths[-1] * megabytes / min(decoded),
    }
    yield Row(
        "conversion", f"conversion of {size}", ratios, "decoding with h5py, one process", goal("conversion"), rates
    )
    peaks = Spread.of([c.peak_mib for c in longest])
    yield Row("conversion-memory", f"memory of its largest process, {size}", peaks, "MiB", goal("conversion-memory"))
    seconds = [(n, min(c.seconds for c in cs)) for n, cs in found.items()]
    yield Curve("conversion", "Conversion", "timepoints", "s", seconds)
    memory = [(n * megabytes, max(c.peak_mib for c in cs)) for n, cs in found.items()]
    yield Curve("memory", "Memory of the largest process of a conversion", "MB of the movie, raw", "MiB", memory)


def reading(bench: Bench) -> Iterator[Row]:
    """Compare reading a timepoint's image with reading an uncompressed file (M)."""
    raw = bench.folder / "raw.npy"
    np.save(raw, bench.dataset.read_image(0))
    times = in_turns(
        {"plain": lambda: np.load(raw), "ours": lambda: bench.dataset.read_image(0)}, 5 * bench.sizes.rounds
    )
    details = {"ms": 1000 * min(times["ours"]), "plain ms": 1000 * min(times["plain"])}
    yield Row(
        "reading", "reading a timepoint's image", Spread.of_ratios(times["ours"], times["plain"]), "M", details=details
    )


def disk(bench: Bench) -> Iterator[Row]:
    """Keep all labels and outputs of the movie, of models that have learnt from it, and count what lies on disk."""
    server, movie = bench.server, bench.movie
    kept = {"output_prediction": True}
    spots = [s for t in range(movie.n_timepoints) for s in movie.spots(t)]
    n_steps, crop = bench.sizes.n_learnt, bench.sizes.crops[0]
    thorough = {"auto_bg_thresh": 0.1, "n_crops": max(1, n_steps // movie.n_timepoints)}
    server.post("seg/train", bodies.seg_train(DATASET, movie, spots, crop, **thorough))
    server.post("flow/train", bodies.flow_train(DATASET, movie, crop, n_steps))
    bench.has_learnt = True
    for t in range(movie.n_timepoints):
        server.post("seg/predict", bodies.seg_predict(DATASET, movie, t, **kept))
        if t:
            server.post("flow/predict", bodies.flow_predict(DATASET, movie, t, **kept))
    folder = server.workspace / "datasets" / DATASET
    sizes = {path.name: _bytes_below(path) for path in sorted(folder.glob("*.zarr"))}
    source = movie.h5.stat().st_size
    details = {f"{name}, of the .h5": size / source for name, size in sizes.items()}
    ratio = sum(sizes.values()) / source
    work = "a dataset with all labels and outputs kept, without its `.h5`"
    yield Row("disk", work, Spread.of([ratio]), "times the `.h5`", goal("disk"), details)
    n_files = sum(1 for p in folder.glob("*.zarr/**/*") if p.is_file() and p.name not in _METADATA)
    yield Row(
        "files", "files of such a dataset", Spread.of([n_files / movie.n_timepoints]), "a timepoint", goal("files")
    )


def _decode(path: Path, n_timepoints: int) -> None:
    with h5py.File(path) as file:
        for t in range(n_timepoints):
            file[f"t{t:05d}/s00/0/cells"][:]


def _convert(path: Path, folder: Path) -> Converted:
    shutil.rmtree(folder, ignore_errors=True)
    converted = watch(path, folder)
    shutil.rmtree(folder)
    return converted


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
