"""How much bfloat16 changes what is found: ``python -m benchmarks.equality --movie MOVIE.h5``.

Trains a detection model on the movie's truth, which lies beside it as MOVIE.truth.json, and a flow model where nuclei
keep their ids (or takes models that are given), and looks for the nuclei of all timepoints in float32 and in bfloat16.
Without a movie it is the simulated one of ``make bench``.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import elephant
from benchmarks.goals import goal
from benchmarks.movies import FULL, BenchMovie, provide
from benchmarks.precision import BFLOAT16, FLOAT32, computing_in, has_both
from elephant.config import ConversionParams
from elephant.dataset import Dataset, convert
from elephant.evaluation.matching import match_by_distance
from elephant.pipeline import Model
from elephant.progress import NeverCancelled, NoReporter
from elephant.types import DetectedSpot, FloatArray, Link, Shape

# Centres further apart are different nuclei, voxels of the finest axis.
_SAME = 2.0
_CROP = (16, 96, 96)
_CROPS_A_TIMEPOINT = 5
_MAX_DISPLACEMENT = 6.0


@dataclass(frozen=True)
class Models:
    """A detection model, and a flow model where there is something to learn it from."""

    detection: Model
    flow: Model | None


@dataclass(frozen=True)
class Agreement:
    """How well two ways to compute agree.

    Attributes
    ----------
    f1
        Of the nuclei of one, with those of the other for the truth.
    n_spots
        How many there are in float32.
    centres
        The largest distance of the centres of one nucleus, voxels.
    displacements
        The largest distance between two predicted places of one nucleus, voxels; None without a flow model.
    """

    f1: float
    n_spots: int
    centres: float
    displacements: float | None

    @property
    def differ(self) -> float:
        """Nuclei that were found in one of them alone, % of both."""
        return 100 * (1 - self.f1)

    @property
    def is_reached(self) -> bool:
        """Whether it is as good as it should be. Where nothing was found there is nothing that agrees."""
        reached = {"equality": self.differ, "equality-centres": self.centres, "equality-flow": self.displacements}
        return self.n_spots > 0 and all((value or 0) <= (goal(key) or 0) for key, value in reached.items())

    def __str__(self) -> str:
        flow = "" if self.displacements is None else f", displacements within {self.displacements:.4f} voxels"
        return f"{self.n_spots} nuclei: F1 {self.f1:.4f}, centres within {self.centres:.4f} voxels{flow}"


def converted(movie: BenchMovie, folder: Path) -> Dataset:
    """Make a movie a dataset in a folder."""
    convert(movie.h5, folder, ConversionParams(), NoReporter(), NeverCancelled())
    return Dataset(folder)


def train(movie: BenchMovie, dataset: Dataset, folder: Path, n_steps: int, seed: int = 0) -> Models:
    """Train models on the truth of a movie's timepoints, with about so many steps each."""
    n = len(movie.truth.frames)
    spots = [spot for t in range(n) for spot in movie.spots(t)]
    given: dict[str, Any] = {
        "voxel_size": movie.truth.voxel,
        "crop_size": _crop(movie.truth.shape),
        "seed": seed,
        "quiet": True,
    }
    given |= {"n_crops": _CROPS_A_TIMEPOINT}
    detection = elephant.train(
        dataset,
        spots,
        model=folder / "detection.pth",
        n_epochs=max(1, n_steps // (_CROPS_A_TIMEPOINT * n)),
        lr=3e-3,
        auto_bg_thresh=0.1,
        c_ratio=0.5,
        **given,
    )
    links = [link for t in range(1, n) for link in movie.links(t) if _is_near(movie, link)]
    if not links:
        return Models(detection, None)
    epochs = max(1, n_steps // (_CROPS_A_TIMEPOINT * (n - 1)))
    more: dict[str, Any] = {"n_epochs": epochs, "lr": 1e-3, "max_displacement": _MAX_DISPLACEMENT}
    return Models(detection, elephant.train_flow(dataset, links, model=folder / "flow.pth", **more, **given))


def agreement(
    movie: BenchMovie, dataset: Dataset, models: Models, precisions: tuple[str, str] = (FLOAT32, BFLOAT16)
) -> Agreement:
    """Compare what models find in two precisions, at all timepoints."""
    timepoints = range(movie.n_timepoints)
    one, other = (_found(movie, dataset, models.detection, timepoints, name) for name in precisions)
    edge = min(movie.truth.voxel)
    scores = [match_by_distance(one[t], other[t], _SAME * edge) for t in timepoints]
    pairs = [(one[t][i], other[t][j]) for t, score in zip(timepoints, scores, strict=True) for i, j in score.pairs]
    n_one, n_other = (sum(map(len, by_time.values())) for by_time in (one, other))
    return Agreement(
        f1=2 * len(pairs) / (n_one + n_other) if n_one + n_other else 1.0,
        n_spots=n_one,
        centres=_largest(movie, [a.pos for a, _ in pairs], [b.pos for _, b in pairs]),
        displacements=_displacements(movie, dataset, models.flow, precisions) if models.flow else None,
    )


def _found(
    movie: BenchMovie, dataset: Dataset, model: Model, timepoints: Sequence[int], precision: str
) -> dict[int, list[DetectedSpot]]:
    params: dict[str, Any] = {"voxel_size": movie.truth.voxel, "is_pad": True, "r_min": min(movie.truth.voxel)}
    with computing_in(precision):
        return model.predict_all(dataset, timepoints=timepoints, quiet=True, **params)


def _displacements(movie: BenchMovie, dataset: Dataset, flow: Model, precisions: tuple[str, str]) -> float:
    spots = [spot for t in range(1, movie.n_timepoints) for spot in movie.spots(t)]
    places = []
    for name in precisions:
        with computing_in(name):
            places.append([was.pos for was in flow.displace(dataset, spots, voxel_size=movie.truth.voxel, quiet=True)])
    return _largest(movie, *places)


def _is_near(movie: BenchMovie, link: Link) -> bool:
    """Return whether a nucleus has moved no further than a model is to learn: a mirrored image is no movement."""
    return bool(np.abs(link.displacement / movie.truth.voxel).max() <= _MAX_DISPLACEMENT)


def _crop(shape: Shape) -> Shape:
    return tuple(map(min, shape, _CROP))


def _largest(movie: BenchMovie, one: Sequence[FloatArray], other: Sequence[FloatArray]) -> float:
    """Return the largest distance of two places, voxels along each axis."""
    if not one:
        return 0.0
    return float(np.linalg.norm((np.array(one) - np.array(other)) / movie.truth.voxel, axis=1).max())


def main() -> int:
    """Compare, print, and return 1 where they differ by more than they may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equality", description=__doc__)
    parser.add_argument("--movie", type=Path, help="BigDataViewer .h5, with its truth beside it")
    parser.add_argument("--detection", type=Path, metavar="MODEL.pth", help="to compare with, in place of a new model")
    parser.add_argument("--flow", type=Path, metavar="MODEL.pth", help="likewise")
    parser.add_argument("--steps", type=int, default=250, help="of each training")
    parser.add_argument("--seed", type=int, default=0, help="of each training")
    options = parser.parse_args()
    if not has_both():
        print("There is nothing to compare: this processor does not multiply bfloat16, or may not.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="elephant-equality-") as temporary:
        folder = Path(temporary)
        movie = provide(options.movie, FULL, folder)
        dataset = converted(movie, folder / "dataset")
        if options.detection:
            models = Models(Model(options.detection), Model(options.flow) if options.flow else None)
        else:
            models = train(movie, dataset, folder, options.steps, options.seed)
        found = agreement(movie, dataset, models)
    print(f"{movie.h5.name}, {found}")
    return 0 if found.is_reached else 1


if __name__ == "__main__":
    sys.exit(main())
