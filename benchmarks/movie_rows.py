"""A whole movie from the command line, at the pace of the network."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks import bodies
from benchmarks.bench import DATASET, Bench
from benchmarks.goals import goal
from benchmarks.measuring import Row, Spread, Work, in_turns
from benchmarks.yardsticks import as_predicting, fitting, forward_pass


def whole_movie(bench: Bench) -> Iterator[Row]:
    """Compare what ``elephant predict`` takes for each further timepoint with the network alone."""
    workspace, n = bench.server.workspace, bench.movie.n_timepoints
    model = bench.detection_net()
    network = forward_pass(model, torch.rand(1, 1, *fitting(model, bench.movie.truth.shape)), as_predicting)
    works: dict[str, Work] = {
        "one": partial(_predict, workspace, bench, "0"),
        "network": network,
        "all": partial(_predict, workspace, bench, f"0-{n - 1}"),
    }
    times = in_turns(works, -(-bench.sizes.rounds // 2))
    further = [(of_all - one) / (n - 1) for one, of_all in zip(times["one"], times["all"], strict=True)]
    numbers = {"s": min(further), "network s": min(times["network"]), "start and one timepoint s": min(times["one"])}
    work = f"`elephant predict` of {n} timepoints, each further one"
    ratios = Spread.of_ratios(further, times["network"])
    yield Row("whole-movie", work, ratios, "the detection network alone", goal("whole-movie"), numbers)


def _predict(workspace: Path, bench: Bench, timepoints: str) -> None:
    model = workspace / "models" / bodies.DETECTION
    voxel = [str(edge) for edge in reversed(bench.movie.truth.voxel)]
    command = [sys.executable, "-m", "elephant.cli", "predict", str(workspace / "datasets" / DATASET)]
    command += ["--model", str(model), "--voxel-size", *voxel, "--n-keep-axials", str(bench.movie.n_keep_axials)]
    command += ["-t", timepoints, "-o", str(bench.folder / "found.json"), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves
