"""How well a server learns to detect and to link: ``python -m benchmarks.learning MOVIE.h5 MOVIE.truth.json``.

Asks the running server over HTTP as the client does, for each seed from random weights or from the images alone, with
constant learning rates. With ``--precision float32 bfloat16`` it starts a server of its own for each of them, so that
both can be compared: bfloat16 learns as well where its scores lie within the spread of float32's. The movie has at
least 8 timepoints; printed is a table as it grows.

- detection, full: 250 steps on every nucleus of timepoints 0 and 3; F1 at timepoint 6.
- detection, sparse: 250 steps on 10 nuclei of timepoint 0; F1 at timepoint 6. Both with an automatic background.
- flow: at most 500 steps on the links that begin at timepoints 0 to 3; at timepoints 5 to 7 the mean distance between
  the predicted and the true earlier position, over that between the position now and the true earlier one.

``python -m benchmarks.learning figures`` tells what a model knows before it is taught, and what it learns of little:
see ``benchmarks/teaching.py``.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import teaching
from benchmarks.precision import BFLOAT16, PRECISIONS, environment, has_both
from benchmarks.serving import serve
from elephant.config import keep_axials_of
from elephant.evaluation.matching import match_by_distance
from elephant.progress import NoReporter
from elephant.simulation import Truth, read_truth
from elephant.types import FloatArray, Link, Spot, Tag, VoxelSize
from elephant_server.client import Client, RemoteDataset
from elephant_server.settings import load_settings

CROP, PATCH = (16, 96, 96), (24, 384, 384)
DISTANCE = 2.5  # physical, of a match
N_SPARSE = 10
DETECTION_STEPS = 250
FULL, TESTED = (0, 3), 6
LINKED, JUDGED = range(1, 5), range(5, 8)
N_CROPS = 5
DETECTION, FLOW = "learning/detection.pth", "learning/flow.pth"
TRAINING: dict[str, Any] = {
    "crop_size": CROP,
    "n_crops": N_CROPS,
    "log_interval": 10,
    "log_dir": "learning",
    "cache_maxbytes": 2**30,
}
Options = Mapping[str, Any]


def annotations(truth: Truth, t: int, n: int | None = None) -> list[Spot]:
    """Return nuclei of a timepoint, the first `n`, as a person would confirm them."""
    return [replace(spot, tag=Tag.TP) for spot in truth.spots(t)[:n]]


def earlier(truth: Truth, t: int) -> Iterator[tuple[Spot, FloatArray]]:
    """Yield the nuclei of a timepoint that were there before, also as a parent's, and where."""
    before = {spot.id: spot.pos for spot in truth.spots(t - 1)}
    for nucleus in truth.frames[t]:
        name = nucleus.spot.id if nucleus.spot.id in before else nucleus.parent
        if name in before:
            yield nucleus.spot, before[name]


def detection(movie: RemoteDataset, truth: Truth, spots: list[Spot], n_timepoints: int, options: Options) -> Options:
    """Start a detection model, train it and say how well it finds the nuclei of the tested timepoint."""
    movie.clear_labels()
    movie.reset(DETECTION, crop_size=CROP, n_crops=N_CROPS, seed=options["seed"])
    begin = time.monotonic()
    movie.train(
        spots,
        model=DETECTION,
        lr=options["lr"],
        n_epochs=DETECTION_STEPS // (N_CROPS * n_timepoints),
        aug_scale_factor_base=0.1,
        aug_rotation_angle=90,
        aug_contrast=options["contrast"],
        class_weights=[1, 10, 10],
        false_weight=10,
        auto_bg_thresh=options["background"],
        c_ratio=options["c_ratio"],
        seed=options["seed"],
        **TRAINING,
    )
    trained = time.monotonic()
    limits = {"c_ratio": options["c_ratio"], "p_thresh": options["threshold"], "r_min": 1, "r_max": 50}
    found = movie.predict(TESTED, model=DETECTION, patch=PATCH, is_pad=True, **limits)
    scores = match_by_distance(truth.spots(TESTED), found, DISTANCE).counts
    return {
        "score": f"F1 {scores.f1:.3f}",
        "value": scores.f1,
        "train_s": trained - begin,
        "predict_s": time.monotonic() - trained,
    }


def flow(client: Client, movie: RemoteDataset, truth: Truth, options: Options) -> Options:
    """Start a flow model from random weights, train it and say how much nearer it comes to where nuclei were."""
    given: dict[str, Any] = {"model": FLOW, "max_displacement": options["max_displacement"]}
    keep_axials = keep_axials_of(VoxelSize(*truth.voxel), truth.shape)
    movie.clear_flow_labels()
    client.reset_flow(FLOW, n_keep_axials=keep_axials, seed=options["seed"])
    begin = time.monotonic()
    movie.train_flow(
        [Link(t - 1, spot.pos, spot.covariance, was - spot.pos) for t in LINKED for spot, was in earlier(truth, t)],
        lr=options["flow_lr"],
        n_epochs=options["flow_steps"] // (N_CROPS * len(LINKED)),
        aug_scale_factor_base=options["flow_scale"],
        aug_rotation_angle=options["flow_rotation"],
        seed=options["seed"],
        **given,
        **TRAINING,
    )
    trained = time.monotonic()
    linked = [pair for t in JUDGED for pair in earlier(truth, t)]
    found = movie.displace([spot for spot, _ in linked], patch=PATCH, **given)
    moved = [np.linalg.norm(place.pos - was) for place, (_, was) in zip(found, linked, strict=True)]
    still = [np.linalg.norm(spot.pos - was) for spot, was in linked]
    value = float(np.mean(moved) / np.mean(still))
    score = f"{np.mean(moved):.3f} / {np.mean(still):.3f} = {value:.3f}"
    return {"score": score, "value": value, "train_s": trained - begin, "predict_s": time.monotonic() - trained}


def provide(client: Client, datasets: Path, path: Path, truth: Truth) -> RemoteDataset:
    """Make the movie a dataset of the server, whose folder of datasets is on this machine."""
    folder = datasets / "learning"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / "learning.h5")
    client.generate("learning")
    return client.open_dataset("learning", truth.voxel)


@contextmanager
def server(precision: str | None) -> Iterator[tuple[Client, Path]]:
    """Yield a client and the folder of datasets: of the running server, or of one that computes in a precision."""
    if precision is None:
        settings = load_settings()
        yield Client(settings.http_url, progress=NoReporter()), settings.datasets_dir
        return
    with (
        tempfile.TemporaryDirectory(prefix="elephant-learning-") as folder,
        serve(Path(folder), variables=environment(precision)) as started,
    ):
        yield started.client, started.workspace / "datasets"


def play(client: Client, movie: RemoteDataset, truth: Truth, options: Options) -> Iterator[str]:
    """Play what was asked for with each seed, and yield a line for each, and one for all seeds of one."""
    full = [spot for t in FULL for spot in annotations(truth, t)]
    sparse = annotations(truth, 0, N_SPARSE)
    plays = {
        "full": lambda o: detection(movie, truth, full, len(FULL), o),
        "sparse": lambda o: detection(movie, truth, sparse, 1, o),
        "flow": lambda o: flow(client, movie, truth, o),
    }
    for name in options["only"]:
        values = []
        for seed in options["seeds"]:
            found = plays[name]({**options, "seed": seed})
            values.append(found["value"])
            times = f"training {found['train_s']:.0f} s, prediction {found['predict_s']:.1f} s"
            yield f"{name:7} seed {seed}: {found['score']}, {times}"
        yield f"{name:7} all seeds: mean {np.mean(values):.3f}, {min(values):.3f} to {max(values):.3f}"


def main() -> None:
    """Play what was asked for with each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("movie", type=Path, help="BigDataViewer .h5 of at least 8 timepoints")
    parser.add_argument("truth", type=Path, help="JSON with `voxel`, `shape` (Z, Y, X) and `frames` of nuclei, X, Y, Z")
    parser.add_argument("--only", nargs="+", choices=("full", "sparse", "flow"), default=("full", "sparse", "flow"))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--lr", type=float, default=3e-3, help="of detection")
    parser.add_argument("--contrast", type=float, default=0.0)
    parser.add_argument("--c-ratio", type=float, default=0.5)
    parser.add_argument("--threshold", type=float, default=0.5, help="least centre probability")
    parser.add_argument("--background", type=float, default=0.1, help="normalised; below it is background")
    parser.add_argument("--flow-lr", type=float, default=1e-3)
    parser.add_argument("--flow-steps", type=int, default=500)
    parser.add_argument("--flow-scale", type=float, default=0.0)
    parser.add_argument("--flow-rotation", type=float, default=0.0)
    parser.add_argument("--max-displacement", type=float, default=6.0, help="voxels")
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, help="start a server that computes so, one after the other"
    )
    options = parser.parse_args()
    if BFLOAT16 in (options.precision or ()) and not has_both():
        parser.error("--precision bfloat16: this processor does not multiply it, or may not")
    truth = read_truth(options.truth)
    for precision in options.precision or (None,):
        with server(precision) as (client, datasets):
            movie = provide(client, datasets, options.movie, truth)
            for line in play(client, movie, truth, vars(options)):
                print(line if precision is None else f"{precision:8} {line}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers that it has started end with it
    if sys.argv[1:2] == ["figures"]:
        teaching.main(sys.argv[2:])
    else:
        main()
