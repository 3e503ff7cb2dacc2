"""The demonstration from beginning to end."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from examples.demo.movie import KnownMovie, background_threshold, given, place_of, simulated

from elephant.errors import ElephantError
from elephant.evaluation.counts import Counts
from elephant.evaluation.matching import TimepointScores, match_by_distance
from elephant.evaluation.picture import Views, draw
from elephant.simulation import PRESETS
from elephant.types import DetectedSpot, Spot, Tag, VoxelSize
from elephant_server.auth.tokens import token_of, trust_of
from elephant_server.client import Client, RemoteDataset, UnreachableError
from elephant_server.settings import Settings, SettingsError, load_settings

LARGEST_PATCH = (64, 512, 512)  # what a network takes at once on an ordinary machine


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration and return the exit status: 1 where it failed or found too little."""
    try:
        options = parse(arguments)
        scores, png = demonstrate(options, load_settings())
    except (ElephantError, SettingsError, OSError, KeyError) as error:
        hint = ". make serve starts one; ELEPHANT_HTTP_PORT is its port." if isinstance(error, UnreachableError) else ""
        print(f"{error}{hint}", file=sys.stderr)
        return 1
    print(f"Timepoint {options.timepoint + 1}: {scores}")
    print(f"Picture: {png}")
    if options.require_f1 is not None and scores.f1 < options.require_f1:
        print(f"F1 is {scores.f1:.3f}, expected at least {options.require_f1}.", file=sys.stderr)
        return 1
    return 0


def demonstrate(options: DemoOptions, settings: Settings) -> tuple[Counts, Path]:
    """Train on one timepoint, predict the next, and return how good that was and where the picture is.

    Raises
    ------
    elephant.errors.ElephantError
        Something that the message says how to put right.
    """
    client = Client(settings.http_url, token_of(settings), trust=trust_of(settings))
    print(f"Server: {client.address} ({client.devices()[0].name})")
    target = place_of(settings.datasets_dir, options.dataset)
    if options.movie is None:
        movie = simulated(options.preset, options.seed, target)
    else:
        movie = given(options.movie, options.truth, options.setup, target)
    movie.check_timepoint(options.timepoint)
    dataset = convert(client, movie, options)
    train(dataset, movie, options)
    return judge(movie, predict(dataset, movie, options), options)


def convert(client: Client, movie: KnownMovie, options: DemoOptions) -> RemoteDataset:
    """Have the server make a dataset of the movie."""
    dataset = client.open_dataset(options.dataset, movie.truth.voxel[-movie.n_dims :])
    shape = (movie.reader.n_timepoints, *movie.shape)
    if dataset.check(shape) != "ready":
        print(f"Converting the movie into the dataset {options.dataset}")
    client.generate(options.dataset, is_2d=movie.truth.is_2d, setup=options.setup)
    message = dataset.check(shape)
    if message != "ready":
        raise ElephantError(
            f"The dataset is not ready: {message}. Is the server's workspace the one of ELEPHANT_WORKSPACE, {movie.h5}?"
        )
    dataset.clear_labels()  # those of an earlier demonstration
    return dataset


def train(dataset: RemoteDataset, movie: KnownMovie, options: DemoOptions) -> None:
    """Have the server train a new model, with every true nucleus of the timepoint confirmed."""
    crop_size = tuple(map(min, options.crop_size[-movie.n_dims :], movie.shape))
    model = f"{options.dataset}.pth"
    dataset.reset(model, crop_size=crop_size, n_crops=5, seed=options.seed)
    nuclei = movie.truth.spots(options.timepoint)
    print(f"Training on {len(nuclei)} nuclei")
    dataset.train(
        [confirmed(spot) for spot in nuclei],
        model=model,
        crop_size=crop_size,
        lr=options.lr,
        batch_size=options.batch_size,
        n_crops=options.crops,
        n_epochs=options.epochs,
        aug_scale_factor_base=0.1,
        aug_rotation_angle=90,
        auto_bg_thresh=background_threshold(movie.image(options.timepoint)),
        c_ratio=0.5,
        log_interval=1,
        log_dir=options.dataset,
        seed=options.seed,
    )


def predict(dataset: RemoteDataset, movie: KnownMovie, options: DemoOptions) -> list[DetectedSpot]:
    """Return what the server finds in the timepoint after the one that it was trained on."""
    smallest, largest = radius_range(movie.truth.spots(options.timepoint), movie.n_dims)
    patch = tuple(map(min, LARGEST_PATCH[-movie.n_dims :], movie.shape))
    return dataset.predict(
        options.timepoint + 1,
        model=f"{options.dataset}.pth",
        c_ratio=0.5,
        p_thresh=0.4,
        r_min=smallest,
        r_max=largest,
        output_prediction=True,
        is_pad=True,
        patch=None if patch == movie.shape else patch,
    )


def confirmed(spot: Spot) -> Spot:
    """Return a nucleus that a person has said yes to."""
    return replace(spot, tag=Tag.TP)


def radius_range(spots: Sequence[Spot], n_dims: int) -> tuple[float, float]:
    """Return `r_min` and `r_max` that let pass what looks like `spots`, and daughters half their size."""
    axes = [np.sqrt(np.linalg.eigvalsh(spot.covariance[3 - n_dims :, 3 - n_dims :])) for spot in spots]
    return round(0.5 * float(np.min(axes)), 3), round(1.25 * float(np.max(axes)), 3)


def judge(movie: KnownMovie, found: list[DetectedSpot], options: DemoOptions) -> tuple[Counts, Path]:
    """Compare with the truth and draw the picture."""
    t = options.timepoint + 1
    true = movie.truth.spots(t)
    matching = match_by_distance(true, found, options.distance)
    name = options.movie.stem if options.movie else f"{options.preset}-{options.seed}"
    png = options.output / f"{name}.png"
    title = f"{name}, timepoint {t}\ntrained on timepoint {options.timepoint}"
    image = movie.image(t)
    views = Views.of(lambda planes: image[planes], image.shape)
    draw(png, views, VoxelSize(*movie.truth.voxel), TimepointScores(t, true, found, matching), title)
    return matching.counts, png


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
