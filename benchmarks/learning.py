"""How well a running server learns to detect and to link: ``python benchmarks/learning.py MOVIE.h5 MOVIE.truth.json``.

Asks over HTTP as the client does, for each seed from random weights or from the images alone, with constant learning
rates. The movie has at least 8 timepoints; printed is a table as it grows.

- detection, full: 250 steps on every nucleus of timepoints 0 and 3; F1 at timepoint 6.
- detection, sparse: 250 steps on 10 nuclei of timepoint 0; F1 at timepoint 6. Both with an automatic background.
- flow: at most 500 steps on the links that begin at timepoints 0 to 3; at timepoints 5 to 7 the mean distance between
  the predicted and the true earlier position, over that between the position now and the true earlier one.
"""

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elephant.config import n_keep_axials
from elephant.types import FloatArray, VoxelSize
from elephant_server.demo.client import ServerClient, spots_of
from elephant_server.demo.scoring import compare
from elephant_server.settings import load_settings

CROP = (96, 96, 16)  # X, Y, Z, as all vectors here
DISTANCE = 2.5  # physical, of a match
N_SPARSE = 10
DETECTION_STEPS = 250
FULL, TESTED = (0, 3), 6
LINKED, JUDGED = range(1, 5), range(5, 8)
N_CROPS = 5
Body = dict[str, Any]


@dataclass(frozen=True)
class Movie:
    """A dataset of the server and what is true of it."""

    name: str
    truth: Body

    @property
    def common(self) -> Body:
        """What every request about it says."""
        voxel = self.truth["voxel"]
        return {
            "dataset_name": self.name,
            "scales": voxel[::-1],
            "n_keep_axials": n_keep_axials(VoxelSize(*voxel), 3),
            "is_3d": True,
            "crop_size": CROP,
            "input_size": self.truth["shape"][::-1],
            "cache_maxbytes": 2**30,
            "use_memmap": False,
            "debug": False,
        }

    def nuclei(self, t: int) -> list[Body]:
        """Return the true nuclei of a timepoint."""
        found: list[Body] = self.truth["frames"][t]
        return found

    def annotations(self, t: int, n: int | None = None) -> list[Body]:
        """Return nuclei of a timepoint, the first `n`, as a person would confirm them."""
        keys = ("pos", "covariance", "id")
        return [{"t": t, "tag": "tp", "label": "", **{k: e[k] for k in keys}} for e in self.nuclei(t)[:n]]

    def links(self, t: int) -> Iterator[tuple[Body, FloatArray]]:
        """Yield the nuclei of a timepoint that were there before, also as a parent's, and where, X, Y, Z."""
        before = {entry["id"]: np.array(entry["pos"]) for entry in self.nuclei(t - 1)}
        for entry in self.nuclei(t):
            name = entry["id"] if entry["id"] in before else entry["parent"]
            if name in before:
                yield entry, before[name]


def detection(client: ServerClient, movie: Movie, spots: list[Body], n_timepoints: int, options: Body) -> Body:
    """Start a detection model, train it and say how well it finds the nuclei of the tested timepoint."""
    model = {"model_name": "learning/detection.pth", "seed": options["seed"]}
    client.post("seg/update", {"dataset_name": movie.name, "reset": True})
    client.post("seg/reset", movie.common | model | {"n_crops": N_CROPS, "url": None})
    training = {
        "spots": spots,
        "timepoint": 0,
        "lr": options["lr"],
        "batch_size": 1,
        "n_crops": N_CROPS,
        "n_epochs": DETECTION_STEPS // (N_CROPS * n_timepoints),
        "is_livemode": False,
        "aug_scale_factor_base": 0.1,
        "aug_rotation_angle": 90,
        "aug_contrast": options["contrast"],
        "class_weights": [1, 10, 10],
        "false_weight": 10,
        "auto_bg_thresh": options["background"],
        "c_ratio": options["c_ratio"],
        "log_interval": 10,
        "log_dir": "learning",
    }
    begin = time.monotonic()
    client.post("seg/train", movie.common | model | training)
    trained = time.monotonic()
    prediction = {
        "timepoint": TESTED,
        "c_ratio": options["c_ratio"],
        "p_thresh": options["threshold"],
        "r_min": 1,
        "r_max": 50,
        "patch": [384, 384, 24],
        "is_pad": True,
        "use_2d": False,
        "use_median": False,
        "batch_size": 1,
        "output_prediction": False,
    }
    found = spots_of(client.post("seg/predict", movie.common | model | prediction))
    true = spots_of({"spots": movie.annotations(TESTED)})
    scores = compare(true, found, DISTANCE)
    return {"score": f"F1 {scores.f1:.3f}", "train_s": trained - begin, "predict_s": time.monotonic() - trained}


def flow(client: ServerClient, movie: Movie, options: Body) -> Body:
    """Start a flow model from random weights, train it and say how much nearer it comes to where nuclei were."""
    n_epochs = options["flow_steps"] // (N_CROPS * len(LINKED))
    model = {
        "model_name": "learning/flow.pth",
        "max_displacement": options["max_displacement"],
        "seed": options["seed"],
    }
    client.post("flow/update", {"dataset_name": movie.name, "reset": True})
    client.post("flow/reset", movie.common | model | {"url": None})
    links = [
        {"t": t - 1, "pos": e["pos"], "covariance": e["covariance"], "displacement": (was - e["pos"]).tolist()}
        for t in LINKED
        for e, was in movie.links(t)
    ]
    training = {
        "spots": links,
        "lr": options["flow_lr"],
        "batch_size": 1,
        "n_crops": N_CROPS,
        "n_epochs": n_epochs,
        "aug_scale_factor_base": options["flow_scale"],
        "aug_rotation_angle": options["flow_rotation"],
        "dim_weights": [1, 1, 1],
        "log_interval": 10,
        "log_dir": "learning",
    }
    begin = time.monotonic()
    client.post("flow/train", movie.common | model | training)
    trained = time.monotonic()
    moved, still = [], []
    for t in JUDGED:
        linked = list(movie.links(t))
        spots = [{"id": e["id"], "pos": e["pos"], "covariance": e["covariance"]} for e, _ in linked]
        prediction = {"timepoint": t, "spots": spots, "patch": [384, 384, 24], "output_prediction": False}
        answer = client.post("flow/predict", movie.common | model | prediction | {"batch_size": 1})
        moved += [np.linalg.norm(s["pos"] - was) for s, (_, was) in zip(answer["spots"], linked, strict=True)]
        still += [np.linalg.norm(e["pos"] - was) for e, was in linked]
    score = f"{np.mean(moved):.3f} / {np.mean(still):.3f} = {np.mean(moved) / np.mean(still):.3f}"
    return {"score": score, "train_s": trained - begin, "predict_s": time.monotonic() - trained}


def provide(client: ServerClient, path: Path, truth: Path) -> Movie:
    """Make the movie a dataset of the server, whose workspace is on this machine."""
    folder = load_settings().datasets_dir / "learning"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / "learning.h5")
    client.post("dataset/generate", {"dataset_name": "learning", "is_2d": False})
    return Movie("learning", json.loads(truth.read_text()))


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
    options = parser.parse_args()
    client = ServerClient(load_settings().http_url)
    movie = provide(client, options.movie, options.truth)
    full = [spot for t in FULL for spot in movie.annotations(t)]
    sparse = movie.annotations(0, N_SPARSE)
    plays = {
        "full": lambda o: detection(client, movie, full, len(FULL), o),
        "sparse": lambda o: detection(client, movie, sparse, 1, o),
        "flow": lambda o: flow(client, movie, o),
    }
    for name in options.only:
        for seed in options.seeds:
            found = plays[name](vars(options) | {"seed": seed})
            times = f"training {found['train_s']:.0f} s, prediction {found['predict_s']:.1f} s"
            print(f"{name:7} seed {seed}: {found['score']}, {times}", flush=True)


if __name__ == "__main__":
    main()
