"""How far the doubt of a model can be relied on: ``python -m benchmarks.doubt --model NUCLEI.pth``.

Simulated movies of several kinds are predicted with a model. It prints a reliability diagram of the quality of the
spots, raw and calibrated, and of each movie which share of all errors is found in the tenth of the spots and suspected
misses that a review lists first. ``--fit FILE`` fits the weights of :mod:`elephant.quality` anew on what the model
found, and writes them; those of the package were fitted in this way on several models.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

import elephant
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
from elephant.simulation import SimulationParameters, simulate
from elephant.types import DetectedSpot, FloatArray, Spot, VoxelSize

FIRST = 0.1  # of the list
_RIDGE = 3.0
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
    """Judge a timepoint, and compare with the truth: nuclei within the median radius of each other are the same."""
    n, known = scene.n_dims, Known.of(spots, scene.n_dims)
    radius = max(
        float(np.median([np.linalg.det(s.covariance[3 - n :, 3 - n :]) ** (1 / (2 * n)) for s in truth])),
        1.5 * float(scene.scale.min()),
    )
    matching = match_by_distance(truth, spots, radius)
    is_right = np.zeros(len(spots), dtype=bool)
    is_right[matching.pairs[:, 1]] = True
    suspects = find_suspects(scene, known.sites, [other.sites for other in neighbours], NeverCancelled())
    missed = np.array([truth[i].pos[3 - n :] for i in sorted(matching.missed)]).reshape(-1, n)
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
        n_missed=len(matching.missed),
        spots=of_spots,
        suspects=of_suspects,
    )


def movies(n: int) -> Iterator[SimulationParameters]:
    """Yield movies of many kinds, always the same ones."""
    for seed in range(n):
        rng = np.random.default_rng(seed)
        radius, depth = float(np.exp(rng.uniform(np.log(1.8), np.log(4.5)))), float(np.exp(rng.uniform(0, np.log(5))))
        shape = (int(np.clip(96 / depth, 14, 32)), 96, 96)
        volume = np.prod(shape) * 0.125 * depth
        yield SimulationParameters(
            seed=seed,
            timepoints=2,
            shape=shape,
            voxel=(0.5 * depth, 0.5, 0.5),
            nuclei=int(np.clip(volume * rng.uniform(0.03, 0.2) / (4.2 * radius**3), 6, 120)),
            radius=radius,
            elongation=rng.uniform(1.1, 2),
            clustering=rng.uniform(0, 0.9),
            brightness=float(np.exp(rng.uniform(np.log(30), np.log(300)))),
            brightness_spread=rng.uniform(0.1, 0.6),
            haze=rng.uniform(0, 0.4),
            attenuation=rng.uniform(0, 1.5),
            read_noise=rng.uniform(2, 15),
        )


def look(model: Path, parameters: SimulationParameters) -> list[Looked]:
    """Return the timepoints of a movie as a model sees them."""
    frames = list(simulate(parameters))
    dataset = elephant.open_dataset(np.stack([f.image for f in frames]), voxel_size=parameters.edges, quiet=True)
    voxel = VoxelSize(*parameters.voxel)
    params = DetectionParams(
        prediction=PredictionParams(n_keep_axials=keep_axials_of(voxel, dataset.shape)),
        spots=SpotParams(voxel_size=voxel),
    )
    work = ModelWork(dataset, model, ModelCache(choose_device("auto")), NoReporter(), NeverCancelled())
    seen = [look_at(work, t, params) for t in range(len(frames))]
    known = [Known.of(spots, 3) for _, spots in seen]
    return [
        looked_at(scene, spots, [n.spot for n in frame.nuclei], [k for u, k in enumerate(known) if abs(u - t) == 1])
        for t, ((scene, spots), frame) in enumerate(zip(seen, frames, strict=True))
    ]


def fitted(looked: Sequence[Looked], made_from: str) -> Calibration:
    """Return weights fitted on timepoints; one with many spots counts less for each."""
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
    for parameters in movies(given.movies):
        here = look(given.model.absolute(), parameters)
        looked += here
        expected, errors = (np.concatenate([getattr(one, name) for one in here]) for name in ("expected", "errors"))
        n_errors = sum(one.n_errors for one in here)
        print(f"movie {parameters.seed}: {n_errors} errors, {found_first(expected, errors, n_errors):.0%} found first")
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
