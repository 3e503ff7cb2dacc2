"""What a model knows before it is taught, and what it learns of little: ``python -m benchmarks.learning figures``.

Asks a server of its own over HTTP, as a client does whose settings nobody has changed but for those named here. A movie
is given as ``NAME=MOVIE.h5,TRUTH.json,DISTANCE``, with the physical distance within which a found nucleus is the true
one; the timepoints that are annotated and judged may follow, by default 0 and 0. `r_min` is a fifth of the distance.

- before: F1 of a model that was never trained.
- after: F1 after 60 steps on 10 nuclei that lie together.
- hundred: F1 after 100 steps of 16 x 48 x 48 on all nuclei of the annotated timepoint.
- doubt: of the errors among all nuclei that an untrained model finds, the share in the tenth of lowest quality.
- hot, quarter, bright: F1 before and after on the movie with ten hot pixels, a saturated quarter (nuclei in it do not
  count), the judged timepoint ten times as bright; and how much less that is than without.
- flow: at the last three timepoints the distance to the earlier positions over that without flow; untrained, and after
  100 steps on the links before. Movies with fewer than 8 timepoints are left out.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import processor
from benchmarks.serving import Server, serve
from elephant.config import keep_axials_of
from elephant.evaluation.matching import match_by_distance
from elephant.simulation import Truth, read_truth
from elephant.types import DetectedSpot, FloatArray, Spot, Tag, VoxelSize

N_ANNOTATED, N_HOT, TIMES_AS_BRIGHT = 10, 10, 10
LISTED = 0.1
MODEL, FLOW_MODEL = "figures/detection.pth", "figures/flow.pth"
CROP, SMALL_CROP = [256, 256, 16], [48, 48, 16]  # X, Y, Z
LEAST_TIMEPOINTS = 8
COMMON: Mapping[str, Any] = {"debug": False, "cache_maxbytes": 1 << 30, "use_memmap": True, "batch_size": 1}
TRAINING: Mapping[str, Any] = {
    "lr": 0.001,
    "n_crops": 5,
    "aug_scale_factor_base": 0,
    "aug_rotation_angle": 0,
    "log_interval": 1,
    "log_dir": "figures",
}
LABELS: Mapping[str, Any] = {"c_ratio": 0.4, "auto_bg_thresh": 0}
DETECTION: Mapping[str, Any] = {
    "is_livemode": False,
    "aug_contrast": 0,
    "class_weights": [1, 10, 10],
    "false_weight": 10,
    **LABELS,
}
# What a request says in addition where a part is switched off.
PARTS: Mapping[str, Mapping[str, Any]] = {"weights": {}, "keeping": {"keep_known": 0}}


@dataclass(frozen=True)
class Movie:
    """A movie with its truth.

    Attributes
    ----------
    name
        Of the dataset.
    path
        Its file, BigDataViewer HDF5.
    truth
        Its nuclei.
    distance
        Within which a found nucleus is the true one, physical.
    annotated, judged
        Timepoints.
    """

    name: str
    path: Path
    truth: Truth
    distance: float
    annotated: int = 0
    judged: int = 0

    @classmethod
    def of(cls, text: str) -> "Movie":
        """Read ``NAME=MOVIE.h5,TRUTH.json,DISTANCE[,ANNOTATED,JUDGED]``."""
        name, _, rest = text.partition("=")
        path, truth, distance, *timepoints = rest.split(",")
        return cls(name, Path(path), read_truth(Path(truth)), float(distance), *map(int, timepoints))

    @cached_property
    def images(self) -> NDArray[np.uint16]:
        """All timepoints, (T, Z, Y, X)."""
        with h5py.File(self.path) as file:
            names = [f"t{t:05d}/s00/0/cells" for t in range(len(self.truth.frames))]
            return np.stack([file[name][:].astype(np.int64) & 0xFFFF for name in names]).astype(np.uint16)

    @property
    def xyz(self) -> dict[str, Any]:
        """What every request says of the movie."""
        keep = keep_axials_of(VoxelSize(*self.truth.voxel), self.truth.shape)
        return {
            "scales": list(reversed(self.truth.voxel)),
            "input_size": list(reversed(self.truth.shape)),
            "n_keep_axials": keep,
            "is_3d": True,
            "dataset_name": self.name,
        }


@dataclass(frozen=True)
class Play:
    """A figure of one movie, from a server.

    Attributes
    ----------
    server, movie
        What is asked, and about what.
    extra
        What every request says in addition.
    is_shipped
        Whether models begin with the shipped weights.
    seed
        Of trainings, and of the choice of nuclei.
    """

    server: Server
    movie: Movie
    extra: Mapping[str, Any]
    is_shipped: bool
    seed: int

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Ask the server."""
        return self.server.post(path, {**COMMON, **self.movie.xyz, **body, "seed": self.seed, **self.extra})

    def reset(self, what: str = "seg", model: str = MODEL) -> None:
        """Begin a model."""
        url = "Versatile" if self.is_shipped else None
        self.post(f"{what}/reset", {"model_name": model, "url": url, "crop_size": CROP, "n_crops": 5})

    def train(self, spots: Sequence[Spot], n_steps: int, crop: Sequence[int] = CROP) -> None:
        """Train on nuclei that a person has confirmed."""
        t = self.movie.annotated
        sent = [{**_sent(spot, i), "t": t, "tag": "tp", "label": str(i)} for i, spot in enumerate(spots)]
        n_epochs = n_steps // TRAINING["n_crops"]
        body = {**TRAINING, **DETECTION, "model_name": MODEL, "timepoint": t, "crop_size": list(crop)}
        self.post("seg/train", {**body, "spots": sent, "n_epochs": n_epochs})

    def found(self) -> list[DetectedSpot]:
        """Return the nuclei of the judged timepoint."""
        limits = {"c_ratio": 0.4, "p_thresh": 0.5, "r_min": self.movie.distance / 5, "r_max": 50}
        wanted = {"output_prediction": False, "use_median": False, "is_pad": True, "use_2d": False}
        body = {"model_name": MODEL, "timepoint": self.movie.judged, "patch": [384, 384, 24], **limits, **wanted}
        answer = self.post("seg/predict", body)["spots"]
        return [
            DetectedSpot(np.array(spot["pos"][::-1]), np.array(spot["covariance"][::-1]).reshape(3, 3), spot["quality"])
            for spot in answer
        ]

    def f1(self, *, outside_quarter: bool = False) -> float:
        """Return how well the nuclei of the judged timepoint are found."""
        true, found = self.movie.truth.spots(self.movie.judged), self.found()
        if outside_quarter:
            true = [spot for spot in true if not self.in_quarter(spot)]
            found = [spot for spot in found if not self.in_quarter(spot)]
        return match_by_distance(true, found, self.movie.distance).counts.f1

    def in_quarter(self, spot: Spot | DetectedSpot) -> bool:
        """Tell whether a nucleus is in the quarter that may be saturated, or near to it."""
        halves = np.array(self.movie.truth.shape[1:]) * self.movie.truth.voxel[1:] / 2
        return bool((spot.pos[1:] < halves + self.movie.distance).all())

    def nuclei(self, n: int | None = None) -> list[Spot]:
        """Return nuclei of the annotated timepoint: all, or some around a random one."""
        spots = [replace(spot, tag=Tag.TP) for spot in self.movie.truth.spots(self.movie.annotated)]
        if n is None:
            return spots
        first = spots[np.random.default_rng(self.seed).integers(len(spots))].pos
        return sorted(spots, key=lambda spot: float(np.linalg.norm(spot.pos - first)))[:n]


def _sent(spot: Spot, i: int) -> dict[str, Any]:
    return {"pos": spot.pos[::-1].tolist(), "covariance": spot.covariance.ravel()[::-1].tolist(), "id": i}


def before(play: Play) -> float:
    """Return how well nuclei are found without any training."""
    play.reset()
    return play.f1()


def after(play: Play) -> float:
    """Return how well they are found after some steps on few nuclei."""
    play.reset()
    play.train(play.nuclei(N_ANNOTATED), 60)
    return play.f1()


def hundred(play: Play) -> float:
    """Return how well they are found after 100 steps on all nuclei."""
    play.reset()
    play.train(play.nuclei(), 100, SMALL_CROP)
    return play.f1()


def doubt(play: Play) -> float:
    """Return which share of the wrong nuclei is listed first."""
    play.reset()
    found = sorted(play.found(), key=lambda spot: spot.quality)
    matching = match_by_distance(play.movie.truth.spots(play.movie.judged), found, play.movie.distance)
    wrong = np.ones(len(found), dtype=bool)
    wrong[matching.pairs[:, 1]] = False
    listed = wrong[: max(1, round(LISTED * len(found)))]
    return float(listed.sum() / max(wrong.sum(), 1))


Spoil = Callable[[NDArray[np.uint16], int], None]


def _hot(images: NDArray[np.uint16], judged: int) -> None:
    del judged
    for image in images:
        image.flat[np.random.default_rng(0).choice(image.size, N_HOT, replace=False)] = 65535


def _quarter(images: NDArray[np.uint16], judged: int) -> None:
    del judged
    images[..., : images.shape[-2] // 2, : images.shape[-1] // 2] = 65535


def _bright(images: NDArray[np.uint16], judged: int) -> None:
    images[judged] = np.minimum(images[judged].astype(np.int64) * TIMES_AS_BRIGHT, 65535)


SPOILT: Mapping[str, Spoil] = {"hot": _hot, "quarter": _quarter, "bright": _bright}


def spoilt(play: Play, name: str) -> dict[str, float]:
    """Return F1 before and after on a spoilt copy of the movie, and how much less it is than without."""
    images = play.movie.images.copy()
    SPOILT[name](images, play.movie.judged)
    copy = replace(play, movie=replace(play.movie, name=f"{play.movie.name}-{name}"))
    play.server.client.create_dataset(copy.movie.name, images, play.movie.truth.voxel)
    is_quarter, found = name == "quarter", {}
    for each, suffix in ((play, "clean"), (copy, "spoilt")):
        each.reset()
        found[f"before {suffix}"] = each.f1(outside_quarter=is_quarter)
        spots = each.nuclei(N_ANNOTATED) if not is_quarter else [s for s in each.nuclei() if not each.in_quarter(s)]
        each.train(spots[:N_ANNOTATED], 60)
        found[f"after {suffix}"] = each.f1(outside_quarter=is_quarter)
    for when in ("before", "after"):
        found[f"{when}, lost"] = found[f"{when} clean"] - found[f"{when} spoilt"]
    return found


def _earlier(truth: Truth, t: int) -> Iterator[tuple[Spot, FloatArray]]:
    """Yield the nuclei of a timepoint that were there before, also as a parent's, and where."""
    was = {spot.id: spot.pos for spot in truth.spots(t - 1)}
    for nucleus in truth.frames[t]:
        name = nucleus.spot.id if nucleus.spot.id in was else nucleus.parent
        if name in was:
            yield nucleus.spot, was[name]


def flow(play: Play) -> dict[str, float]:
    """Return how far spots are from where they were, over how far without flow."""
    truth, last = play.movie.truth, len(play.movie.truth.frames) - 1
    play.reset("flow", FLOW_MODEL)
    judged = range(last - 2, last + 1)
    given = {"model_name": FLOW_MODEL, "max_displacement": 80}

    def away() -> float:
        moved, still = [], []
        for t in judged:
            pairs = list(_earlier(truth, t))
            sent = [_sent(spot, i) for i, (spot, _) in enumerate(pairs)]
            wanted = {"timepoint": t, "output_prediction": False, "patch": [384, 384, 24], "spots": sent}
            answer = play.post("flow/predict", {**given, **wanted})["spots"]
            for (spot, was), place in zip(pairs, answer, strict=True):
                moved.append(np.linalg.norm(np.array(place["pos"][::-1]) - was))
                still.append(np.linalg.norm(spot.pos - was))
        return float(np.mean(moved) / np.mean(still))

    untrained = away()
    links = [
        {**_sent(spot, i), "t": t - 1, "displacement": (was - spot.pos)[::-1].tolist()}
        for t in range(1, judged[0])
        for i, (spot, was) in enumerate(_earlier(truth, t))
    ]
    n_crops = 100 // (judged[0] - 1)
    body = {**TRAINING, **given, "crop_size": [96, 96, 16], "dim_weights": [1, 1, 1], "n_epochs": 1, "n_crops": n_crops}
    play.post("flow/train", {**body, "spots": links})
    return {"untrained": untrained, "after 100 steps": away()}


FIGURES: Mapping[str, Callable[[Play], float | dict[str, float]]] = {
    "before": before,
    "after": after,
    "hundred": hundred,
    "doubt": doubt,
    "flow": flow,
    **{name: lambda play, name=name: spoilt(play, name) for name in SPOILT},  # type: ignore[misc]
}


def rows(server: Server, movies: Sequence[Movie], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for each figure, movie, part that is off, and seed."""
    for movie in movies:
        server.client.create_dataset(movie.name, movie.images, movie.truth.voxel)
        for figure in options.figures:
            if figure == "flow" and len(movie.truth.frames) < LEAST_TIMEPOINTS:
                continue
            for part in (None, *options.off):
                for seed in range(options.seeds):
                    extra = {} if part is None else PARTS[part]
                    begin = time.monotonic()
                    value = FIGURES[figure](Play(server, movie, extra, part != "weights", seed))
                    yield {
                        "movie": movie.name,
                        "figure": figure,
                        "off": part,
                        "seed": seed,
                        "value": value,
                        "seconds": round(time.monotonic() - begin, 1),
                    }


def _line(row: Mapping[str, Any]) -> str:
    value = row["value"]
    shown = ", ".join(f"{k} {v:.3f}" for k, v in value.items()) if isinstance(value, dict) else f"{value:.3f}"
    off = f" without {row['off']}" if row["off"] else ""
    return f"{row['movie']:10} {row['figure']:8}{off} seed {row['seed']}: {shown}  ({row['seconds']:.0f} s)"


def main(arguments: Sequence[str]) -> None:
    """Play what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("movies", nargs="+", type=Movie.of, metavar="NAME=MOVIE.h5,TRUTH.json,DISTANCE[,T,T]")
    parser.add_argument("--figures", nargs="+", choices=FIGURES, default=list(FIGURES))
    parser.add_argument("--off", nargs="*", choices=PARTS, default=[], help="parts to also switch off, one at a time")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON")
    options = parser.parse_args(arguments)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="elephant-figures-") as folder, serve(Path(folder)) as server:
        for row in rows(server, options.movies, options):
            found.append(row)
            print(_line(row), flush=True)
            if options.output is not None:
                options.output.write_text(json.dumps({"processor": processor(), "rows": found}, indent=1))
