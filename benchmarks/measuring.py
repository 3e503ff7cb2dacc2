"""Timing on a machine that does other things too: in turns, as ratios, with their spread."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.goals import goal

Work = Callable[[], object]


def taken(work: Work) -> float:
    """Return how long something takes, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Time some work in turns, so that whatever else happens on the machine happens to all of it.

    Each is done once before, which does not count.

    Returns
    -------
    dict of str to list of float
        Seconds of each round.
    """
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(taken(work))
    return times


def further(few: Sequence[float], many: Sequence[float], n: int) -> list[float]:
    """Return what each of `n` more things took in each round, seconds.

    0 where the noise of the rounds is larger than what was to be measured, as it may be for the smallest sizes.
    """
    return [max(of_many - of_few, 0.0) / n for of_few, of_many in zip(few, many, strict=True)]


@dataclass(frozen=True)
class Spread:
    """Something that was measured several times: its median, least and most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return that of some values."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, values: Sequence[float], yardstick: Sequence[float], scale: float = 1.0) -> "Spread":
        """Return that of the ratios of each round."""
        return cls.of([scale * a / b for a, b in zip(values, yardstick, strict=True)])


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    key
        Its name.
    work
        What was done, in words.
    measured
        The figure, in `unit`.
    unit
        A yardstick's name, or a unit.
    goal
        The most that it should be; none: it is only shown.
    details
        Other numbers of the same measurement, with their units in their names.
    memory_kept
        The figure in the same yardstick with memory kept, P* or T*; none: it is in no such unit.
    """

    key: str
    work: str
    measured: Spread
    unit: str
    goal: float | None = None
    details: Mapping[str, float] = field(default_factory=dict)
    memory_kept: Spread | None = None

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is; none: there is none."""
        return None if self.goal is None else self.measured.median <= self.goal

    def as_json(self) -> dict[str, Any]:
        """Return what is written into the file."""
        return asdict(self) | {"reached": self.is_reached}


def row_of_ratios(
    key: str, work: str, unit: str, times: Mapping[str, Sequence[float]], *, scale: float = 1.0, **details: float
) -> Row:
    """Return a row of ``ours`` over ``plain``, and over ``kept``, the same yardstick with memory kept.

    Parameters
    ----------
    times
        Seconds of each round; ``kept`` may be missing.
    scale
        Of ours, as 1/n where n of them were timed together.
    """
    ours, kept = times["ours"], times.get("kept")
    numbers = {"s": scale * statistics.median(ours), "plain s": statistics.median(times["plain"])}
    if kept:
        numbers["memory kept s"] = statistics.median(kept)
    return Row(
        key,
        work,
        Spread.of_ratios(ours, times["plain"], scale),
        unit,
        goal(key),
        {**numbers, **details},
        Spread.of_ratios(ours, kept, scale) if kept else None,
    )


@dataclass(frozen=True)
class Curve:
    """How one quantity grows with another, and how straight that is.

    Attributes
    ----------
    points
        Pairs of x and y, in the order of x.
    """

    key: str
    title: str
    x_label: str
    y_label: str
    points: Sequence[tuple[float, float]]

    def fit(self) -> tuple[float, float, float]:
        """Return slope, intercept and R² of the straight line through the points."""
        xs, ys = zip(*self.points, strict=True)
        slope, intercept = statistics.linear_regression(xs, ys)
        total = sum((y - statistics.fmean(ys)) ** 2 for y in ys)
        rest = sum((y - slope * x - intercept) ** 2 for x, y in self.points)
        return slope, intercept, 1 - rest / total if total else 1.0

    def as_json(self) -> dict[str, Any]:
        """Return what is written into the file."""
        slope, intercept, r2 = self.fit()
        return asdict(self) | {"slope": slope, "intercept": intercept, "r2": r2}


Result = Row | Curve
