"""How far the doubt of a model can be relied on: ``python -m benchmarks.doubt --model NUCLEI.pth``.

Simulated movies, drawn as those that the shipped networks learn from, are predicted with a model. It prints a
reliability diagram of the quality of the spots, raw and calibrated, and of each movie which share of all errors is
found in the tenth of the spots and suspected misses that a review lists first. ``--fit FILE`` fits the weights of
:mod:`elephant.quality` anew on what the model found, and writes them; those of the package were fitted in this way.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

import elephant
from benchmarks.pretraining_movies import Scene as Drawn
from benchmarks.pretraining_movies import draw
from benchmarks.pretraining_samples import visible_part
from elephant.config import DetectionParams, PredictionParams, SpotParams, keep_axials_of
from elephant.device import choose_device
from elephant.evaluation.matching import match_by_distance
from elephant.methods.predict_detection import look_at
from elephant.methods.work import ModelWork
from elephant.models.ensemble import ModelCache
from elephant.progress import NeverCancelled, NoReporter
from elephant.quality import NAMES
from elephant.quality.calibration import Calibration, Correction, prior
from elephant.quality.logistic import Logistic, fit, sigmoid
from elephant.quality.scene import Scene, Sites
from elephant.review.figures import SPOT_NAMES, SUSPECT_NAMES, Known, judge_spots, spot_figures, suspect_figures
from elephant.review.suspects import find_suspects
from elephant.simulation import Frame, simulate
from elephant.types import DetectedSpot, FloatArray, Shape, Spot, VoxelSize

FIRST = 0.1  # of the list
_RIDGE = 10.0
_LEAST_F1 = 0.3  # of timepoints that weights are fitted on
_MOVIES = 78  # seed: none that the shipped networks have seen
_MOST_VOXELS, _MOST_NUCLEI = 6e5, 350
_BETTER = ("centre", "peak", "contrast", "clarity", "gap", "room", "voxels", "border", "apart_centre")
_WORSE = ("unsure", "unpeaked", "rim", "faint", "unclear", "small", "long", "outside", "apart")
SIGNS = dict.fromkeys(_BETTER, 1) | dict.fromkeys(_WORSE, -1)
_MISSED_SIGNS = {name: sign for name, sign in SIGNS.items() if name not in ("gap", "voxels", "rim", "small", "long")}
_MERGED_SIGNS = {"large": 1, "long": 1, "small": -1}


def reliability(
    probability: FloatArray, is_true: NDArray[np.bool_], n_bins: int = 10
) -> list[tuple[float, float, int]]:
    """Return for each bin of probabilities that has any their mean, the share that is true, and how many they are."""
    of_bin = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    there = [of_bin == i for i in range(n_bins) if (of_bin == i).any()]
    return [(float(probability[b].mean()), float(is_true[b].mean()), int(b.sum())) for b in there]


def error_of(diagram: Sequence[tuple[float, float, int]]) -> float:
    """Return how far probabilities are from the shares that are true, the mean over all of a diagram."""
    total = sum(n for *_, n in diagram)
    return sum(abs(said - true) * n for said, true, n in diagram) / max(total, 1)


def found_first(expected: FloatArray, errors: FloatArray, n_errors: int, share: float = FIRST) -> float:
    """Return which share of all errors is at the places that are listed first.

    Parameters
    ----------
    expected
        By which the places are listed, (N,), the largest first.
    errors
        How many errors are at each, (N,).
    n_errors
        How many there are in all, also where no place is.
    """
    first = np.argsort(-expected, kind="stable")[: int(np.ceil(share * len(expected)))]
    return float(errors[first].sum()) / max(n_errors, 1)


@dataclass(frozen=True)
class Looked:
    """A timepoint with what is true of it: N spots and M suspects."""

    raw: FloatArray
    quality: FloatArray
    expected: FloatArray
    is_right: NDArray[np.bool_]
    is_merged: NDArray[np.bool_]
    is_missed: NDArray[np.bool_]
    n_missed: int
    spots: FloatArray
    suspects: FloatArray

    @property
    def errors(self) -> FloatArray:
        """Errors at each spot, then at each suspect."""
        return np.concatenate([~self.is_right + self.is_merged.astype(float), self.is_missed.astype(float)])

    @property
    def n_errors(self) -> int:
        """How many there are in all."""
        return int((~self.is_right).sum()) + self.n_missed

    @property
    def f1(self) -> float:
        """How well the nuclei were found."""
        n_right = int(self.is_right.sum())
        return 2 * n_right / max(len(self.is_right) + n_right + self.n_missed, 1)


def places_of_misses(
    missed: FloatArray, suspects: FloatArray, spots: Sites, radius: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which suspects are missed nuclei, (M,), and which spots hold one besides their own, (N,).

    A missed nucleus is the nearest suspect within the radius; else it is in the nearest spot, if that reaches it.

    Parameters
    ----------
    missed, suspects
        Centres, physical, (K, n) and (M, n), (Z), Y, X.
    radius
        Of nuclei, physical.
    """
    is_missed, is_merged = np.zeros(len(suspects), dtype=bool), np.zeros(len(spots), dtype=bool)
    reach = np.maximum(1.2 * spots.mean_radii(), radius) if len(spots) else np.empty(0)
    for place in missed:
        apart, j = cKDTree(suspects).query(place) if len(suspects) else (np.inf, 0)
        if apart <= radius:
            is_missed[j] = True
        elif len(spots):
            apart, j = cKDTree(spots.centres).query(place)
            is_merged[j] |= apart <= reach[j]
    return is_missed, is_merged


def looked_at(scene: Scene, spots: list[DetectedSpot], truth: Sequence[Spot], neighbours: Sequence[Known]) -> Looked:
    """Judge a timepoint, and compare with the truth: nuclei within the median radius of each other are the same.

    One that is cut by the edge of the image, and whose centre is beyond it, may be found, but is not missed.
    """
    n, known = scene.n_dims, Known.of(spots, scene.n_dims)
    radius = max(float(np.median(Sites.of(truth, n).mean_radii())) if truth else 0, 1.5 * float(scene.scale.min()))
    nuclei, n_inside = _at_edges(scene, truth)
    matching = match_by_distance(nuclei, spots, radius)
    is_right = np.zeros(len(spots), dtype=bool)
    is_right[matching.pairs[:, 1]] = True
    suspects = find_suspects(scene, known.sites, [other.sites for other in neighbours], NeverCancelled())
    missed = np.array([nuclei[i].pos[3 - n :] for i in sorted(matching.missed) if i < n_inside]).reshape(-1, n)
    is_missed, is_merged = places_of_misses(missed, suspects.sites.centres, known.sites, radius)
    of_spots, of_suspects = spot_figures(scene, known, neighbours), suspect_figures(scene, suspects, known, neighbours)
    judged = judge_spots(scene, known, neighbours, Correction())
    return Looked(
        raw=known.quality,
        quality=sigmoid(prior().found.log_odds(of_spots[:, : len(NAMES)])),
        expected=np.concatenate([judged.errors, sigmoid(prior().missed.log_odds(of_suspects))]),
        is_right=is_right,
        is_merged=is_merged,
        is_missed=is_missed,
        n_missed=len(missed),
        spots=of_spots,
        suspects=of_suspects,
    )


def _at_edges(scene: Scene, truth: Sequence[Spot]) -> tuple[list[Spot], int]:
    """Return nuclei with their centre inside, then others that reach into it, moved to its edge; how many are in."""
    skip = 3 - scene.n_dims
    low = scene.origin - scene.scale / 2
    high = low + np.array(scene.centre.shape) * scene.scale
    inside, reaching = [], []
    for spot in truth:
        pos, covariance = spot.pos[skip:], spot.covariance[skip:, skip:]
        beyond = np.maximum(low - pos, pos - high)
        if (beyond <= 0).all():
            inside.append(spot)
        elif (beyond < np.sqrt(np.diag(covariance))).all():
            reaching.append(replace(spot, pos=np.concatenate([spot.pos[:skip], np.clip(pos, low, high)])))
    return [*inside, *reaching], len(inside)


def movies(n: int) -> Iterator[Drawn]:
    """Yield small movies of everything that the shipped networks learn from, always the same ones."""
    drawn = (draw(np.random.default_rng([_MOVIES, seed]), timepoints=2) for seed in count())
    small = (
        movie
        for movie in drawn
        if np.prod(movie.parameters.shape) <= _MOST_VOXELS and movie.parameters.nuclei <= _MOST_NUCLEI
    )
    return islice(small, n)


def look(model: Path, movie: Drawn) -> list[Looked]:
    """Return the timepoints of a movie as a model sees them."""
    frames = list(simulate(movie.parameters))
    window = tuple(slice(cut, size - cut) for cut, size in zip(movie.margin, movie.parameters.shape, strict=True))
    images = np.stack([frame.image[window] for frame in frames])
    dataset = elephant.open_dataset(images, voxel_size=movie.parameters.edges, quiet=True)
    voxel = VoxelSize(*movie.parameters.voxel)
    params = DetectionParams(
        prediction=PredictionParams(n_keep_axials=keep_axials_of(voxel, dataset.shape), is_pad=True),
        spots=SpotParams(voxel_size=voxel),
    )
    work = ModelWork(dataset, model, ModelCache(choose_device("auto")), NoReporter(), NeverCancelled())
    seen = [look_at(work, t, params) for t in range(len(frames))]
    known = [Known.of(spots, 3) for _, spots in seen]
    nuclei = [_nuclei(frame, movie, dataset.shape) for frame in frames]
    return [
        looked_at(scene, spots, there, [k for u, k in enumerate(known) if abs(u - t) == 1])
        for t, ((scene, spots), there) in enumerate(zip(seen, nuclei, strict=True))
    ]


def _nuclei(frame: Frame, movie: Drawn, shape: Shape) -> list[Spot]:
    """Return the nuclei, those that the edge cuts as what is seen of them; slivers and what is outside as they are."""
    moved, voxel = np.array(movie.margin) * movie.parameters.voxel, VoxelSize(*movie.parameters.voxel)
    whole = [replace(nucleus.spot, pos=nucleus.spot.pos - moved) for nucleus in frame.nuclei]
    return [visible_part(spot, voxel, shape) or spot for spot in whole]


def fitted(looked: Sequence[Looked], made_from: str) -> Calibration:
    """Return weights fitted on timepoints where something was found; one with many spots counts less for each."""
    looked = [one for one in looked if one.f1 >= _LEAST_F1]
    spots, suspects = np.concatenate([one.spots for one in looked]), np.concatenate([one.suspects for one in looked])
    right, merged = (np.concatenate([getattr(one, name) for one in looked]) for name in ("is_right", "is_merged"))
    missed = np.concatenate([one.is_missed for one in looked])
    of_spots, of_suspects = (
        _weights([len(getattr(one, name)) for one in looked]) for name in ("is_right", "is_missed")
    )
    n = len(NAMES)
    found: Logistic = fit(tuple(NAMES), spots[:, :n], right, of_spots, SIGNS, _RIDGE)
    return Calibration(
        made_from=made_from,
        found=found,
        reviewed=fit(SPOT_NAMES, spots, right, of_spots, SIGNS, _RIDGE),
        merged=fit(SPOT_NAMES, spots, merged, of_spots, _MERGED_SIGNS, _RIDGE),
        missed=fit(SUSPECT_NAMES, suspects, missed, of_suspects, _MISSED_SIGNS, _RIDGE),
    )


def _weights(counts: Sequence[int]) -> FloatArray:
    weights: FloatArray = np.concatenate([np.full(n, 1 / np.sqrt(max(n, 1))) for n in counts])
    weights /= weights.mean()
    return weights


def main() -> None:
    """Look at movies with a model, and print what its doubt is worth."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.doubt", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="detection model for volumes")
    parser.add_argument("--movies", type=int, default=8, help="how many simulated movies")
    parser.add_argument("--fit", type=Path, metavar="FILE", help="fit weights anew, and write them")
    given = parser.parse_args()
    looked: list[Looked] = []
    for number, movie in enumerate(movies(given.movies)):
        here = look(given.model.absolute(), movie)
        looked += here
        expected, errors = (np.concatenate([getattr(one, name) for one in here]) for name in ("expected", "errors"))
        n_errors = sum(one.n_errors for one in here)
        print(f"movie {number}: {n_errors} errors, {found_first(expected, errors, n_errors):.0%} found first")
    right = np.concatenate([one.is_right for one in looked])
    for name in ("raw", "quality"):
        diagram = reliability(np.concatenate([getattr(one, name) for one in looked]), right)
        print(f"{name}: off by {error_of(diagram):.3f}")
        for said, true, n in diagram:
            print(f"  {said:.2f} said, {true:.2f} true, {n} spots")
    if given.fit is not None:
        words = f"{given.movies} simulated movies, {given.model.name}"
        given.fit.write_text(fitted(looked, words).model_dump_json(indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
