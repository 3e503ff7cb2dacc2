"""What a person waits for at the client: requests to a server that is warm."""

import http.client
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks import bodies
from benchmarks.bench import DATASET, Bench
from benchmarks.goals import goal
from benchmarks.measuring import Row, Spread, in_turns, row_of_ratios, taken
from benchmarks.serving import Server
from benchmarks.yardstick_process import in_processes
from elephant.models.unet import DetectionNet, FlowNet
from elephant.types import Spot

POLLS_A_MINUTE = 1000
_N_CALLS = 100


def predictions(bench: Bench) -> Iterator[Row]:
    """Compare ``seg/predict`` and ``flow/predict``, with the client's defaults, with their plain networks."""
    asked = (
        ("seg", DetectionNet, "P", bodies.seg_predict(DATASET, bench.movie, 1)),
        ("flow", FlowNet, "P of its network", bodies.flow_predict(DATASET, bench.movie, 1)),
    )
    for kind, network, unit, body in asked:
        answers: list[dict[str, Any]] = []
        request = _posting(bench, f"{kind}/predict", body, answers)
        with in_processes(bench.plain(network)) as plain:
            times = in_turns({**plain, "ours": request}, bench.sizes.rounds)
        work = f"`{kind}/predict` over HTTP, warm, the client's defaults"
        yield row_of_ratios(f"{kind}-predict", work, unit, times, spots=len(answers[-1]["spots"]))


def updates(bench: Bench) -> Iterator[Row]:
    """Time a label update."""
    spots = bench.movie.spots(0, bench.sizes.n_spots)
    for name, threshold in (("", 0.0), (", automatic background", 0.1)):
        # Two sets in turns: noticing that nothing has changed would gain nothing.
        works = {
            str(i): _posting(bench, "seg/update", update_body(bench, some, threshold), [])
            for i, some in enumerate((spots, moved(spots, bench.movie.truth.voxel)))
        }
        key = "seg-update" + ("-background" if threshold else "")
        times = [t for each in in_turns(works, 2 * bench.sizes.rounds).values() for t in each]
        yield Row(
            key,
            f"`seg/update` of {len(spots)} spots over HTTP{name}",
            Spread.of([1000 * t for t in times]),
            "ms",
            goal(key),
        )


def update_body(bench: Bench, spots: Sequence[Spot], threshold: float = 0.0) -> dict[str, Any]:
    """Return a request to label some spots of the dataset."""
    return bodies.seg_update(DATASET, bench.movie, spots, auto_bg_thresh=threshold)


def moved(spots: Sequence[Spot], voxel: Sequence[float]) -> list[Spot]:
    """Return spots that are a voxel further along each axis."""
    return [replace(spot, pos=spot.pos + voxel) for spot in spots]


def polls(bench: Bench) -> Iterator[Row]:
    """Time ``state/gpus``, and what many polls take of the machine and of a training."""
    server = bench.server
    times = [1000 * taken(lambda: _poll(server)) for _ in range(_N_CALLS)]
    yield Row("gpus", "`state/gpus`, a connection each", Spread.of(times), "ms", goal("gpus"))
    yield _poll_load(server, bench.sizes.n_polls)
    spots = bench.movie.spots(0, bench.sizes.n_spots)
    crop = bench.sizes.crops[0]
    train = _posting(
        bench, "seg/train", bodies.seg_train(DATASET, bench.movie, spots, crop, n_crops=bench.sizes.n_steps), []
    )

    def with_polls() -> None:
        with _polling(server):
            train()

    found = in_turns({"alone": train, "polled": with_polls}, bench.sizes.rounds)
    yield Row(
        "gpus-training",
        f"a training while `state/gpus` is polled {POLLS_A_MINUTE:,} times a minute, over one without polls",
        Spread.of_ratios(found["polled"], found["alone"]),
        "times",
        goal("gpus-training"),
    )


def _poll_load(server: Server, n: int) -> Row:
    shares = []
    for _ in range(3):
        before = server.cpu_seconds()
        for _ in range(n):
            _poll(server)
        shares.append(100 * (server.cpu_seconds() - before) / n * POLLS_A_MINUTE / 60)
    work = f"processor time of the server for {POLLS_A_MINUTE:,} polls a minute"
    return Row("gpus-load", work, Spread.of(shares), "% of a core")


@contextmanager
def _polling(server: Server) -> Iterator[None]:
    """Poll as that many clients do while the block runs."""
    ended = threading.Event()

    def run() -> None:
        begin = time.monotonic()
        for i in itertools.count(1):
            _poll(server)
            if ended.wait(max(0.0, begin + 60 * i / POLLS_A_MINUTE - time.monotonic())):
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _poll(server: Server) -> None:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    connection.request("GET", "/state/gpus")
    assert connection.getresponse().read()
    connection.close()


def _posting(bench: Bench, path: str, body: dict[str, Any], answers: list[dict[str, Any]]) -> Any:
    return lambda: answers.append(bench.server.post(path, body))
