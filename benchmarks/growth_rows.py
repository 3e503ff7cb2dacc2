"""How what a person waits for grows with what is asked."""

from collections.abc import Iterator
from functools import partial

from benchmarks import bodies
from benchmarks.bench import Bench, provide_dataset
from benchmarks.measuring import Curve, taken
from benchmarks.movies import BenchMovie, write_long
from benchmarks.request_rows import moved, update_body
from elephant.simulation import Truth
from elephant.types import Box

LARGE = "large"
_SIDES = (2, 3, 4, 6, 8)  # eighths of a plane, per axis
_SPOTS = (1, 2, 4, 8)  # times those of a usual update


def prediction_growth(bench: Bench) -> Iterator[Curve]:
    """Predict growing parts of a large timepoint."""
    shape = bench.sizes.long_shape
    path = bench.folder / "large.h5"
    write_long(path, shape, 1)
    provide_dataset(bench.server, LARGE, path)
    path.unlink()
    movie = BenchMovie(path, Truth(bench.movie.truth.voxel, shape, ()), 1)
    points = []
    for eighths in _SIDES:
        size = (shape[0], *(side * eighths // 8 for side in shape[1:]))
        body = bodies.seg_predict(LARGE, movie, 0, crop_box=Box((0, 0, 0), size))
        times = [taken(partial(bench.server.post, "seg/predict", body)) for _ in range(2 if eighths < 6 else 1)]
        points.append((size[0] * size[1] * size[2] / 1e6, min(times)))
    yield Curve("prediction", "`seg/predict` over HTTP", "million voxels", "s", points)


def update_growth(bench: Bench) -> Iterator[Curve]:
    """Label growing numbers of spots at one timepoint."""
    points = []
    for factor in _SPOTS:
        spots = bench.movie.spots(0, factor * bench.sizes.n_spots)
        pair = [update_body(bench, some) for some in (spots, moved(spots, bench.movie.truth.voxel))]
        times = [taken(partial(bench.server.post, "seg/update", body)) for body in pair * bench.sizes.rounds]
        points.append((float(len(spots)), 1000 * min(times)))
    yield Curve("update", "`seg/update` over HTTP", "spots", "ms", points)
