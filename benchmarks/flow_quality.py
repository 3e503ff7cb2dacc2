"""How well a flow model learns to link: ``python benchmarks/flow_quality.py MOVIE.h5 MOVIE.truth.json``.

The links that end at timepoints 1 to 4 are learnt. At timepoints 5 to 7 the true earlier position of each nucleus is
compared with the one that the model predicts, and with where the nucleus is now (no flow at all). Printed are both
mean distances and their ratio: the lower the better, 1 is as bad as no flow.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elephant.config.conversion import ConversionParams
from elephant.config.detection import PredictionParams
from elephant.config.flow import DisplacementParams, FlowParams, FlowStart, FlowTrainingParams
from elephant.config.training import AugmentationParams, LoopParams
from elephant.dataset import Dataset, convert
from elephant.devices import best_device
from elephant.models.pretrained import ModelSource
from elephant.models.shelf import ModelShelf
from elephant.reporting import NeverCancelled, NoReporter
from elephant.training.control import LiveSettings
from elephant.types import FloatArray, Link, Spot
from elephant.workflows.displacement import displace
from elephant.workflows.flow import FlowWork, reset_flow_model, train_flow

LEARNT = range(1, 5)
JUDGED = range(5, 8)
CROP = (16, 96, 96)
PATCH = (32, 128, 128)
N_CROPS = 5
PRINTED = 20
N_KEEP_AXIALS = 2
Frame = list[dict[str, Any]]


@dataclass(frozen=True)
class Pair:
    """A nucleus and where it was at the timepoint before, physical, Z, Y, X."""

    spot: Spot
    earlier: FloatArray


def pairs(frames: list[Frame], t: int) -> list[Pair]:
    """Link the nuclei of a timepoint to those before: by their id, or by their parent's where they just divided."""
    before = {entry["id"]: np.array(entry["pos"][::-1]) for entry in frames[t - 1]}
    found = []
    for entry in frames[t]:
        name = entry["id"] if entry["id"] in before else entry["parent"]
        if name in before:
            covariance = np.array(entry["covariance"][::-1]).reshape(3, 3)
            spot = Spot(t, np.array(entry["pos"][::-1]), covariance, id=entry["id"])
            found.append(Pair(spot, before[name]))
    return found


def link(pair: Pair) -> Link:
    """Return the pair as an annotation."""
    spot = pair.spot
    return Link(spot.t - 1, spot.pos, spot.covariance, pair.earlier - spot.pos)


class Schedule(NeverCancelled):
    """Lets the learning rate sink to 0 along a cosine, as a person might from the client, and prints the losses."""

    def __init__(self, lr: float, n_steps: int) -> None:
        self._lr = lr
        self._n_steps = n_steps
        self._losses: list[float] = []

    def settings(self) -> LiveSettings:
        """Return the settings for the next step."""
        share = len(self._losses) / self._n_steps
        return LiveSettings(self._lr * (1 + np.cos(np.pi * share)) / 2, N_CROPS)

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Print the mean loss of some steps."""
        if stage != "step":
            return
        self._losses.append(values["instance"])
        if done % PRINTED == 0:
            print(f"step {done}/{total}: instance loss {np.mean(self._losses[-PRINTED:]):.4f}", flush=True)


def train(work: FlowWork, links: list[Link], displacement: DisplacementParams, options: argparse.Namespace) -> None:
    """Start the model from random weights and train it for the steps asked for."""
    start = FlowStart(n_dims=3, n_keep_axials=N_KEEP_AXIALS, seed=options.seed)
    reset_flow_model(work.model_path, work.shelf, work.model_path.parent, ModelSource(), start, work.cancel)
    n_epochs = max(1, options.steps // (N_CROPS * len(LEARNT)))
    n_steps = n_epochs * N_CROPS * len(LEARNT)
    params = FlowTrainingParams(
        displacement=displacement,
        loop=LoopParams(lr=options.lr, n_crops=N_CROPS, n_epochs=n_epochs, seed=options.seed),
        augmentation=AugmentationParams(),
        crop_size=CROP,
    )
    schedule = Schedule(options.lr, n_steps)
    begin = time.perf_counter()
    train_flow(replace(work, reporter=schedule), links, params, schedule, lambda: None)
    print(f"trained: {n_steps} steps, {(time.perf_counter() - begin) / n_steps:.2f} s each", flush=True)


def judge(work: FlowWork, frames: list[Frame], displacement: DisplacementParams) -> float:
    """Print the distances at the judged timepoints; return the ratio of their means."""
    prediction = PredictionParams(n_keep_axials=N_KEEP_AXIALS, patch=PATCH)
    params = FlowParams(displacement=displacement, prediction=prediction)
    with_flow, without = [], []
    for t in JUDGED:
        truth = pairs(frames, t)
        found = displace(work, t, [pair.spot for pair in truth], params)
        moved = [np.linalg.norm(f.pos - p.earlier) for f, p in zip(found, truth, strict=True)]
        unmoved = [np.linalg.norm(p.spot.pos - p.earlier) for p in truth]
        print(f"timepoint {t}: {np.mean(moved):.3f} with flow, {np.mean(unmoved):.3f} without, {len(truth)} nuclei")
        with_flow += moved
        without += unmoved
    ratio = float(np.mean(with_flow) / np.mean(without))
    print(f"all: {np.mean(with_flow):.3f} with flow, {np.mean(without):.3f} without, ratio {ratio:.3f}")
    return ratio


def main() -> None:
    """Convert, train, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("movie", type=Path, help="BigDataViewer .h5 of at least 8 timepoints")
    parser.add_argument("truth", type=Path, help="JSON with `voxel` (Z, Y, X) and `frames` of nuclei, X, Y, Z")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--max-displacement", type=float, default=6.0, help="voxels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    truth = json.loads(options.truth.read_text())
    displacement = DisplacementParams(
        voxel_size=tuple(truth["voxel"]), max_displacement=options.max_displacement, n_keep_axials=N_KEEP_AXIALS
    )
    torch.manual_seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        convert(options.movie, Path(folder, "d"), ConversionParams(), NoReporter(), NeverCancelled())
        dataset = Dataset(Path(folder, "d"))
        work = FlowWork(dataset, Path(folder, "flow.pth"), ModelShelf(best_device()), NoReporter(), NeverCancelled())
        train(work, [link(pair) for t in LEARNT for pair in pairs(truth["frames"], t)], displacement, options)
        judge(work, truth["frames"], displacement)


if __name__ == "__main__":
    main()
