"""``python -m benchmarks.lineages``: spots of true lineages, joined by the linkers there are, side by side.

Tables of true lineages (t,id,parent,x,y,z,radius) are given; from each, detections are made with several seeds, of all
timepoints and of every second one. LapTrack and motile take part where they are installed (``pip install
laptrack==0.17.1 motile==1.0.1``); LapTrack and the nearest neighbours get the best of three thresholds, by their errors
with the first seed.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lineage_detections import NONE, PLAIN, Detector, Scores, TrueLineages, mean_scores, score
from elephant.tracking.assignment import Indices
from elephant.tracking.linkers import Corrections, Detections, GlobalLinker
from elephant.tracking.linking import parents_of

THRESHOLDS = (0.4, 0.6, 0.8)  # of the spacing
_STEPS = {1: "all timepoints", 2: "every second"}

_POSITIONS = Detector(sizes=None)
FLOW_ERROR = 0.4  # what is left of the motion by the shipped flow model, before any annotation
_N_CONFIRMED = 1000  # links

Method = Callable[[Detections, float], Indices]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to join spots.

    Attributes
    ----------
    name
        For the table.
    method
        Takes the spots and a threshold; None where it follows from `knowing`.
    thresholds
        In spacings; one alone, if it needs none.
    detector
        What it is told of the spots.
    knowing
        Returns the method for the true parents, some of which it learns from; in place of `method`.
    """

    name: str
    method: Method | None
    thresholds: tuple[float, ...] = (0.0,)
    detector: Detector = PLAIN
    knowing: Callable[[Indices], Method] | None = None

    def join(self, spots: Detections, true: Indices, threshold: float) -> Indices:
        """Return parents."""
        method = self.knowing(true) if self.knowing else self.method
        assert method is not None
        return method(spots, threshold)


def nearest(spots: Detections, threshold: float) -> Indices:
    """Join each timepoint to the one before, nearest first: what ``elephant link --join`` does without a model."""
    places = spots.positions
    return np.array(parents_of(spots.timepoints.tolist(), places, places, threshold, 2), dtype=np.intp)


def ours(**params: Any) -> Method:
    """Return the global linker."""
    return lambda spots, _: GlobalLinker(**params).link(spots).parents


def taught(n_links: int) -> Callable[[Indices], Method]:
    """Return the global linker after it has learnt from the first links of a movie, which it is not told otherwise."""

    def knowing(true: Indices) -> Method:
        children = np.flatnonzero(true != NONE)[:n_links]
        known = Corrections(links=frozenset((int(true[j]), int(j)) for j in children))
        return lambda spots, _: GlobalLinker().prepare(spots).taught(known).solve().parents

    return knowing


def rivals() -> Iterator[Contestant]:
    """Yield those of other projects that are installed."""
    if find_spec("laptrack"):
        laptrack = import_module("benchmarks.laptrack_linker").laptrack
        yield Contestant("LapTrack", laptrack(2), THRESHOLDS)
    if find_spec("motile"):
        yield Contestant("motile", import_module("benchmarks.motile_linker").motile, (0.6,))


def contestants(*, parts: bool) -> Iterator[Contestant]:
    """Yield those that are installed; with `parts`, also the linker without each of its parts."""
    yield Contestant("nearest neighbours", nearest, THRESHOLDS)
    yield Contestant("global linker", ours())
    yield Contestant("radii jittered by 10%", ours(), detector=Detector(sizes=0.1))
    yield Contestant("positions alone", ours(), detector=_POSITIONS)
    yield Contestant("positions alone, in planes", ours(), detector=Detector(sizes=None, planes=0.25))
    yield Contestant("positions and flow", ours(), detector=Detector(sizes=None, flow=FLOW_ERROR))
    if parts:
        yield Contestant("positions, no gaps", ours(max_gap=0), detector=_POSITIONS)
        yield Contestant("positions, no divisions", ours(n_children=1), detector=_POSITIONS)
        learnt = taught(_N_CONFIRMED)
        yield Contestant("positions, learnt costs", None, detector=_POSITIONS, knowing=learnt)
    yield from rivals()


def best_of(contestant: Contestant, truth: TrueLineages, seeds: Sequence[int]) -> tuple[list[Scores], float, float]:
    """Return the scores of each seed at the threshold that suits the first best, that threshold, and the seconds."""
    spacing = truth.spacing()

    def scores_of(seed: int, threshold: float) -> Scores:
        spots, true = truth.detected(seed, contestant.detector)
        return score(contestant.join(spots, true, threshold * spacing), true)

    tried = []
    for threshold in contestant.thresholds:
        began = time.perf_counter()
        first = scores_of(seeds[0], threshold)
        tried.append((first, threshold, time.perf_counter() - began))
    first, threshold, seconds = min(tried, key=lambda each: each[0].errors)
    return [first, *(scores_of(seed, threshold) for seed in seeds[1:])], threshold, seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lineages", description=__doc__.split("\n\n")[1])
    parser.add_argument("tables", nargs="+", type=Path, help="tables of true lineages")
    parser.add_argument("--seeds", type=int, default=3, help="how many times detections are made")
    parser.add_argument("--parts", action="store_true", help="also measure with each part switched off")
    parser.add_argument("--steps", type=int, nargs="+", choices=_STEPS, default=list(_STEPS), help="1: all timepoints")
    options = parser.parse_args(arguments)
    print("| movie | linker | links | wrong or missing | of these missing | division F1 | threshold | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for path in options.tables:
        for step in options.steps:
            truth = TrueLineages.read(path).every(step)
            for contestant in contestants(parts=options.parts):
                scores, threshold, seconds = best_of(contestant, truth, range(options.seeds))
                _print_row(f"{path.stem}, {_STEPS[step]}", contestant.name, scores, threshold, seconds)
    return 0


def _print_row(movie: str, name: str, scores: list[Scores], threshold: float, seconds: float) -> None:
    mean = mean_scores(scores)
    cells = (
        movie, name, f"{mean['links']:,.0f}", f"{mean['errors']:,.0f}", f"{mean['missing']:,.0f}",
        f"{mean['division F1']:.2f}", f"{threshold:g} spacings" if threshold else "none", f"{seconds:.1f}",
    )  # fmt: skip
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
