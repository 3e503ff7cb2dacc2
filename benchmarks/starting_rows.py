"""A server that has just started: how soon it answers, how its first prediction compares, and what memory it takes."""

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from benchmarks import bodies
from benchmarks.bench import DATASET, Bench, furnish
from benchmarks.goals import goal
from benchmarks.measuring import Row, Spread, taken
from benchmarks.serving import Server, serve
from benchmarks.watching import Watch
from elephant.types import Box

_WARM = 3
_SMALL = (8, 64, 64)  # enough to load the model and all that computes
_LOOK_EVERY_S = 0.5
_FOLDER = "fresh"


def starting(bench: Bench) -> Iterator[Row]:
    """Start a server several times, and compare its first prediction with later ones."""
    _furnish(bench)
    body = bodies.seg_predict(DATASET, bench.movie, 1)
    starts, imports, firsts, warms = [], [], [], []
    for _ in range(-(-bench.sizes.rounds // 2)):
        imports.append(taken(_import_pytorch))
        begin = time.perf_counter()
        with serve(bench.folder / _FOLDER, stack=bench.stack) as server:
            _ask(server)
            starts.append(time.perf_counter() - begin)
            times = [taken(lambda: server.post("seg/predict", body)) for _ in range(1 + _WARM)]
        firsts.append(times[0])
        warms.append(median(times[1:]))
    work = "from the start of the server to its first answer"
    numbers = {"s": median(starts), "import s": median(imports)}
    yield Row("start", work, Spread.of_ratios(starts, imports), "imports of PyTorch", goal("start"), numbers)
    more = Spread.of([first - warm for first, warm in zip(firsts, warms, strict=True)])
    work = "the first `seg/predict` after the start, more than a warm one"
    yield Row("cold", work, more, "s", goal("cold"), {"s": median(firsts), "warm s": median(warms)})


def memory(bench: Bench) -> Iterator[Row]:
    """Watch the memory of a new server: how much a prediction takes, and what is left of it a minute later."""
    _furnish(bench)
    shape = bench.movie.truth.shape
    small = Box((0, 0, 0), tuple(map(min, shape, _SMALL)))
    with serve(bench.folder / _FOLDER, stack=bench.stack) as server:
        server.post("seg/predict", bodies.seg_predict(DATASET, bench.movie, 1, crop_box=small))
        with Watch(server.processes) as watch:
            server.post("seg/predict", bodies.seg_predict(DATASET, bench.movie, 1))
            peak = watch.most_more()
            kept, waited = _left(watch, bench.sizes.idle_s)
    work = f"memory of a `seg/predict` request, {' x '.join(map(str, shape))}, more than before it"
    yield Row("memory", work, Spread.of([peak]), "MiB", goal("memory"))
    work = "memory that the server still has of it a minute later"
    yield Row("memory-kept", work, Spread.of([max(kept, 0.0)]), "MiB", goal("memory-kept"), {"waited s": waited})


def _left(watch: Watch, limit_s: float) -> tuple[float, float]:
    """Return what is left after some time, MiB, or as soon as it is no more than the goal; and the seconds."""
    begin = time.monotonic()
    while True:
        left, waited = watch.now_more(), time.monotonic() - begin
        if waited > limit_s or left <= (goal("memory-kept") or 0):
            return left, waited
        time.sleep(_LOOK_EVERY_S)


def _furnish(bench: Bench) -> None:
    """Give the workspace of the servers that are started a dataset and a model, once."""
    folder = bench.folder / _FOLDER
    if not folder.is_dir():
        with serve(folder, stack=bench.stack) as server:
            furnish(server, bench.movie, bench.sizes)


def _import_pytorch() -> None:
    subprocess.run([sys.executable, "-c", "import torch"], check=True)


def _ask(server: Server) -> None:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    connection.request("GET", "/state/gpus")
    assert connection.getresponse().status == http.client.OK
    connection.close()
