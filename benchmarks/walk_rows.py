"""A walk over the timepoints of a movie: what is computed ahead, and what that costs others."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks import bodies
from benchmarks.bench import DATASET, Bench
from benchmarks.measuring import Row, Spread, taken
from benchmarks.serving import Server
from elephant_server.schemas.requests import Json

_STEPS = 10
# Of a person who looks at each timepoint, over the time that a prediction takes.
_PAUSES = (0.0, 0.5, 1.5)

_Request = tuple[str, Json]


@dataclass
class _Walker:
    """Asks for timepoints, each time with a setting that nobody has asked with."""

    bench: Bench
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def body(self, t: int, number: int) -> Json:
        return bodies.seg_predict(
            DATASET, self.bench.movie, t % self.bench.movie.n_timepoints, r_max=10 + 1e-3 * number
        )

    def walk(self, server: Server, number: int, pause_s: float = 0.0) -> float:
        """Return for how long a person waits in all, who looks at each timepoint for a while."""
        waited = 0.0
        for t in range(min(_STEPS, self.bench.movie.n_timepoints)):
            waited += taken(lambda t=t: server.post("seg/predict", self.body(t, number)))  # type: ignore[misc]
            time.sleep(pause_s)
        return waited


def walk(bench: Bench) -> Iterator[Row]:
    """Compare a walk on a server that computes ahead with one on a server that does not, in turns."""
    walker, plain, ahead = _Walker(bench), bench.server, bench.keeping_server
    for server in (plain, ahead):
        walker.walk(server, next(walker.numbers))
    one_s = taken(lambda: plain.post("seg/predict", walker.body(0, next(walker.numbers))))
    for pause in _PAUSES:
        pairs = [_pair(walker, plain, ahead, pause * one_s) for _ in range(bench.sizes.rounds)]
        ours, theirs = zip(*pairs, strict=True)
        looked = f"looking at each for {pause:g} times as long as a prediction takes" if pause else "without a pause"
        work = f"waiting in a walk over {_STEPS} timepoints, {looked}, over that without computing ahead"
        yield Row(f"walk-{pause:g}", work, Spread.of_ratios(ours, theirs), "times", details={"one s": one_s})
    yield _again(walker, plain, ahead)
    yield from _others(walker, plain, ahead)


def _pair(walker: _Walker, plain: Server, ahead: Server, pause_s: float) -> tuple[float, float]:
    number = next(walker.numbers)
    return walker.walk(ahead, number, pause_s), walker.walk(plain, number, pause_s)


def _again(walker: _Walker, plain: Server, ahead: Server) -> Row:
    """Compare a walk over timepoints that were all asked for before with one that is computed."""
    number = next(walker.numbers)
    walker.walk(ahead, number)
    rounds = range(walker.bench.sizes.rounds)
    ours, theirs = [walker.walk(ahead, number) for _ in rounds], [walker.walk(plain, number) for _ in rounds]
    work = f"a walk over {_STEPS} timepoints that were asked for before, over one that is computed"
    return Row("walk-again", work, Spread.of_ratios(ours, theirs), "times", details={"s": min(ours)})


def _others(walker: _Walker, plain: Server, ahead: Server) -> Iterator[Row]:
    """Time other requests that come while a timepoint is computed ahead, over the same while nothing is."""
    bench = walker.bench
    crop = bench.sizes.crops[0]
    train = bodies.seg_train(DATASET, bench.movie, bench.movie.spots(0, bench.sizes.n_spots), crop, n_crops=1)
    asked: dict[str, Callable[[], _Request | None]] = {
        "prediction": lambda: ("seg/predict", walker.body(5, next(walker.numbers))),
        "training of a step": lambda: ("seg/train", train),
        "state": lambda: None,
    }
    for name, make in asked.items():
        busy, idle = list[float](), list[float]()
        for _ in range(2 * bench.sizes.rounds):
            request = make()
            busy.append(_while_computing(walker, ahead, request))
            idle.append(_time_of(plain, request))
        delays = [1000 * (a - b) for a, b in zip(busy, idle, strict=True)]
        work = f"a {name} that is asked for while a timepoint is computed ahead, over one while nothing is"
        numbers = {"more ms": sorted(delays)[len(delays) // 2], "most more ms": max(delays)}
        key = f"walk-beside-{name.split()[0]}"
        yield Row(key, work, Spread.of_ratios(busy, idle), "times", details=numbers)


def _while_computing(walker: _Walker, server: Server, request: _Request | None) -> float:
    """Begin a walk, wait until a timepoint is being computed ahead, and time another request."""
    number = next(walker.numbers)
    for t in (0, 1):
        spent = taken(lambda t=t: server.post("seg/predict", walker.body(t, number)))  # type: ignore[misc]
    time.sleep(spent / 3)
    found = _time_of(server, request)
    server.client.abort()
    return found


def _time_of(server: Server, request: _Request | None) -> float:
    return taken(lambda: server.client.state() if request is None else server.post(*request))
