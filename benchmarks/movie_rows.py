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
from benchmarks.measuring import Row, Spread, Work, further, in_turns
from benchmarks.yardsticks import as_predicting, fitting, forward_pass, synchronous


def whole_movie(bench: Bench) -> Iterator[Row]:
    """Compare what ``elephant predict`` takes for each further timepoint with the network alone."""
    size = fitting(bench.detection_net(), bench.movie.truth.shape)
    yield pace(bench, "whole-movie", DATASET, bench.movie.n_timepoints, size)


def pace(bench: Bench, key: str, dataset: str, n_timepoints: int, size: tuple[int, ...]) -> Row:
    """Compare each further timepoint of a dataset of the server with the network's pass over an image of a size."""
    workspace, device = bench.server.workspace, bench.device
    x = torch.rand(1, 1, *size, device=device)
    network = forward_pass(bench.detection_net(), x, partial(as_predicting, device))
    works: dict[str, Work] = {
        "one": partial(_predict, workspace, bench, dataset, "0"),
        "network": synchronous(network, device),
        "all": partial(_predict, workspace, bench, dataset, f"0-{n_timepoints - 1}"),
    }
    times = in_turns(works, -(-bench.sizes.rounds // 2))
    each = further(times["one"], times["all"], n_timepoints - 1)
    numbers = {"s": min(each), "network s": min(times["network"]), "start and one timepoint s": min(times["one"])}
    work = f"`elephant predict` of {n_timepoints} timepoints, each further one"
    ratios = Spread.of_ratios(each, times["network"])
    return Row(key, work, ratios, "the detection network alone", goal(key), numbers)


def _predict(workspace: Path, bench: Bench, dataset: str, timepoints: str) -> None:
    model = workspace / "models" / bodies.DETECTION
    voxel = [str(edge) for edge in reversed(bench.movie.truth.voxel)]
    command = [sys.executable, "-m", "elephant.cli", "predict", str(workspace / "datasets" / dataset)]
    command += ["--model", str(model), "--voxel-size", *voxel, "--n-keep-axials", str(bench.movie.n_keep_axials)]
    command += ["-t", timepoints, "-o", str(bench.folder / "found.json"), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves
