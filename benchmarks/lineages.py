"""``python -m benchmarks.lineages``: spots of true lineages, joined by the linkers there are, side by side.

Tables of true lineages (t,id,parent,x,y,z,radius) are given; from each, detections are made with several seeds, of all
timepoints and of every second one. LapTrack and motile take part where they are installed (``pip install
laptrack==0.17.1 motile==1.0.1``); they and the nearest neighbours get the best of three thresholds, by their errors.
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

from benchmarks.lineage_detections import Scores, TrueLineages, mean_scores, score
from elephant.tracking.assignment import Indices
from elephant.tracking.linkers import Detections, GlobalLinker
from elephant.tracking.linking import parents_of

THRESHOLDS = (0.4, 0.6, 0.8)  # of the spacing
_STEPS = {1: "all timepoints", 2: "every second"}

Method = Callable[[Detections, float], Indices]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to join spots.

    Attributes
    ----------
    name
        For the table.
    method
        Takes the spots and a threshold.
    thresholds
        In spacings; one alone, if it needs none.
    sizes, planes
        Of :meth:`TrueLineages.detected`.
    """

    name: str
    method: Method
    thresholds: tuple[float, ...] = (0.0,)
    sizes: float | None = 0.0
    planes: float = 0.0


def nearest(spots: Detections, threshold: float) -> Indices:
    """Join each timepoint to the one before, nearest first: what ``elephant link --join`` does without a model."""
    places = spots.positions
    return np.array(parents_of(spots.timepoints.tolist(), places, places, threshold, 2), dtype=np.intp)


def ours(**params: Any) -> Method:
    """Return the global linker."""
    return lambda spots, _: GlobalLinker(**params).link(spots).parents


def contestants(*, parts: bool) -> Iterator[Contestant]:
    """Yield those that are installed; with `parts`, also the linker without each of its parts."""
    yield Contestant("nearest neighbours", nearest, THRESHOLDS)
    if find_spec("laptrack"):
        laptrack = import_module("benchmarks.laptrack_linker").laptrack
        yield Contestant("LapTrack without gaps", laptrack(0), THRESHOLDS)
        yield Contestant("LapTrack", laptrack(2), THRESHOLDS)
    if find_spec("motile"):
        yield Contestant("motile", import_module("benchmarks.motile_linker").motile, THRESHOLDS)
    yield Contestant("global linker", ours())
    yield Contestant("radii jittered by 10%", ours(), sizes=0.1)
    yield Contestant("positions alone", ours(), sizes=None)
    yield Contestant("positions alone, in planes", ours(), sizes=None, planes=0.25)
    if parts:
        yield Contestant("positions, no gaps", ours(max_gap=0), sizes=None)
        yield Contestant("positions, no divisions", ours(n_children=1), sizes=None)


def best_of(contestant: Contestant, truth: TrueLineages, seeds: Sequence[int]) -> tuple[list[Scores], float, float]:
    """Return the scores of each seed at the best threshold, which that is, and the seconds of a run at it."""
    tried = []
    for threshold in contestant.thresholds:
        scores, began = [], time.perf_counter()
        for seed in seeds:
            spots, true = truth.detected(seed, contestant.sizes, contestant.planes)
            scores.append(score(contestant.method(spots, threshold * truth.spacing()), true))
        tried.append((scores, threshold, (time.perf_counter() - began) / len(seeds)))
    return min(tried, key=lambda each: sum(s.errors for s in each[0]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lineages", description=__doc__.split("\n\n")[1])
    parser.add_argument("tables", nargs="+", type=Path, help="tables of true lineages")
    parser.add_argument("--seeds", type=int, default=3, help="how many times detections are made")
    parser.add_argument("--parts", action="store_true", help="also measure with each part switched off")
    options = parser.parse_args(arguments)
    print("| movie | linker | links | wrong or missing | of these missing | division F1 | threshold | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for path in options.tables:
        for step, words in _STEPS.items():
            truth = TrueLineages.read(path).every(step)
            for contestant in contestants(parts=options.parts):
                scores, threshold, seconds = best_of(contestant, truth, range(options.seeds))
                _print_row(f"{path.stem}, {words}", contestant.name, scores, threshold, seconds)
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
