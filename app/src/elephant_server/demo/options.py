"""What the command line and the environment ask of the demonstration."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from elephant.simulation import PRESETS


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Everything that can be chosen.

    Attributes
    ----------
    movie, truth
        A movie to use instead of a simulated one, and what is true of it.
    setup
        Number of the source of that movie; None for its first.
    preset, seed
        Which movie is simulated otherwise; the seed also starts the training.
    dataset
        Name of the dataset in the workspace, and of the model.
    timepoint
        On which to train; the next one is predicted.
    epochs, crops, batch_size, lr, crop_size
        The training: passes, crops per pass, crops per step, learning rate, voxels Z, Y, X of a crop.
    distance
        How far a found centre may lie from a true one, physical.
    require_f1
        Fail below this score.
    output
        Folder of the picture.
    """

    movie: Path | None
    truth: Path | None
    setup: int | None
    preset: str
    seed: int
    dataset: str
    timepoint: int
    epochs: int
    crops: int
    batch_size: int
    lr: float
    crop_size: tuple[int, int, int]
    distance: float
    require_f1: float | None
    output: Path

    @property
    def steps(self) -> int:
        """How many steps the training takes."""
        return self.epochs * -(-self.crops // self.batch_size)


def parse(arguments: Sequence[str] | None, environment: Mapping[str, str] = os.environ) -> DemoOptions:
    """Return the options of a command line; ``MOVIE``, ``TRUTH`` and ``SEED`` of the environment are defaults."""
    given = vars(_parser(environment).parse_args(arguments))
    given["crop_size"] = tuple(given["crop_size"])
    return DemoOptions(**given)


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Train on one timepoint of a movie and detect nuclei in the next.")
    movie, truth = environment.get("MOVIE") or None, environment.get("TRUTH") or None
    parser.add_argument("--movie", type=Path, default=movie, help="a BigDataViewer .h5; by default one is simulated")
    parser.add_argument(
        "--truth", type=Path, default=truth, help="its .truth.json; by default the one beside the movie"
    )
    parser.add_argument("--setup", type=_natural, help="number of the movie's source; by default the first")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="demo", help="the movie to simulate")
    parser.add_argument("--seed", type=_natural, default=environment.get("SEED") or "0", help="random seed")
    parser.add_argument("--dataset", default="demo", help="its name in the workspace")
    parser.add_argument("--timepoint", type=_natural, default=0, help="to train on; the next one is predicted")
    parser.add_argument("--epochs", type=_positive, default=10)
    parser.add_argument("--crops", type=_positive, default=10, help="per epoch")
    parser.add_argument("--batch-size", type=_positive, default=1, help="crops per step")
    parser.add_argument("--lr", type=float, default=0.003, help="learning rate")
    parser.add_argument("--crop-size", type=_positive, nargs=3, default=(16, 48, 48), metavar=("Z", "Y", "X"))
    parser.add_argument("--distance", type=float, default=5.0, help="largest distance of a match, physical")
    parser.add_argument("--require-f1", type=float, help="end with status 1 below this score")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder of the picture")
    return parser


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, got {text}")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return value
