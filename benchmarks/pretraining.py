"""Makes the shipped networks from seeds: ``python -m benchmarks.pretraining detection3d flow3d detection2d flow2d``.

Each network learns from simulated movies in which everything is drawn at random; see
:mod:`benchmarks.pretraining_movies`. A training may be interrupted at any time (Ctrl-C, kill) and goes on where it was
when the same command is given again. It uses a GPU if there is one. What it writes:

- ``STATE/NAME.state``: all that it needs to go on, every two minutes and at the end.
- ``TO/NAME.pth``, float16, and its entry in ``TO/weights.json``, at the end; with ``--publish`` each time.

The shipped weights are an average of those of the last steps. The learning rate is constant, and falls to 0 over the
last part of the steps: ``--steps`` may be given anew to end a training earlier or later.

Flow learns from many small crops, each of another pair of timepoints: of the same number of voxels, crops of a quarter
of the pairs taught it half as much. The one in 3D begins with what the one in 2D learnt of motion along X and Y: 2D
comes first.
"""

import argparse
import hashlib
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.pretraining_learning import FLOW_OUTPUT, Crop, Learner, alike, cut, new_network
from benchmarks.pretraining_movies import RADII, VERSION
from benchmarks.pretraining_samples import C_RATIO, MAX_DISPLACEMENT, Kind, Samples
from elephant.device import best_device
from elephant.io.atomic import replacing
from elephant.models.checkpoint import load_state_dicts

PACKAGE = Path(__file__).parents[1] / "elephant-models" / "src" / "elephant_models"
SAVE_EVERY_S = 120
REPORT_EVERY = 25  # steps
WARM_UP = 50  # steps
STEEPEST, JUDGED_OVER = 1.5, 100  # a gradient is cut at so many times the median of so many steps


@dataclass(frozen=True, slots=True)
class Plan:
    """How a network is trained.

    Attributes
    ----------
    kind, n_dims
        Which network it is.
    sizes
        Of crops, of which one is chosen at random, voxels, (Z), Y, X; Z is as many as the poolings need, at least.
    steps, batch
        How many steps, of how many crops.
    together
        Crops that are computed at a time, if they are alike.
    begins_with
        The network in 2D whose weights a network in 3D begins with.
    lr
        Learning rate of Adam.
    falling
        Share of the steps, the last ones, over which the learning rate falls to 0.
    averaged
        Weight of what was before in the average of the weights, at each step.
    """

    kind: Kind
    n_dims: int
    sizes: tuple[tuple[int, ...], ...]
    steps: int
    batch: int = 4
    together: int = 1
    begins_with: str | None = None
    lr: float = 2.5e-3
    falling: float = 0.3
    averaged: float = 0.99


SIZES_3D = ((16, 96, 96), (16, 64, 64), (16, 64, 64), (24, 64, 64), (32, 48, 48))
SIZES_OF_PAIRS_3D = ((8, 32, 32),)
SIZES_OF_PAIRS_2D = ((32, 32), (32, 32), (48, 48))
SIZES_2D = ((192, 192), (144, 144), (128, 128))
PLANS = {
    "detection3d": Plan("detection", 3, SIZES_3D, 6000),
    "detection2d": Plan("detection", 2, SIZES_2D, 6000),
    "flow2d": Plan("flow", 2, SIZES_OF_PAIRS_2D, 6000, batch=32, together=16, lr=4e-4),
    "flow3d": Plan("flow", 3, SIZES_OF_PAIRS_3D, 6000, batch=16, together=8, lr=4e-4, begins_with="flow2d"),
}


class Pretraining:
    """A training that goes on from its state, if there is one.

    Parameters
    ----------
    plan
        How it is trained.
    seed
        Decides every random choice.
    state
        The file to go on from; it need not exist.
    threads, workers
        Groups of crops that are computed at a time, and processes that make samples. Neither changes the result.
    flat
        Weights in 2D that a network in 3D begins with; see :func:`benchmarks.pretraining_learning.new_network`.
    """

    def __init__(
        self,
        plan: Plan,
        seed: int,
        state: Path,
        threads: int = 1,
        workers: int = 0,
        flat: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.plan, self.seed, self._state = plan, seed, state
        self.device = best_device()
        self.step = 0
        self.network = new_network(plan.kind, plan.n_dims, seed, flat).to(self.device)
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        self._optimiser = torch.optim.Adam(self._groups(), fused=True)
        self._steepness: list[float] = []
        if state.exists():
            self._load()
        self._learners: list[Learner] = []
        self._threads = ThreadPoolExecutor(threads)
        self._samples = Samples(seed, plan.kind, plan.n_dims, workers)

    def run(self, until: int, report: Callable[[int, dict[str, float]], bool]) -> None:
        """Train until a step, or until `report`, called with each step's number and values, returns False."""
        while self.step < until:
            values = self._advance()
            self.step += 1
            if not report(self.step, values):
                break
        self._samples.close()

    def save(self) -> None:
        """Write the state, whole or not at all."""
        content = {
            "weights": self.network.state_dict(),
            "average": self.average,
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "steepness": self._steepness,
        }
        self._state.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._state) as file:
            torch.save(content, file)

    def _load(self) -> None:
        found = torch.load(self._state, map_location=self.device, weights_only=True)
        self.network.load_state_dict(found["weights"])
        self.average = found["average"]
        self._optimiser.load_state_dict(found["optimiser"])
        self.step = found["step"]
        self._steepness = found.get("steepness", [])

    def _groups(self) -> list[dict[str, Any]]:
        """Return the parameters with their learning rates.

        A displacement of a voxel is an output of 1/80: where the last layer learnt as fast as the others, each step
        would change the flow by more than that.
        """
        last = list(self.network.out_conv.parameters())
        others = [value for name, value in self.network.named_parameters() if not name.startswith("out_conv")]
        share = FLOW_OUTPUT if self.plan.kind == "flow" else 1.0
        return [{"params": others, "lr": self.plan.lr}, {"params": last, "lr": self.plan.lr * share}]

    def _rate(self) -> float:
        """Return the learning rate, as a share of the plan's."""
        plan = self.plan
        left = (plan.steps - self.step) / max(plan.falling * plan.steps, 1)
        return min(1.0, (self.step + 1) / WARM_UP, max(left, 0.01))

    def _advance(self) -> dict[str, float]:
        """Take a step on a batch of crops."""
        groups = alike(self._crops(), self.plan.together)
        while len(self._learners) < len(groups):
            self._learners.append(Learner(self.network, self.plan.n_dims))
        learners = self._learners[: len(groups)]
        values = list(self._threads.map(lambda learner, group: learner.learn(group), learners, groups))
        gradients = zip(*(learner.gradients() for learner in learners), strict=True)
        for own, others in zip(self.network.parameters(), gradients, strict=True):
            own.grad = torch.stack(others).sum(0) / self.plan.batch
        self._limit_gradient()
        for group, initial in zip(self._optimiser.param_groups, self._groups(), strict=True):
            group["lr"] = initial["lr"] * self._rate()
        self._optimiser.step()
        kept = min(self.plan.averaged, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - kept)
        return {name: sum(value[name] for value in values) / self.plan.batch for name in values[0]}

    def _crops(self) -> list[Crop]:
        chosen = []
        for number in range(self.step * self.plan.batch, (self.step + 1) * self.plan.batch):
            rng = np.random.default_rng([self.seed, self.plan.n_dims, number, 1])
            chosen.append((self._samples.of(number, rng), rng))
        return list(self._threads.map(lambda given: cut(given[0], self.plan.sizes, self.device, given[1]), chosen))

    def _limit_gradient(self) -> None:
        """Cut a gradient that is far steeper than those before: of detection at 1, of flow by their median."""
        limit = 1.0
        if self.plan.kind == "flow":
            found = [value.grad for value in self.network.parameters() if value.grad is not None]
            steepness = float(torch.nn.utils.get_total_norm(found))
            self._steepness = [*self._steepness, steepness][-JUDGED_OVER:]
            limit = STEEPEST * float(np.median(self._steepness))
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), limit)


def publish(training: Pretraining, name: str, folder: Path) -> None:
    """Write the averaged weights in float16 into a folder, and what they are into its ``weights.json``."""
    path, facts = folder / f"{name}.pth", folder / "weights.json"
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        torch.save({key: value.half().cpu() for key, value in training.average.items()}, file)
    plan = training.plan
    described = json.loads(facts.read_text(encoding="utf-8")) if facts.exists() else {}
    described[name] = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "seed": training.seed,
        "steps": training.step,
        "batch": plan.batch,
        "recipe": VERSION,
        "radii": list(RADII),
        **({"max_displacement": MAX_DISPLACEMENT} if plan.kind == "flow" else {"c_ratio": C_RATIO}),
    }
    with replacing(facts) as file:
        file.write((json.dumps(described, indent=2, sort_keys=True) + "\n").encode())


class _Progress:
    """Prints how far a training is, saves it now and then, and ends it when it is to stop."""

    def __init__(self, name: str, training: Pretraining, options: argparse.Namespace) -> None:
        self._name, self._training, self._options = name, training, options
        self._began = self._saved = time.monotonic()
        self._first = training.step
        self._seen: list[dict[str, float]] = []

    def __call__(self, step: int, values: dict[str, float]) -> bool:
        self._seen.append(values)
        now = time.monotonic()
        if step % REPORT_EVERY == 0:
            each = (now - self._began) / (step - self._first)
            means = " ".join(f"{key} {np.mean([v[key] for v in self._seen]):.4f}" for key in values)
            plan = self._training.plan
            print(f"{self._name}: step {step}/{plan.steps}, {means}, {each:.2f} s a step", flush=True)
            self._seen.clear()
        if now - self._saved > SAVE_EVERY_S:
            self.keep()
        minutes = self._options.minutes
        return not _Stop.asked and not (minutes and now - self._began > 60 * minutes)

    def keep(self) -> None:
        """Save the state, and the weights where they are wanted."""
        self._saved = time.monotonic()
        self._training.save()
        if self._options.publish or self._training.step >= self._training.plan.steps:
            publish(self._training, self._name, self._options.to)


def _flat_weights(plan: Plan, folder: Path) -> dict[str, Tensor] | None:
    """Return the published weights in 2D that a network in 3D begins with.

    Raises
    ------
    SystemExit
        They have not been made yet.
    """
    if plan.begins_with is None:
        return None
    path = folder / f"{plan.begins_with}.pth"
    if not path.exists():
        raise SystemExit(f"flow in 3D begins with {path}: make {plan.begins_with} first")
    (weights,) = load_state_dicts(path)
    return {name: value.float() for name, value in weights.items()}


class _Stop:
    asked = False

    @classmethod
    def ask(cls, *_: object) -> None:
        cls.asked = True


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("networks", nargs="+", choices=tuple(PLANS), metavar="NETWORK", help=", ".join(PLANS))
    given.add_argument("--steps", type=int, help="steps of each, in place of the plan's")
    given.add_argument("--seed", type=int, default=0)
    given.add_argument("--minutes", type=float, help="stop each network after so long; it goes on the next time")
    given.add_argument("--to", type=Path, default=PACKAGE, help="folder of the weights (the package elephant-models)")
    given.add_argument("--state", type=Path, default=Path("workspace/pretraining"), help="folder to go on from")
    given.add_argument("--threads", type=int, default=1, help="crops computed at a time")
    given.add_argument("--workers", type=int, default=1, help="processes that simulate")
    given.add_argument("--publish", action="store_true", help="write the weights each time that the state is saved")
    return given


def main() -> int:
    """Train the networks, one after the other."""
    options = parser().parse_args()
    torch.set_num_threads(1)  # a thread for each crop
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _Stop.ask)
    for name in options.networks:
        plan = replace(PLANS[name], steps=options.steps or PLANS[name].steps)
        state = options.state / f"{name}.state"
        flat = _flat_weights(plan, options.to)
        training = Pretraining(plan, options.seed, state, options.threads, options.workers, flat)
        progress = _Progress(name, training, options)
        training.run(plan.steps, progress)
        progress.keep()
        if _Stop.asked:
            print(f"stopped at step {training.step} of {plan.steps}: give the same command again to go on")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
