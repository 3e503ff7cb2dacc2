"""The figures of the spots and the suspects of a timepoint, and the probabilities that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from elephant.progress import CancelToken
from elephant.quality.calibration import Correction, prior, probability_of
from elephant.quality.logistic import Logistic, sigmoid
from elephant.quality.measures import BORDER_NAMES, NAMES, NEIGHBOUR_NAMES, compare, measure
from elephant.quality.scene import Scene, Sites
from elephant.review.suspects import Suspects, find_suspects
from elephant.types import DetectedSpot, FloatArray

SPOT_NAMES = (*NAMES, *BORDER_NAMES, *NEIGHBOUR_NAMES)
SUSPECT_NAMES = (*SPOT_NAMES, "foreground", "blob")

# What a person reads where a figure speaks against a spot, or for a missed nucleus.
_AGAINST = {
    "centre": "the network is not sure",
    "peak": "the network is not sure",
    "unsure": "the network is less sure than elsewhere",
    "unpeaked": "the network is less sure than elsewhere",
    "rim": "no clear edge",
    "contrast": "hardly brighter than around",
    "clarity": "hardly brighter than around",
    "faint": "fainter than the others",
    "unclear": "fainter than the others",
    "small": "smaller than the others",
    "large": "larger than the others",
    "long": "longer than the others",
    "gap": "close to another spot",
    "room": "cut by the edge of the image",
    "voxels": "only few voxels",
    "border": "no border around it",
    "outside": "more of a nucleus around it",
    "apart": "no spot there one timepoint away",
    "apart_centre": "an unsure spot there one timepoint away",
}
_MERGED = "perhaps more than one nucleus"


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The spots of a timepoint.

    Attributes
    ----------
    sites
        The spots.
    quality
        Mean centre probability of each, (N,).
    """

    sites: Sites
    quality: FloatArray

    @classmethod
    def of(cls, spots: Sequence[DetectedSpot], n_dims: int) -> "Known":
        """Return those of a prediction whose quality is the mean centre probability."""
        return cls(Sites.of(spots, n_dims), np.array([spot.quality for spot in spots], dtype=np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Spots or suspects of a timepoint, N of them.

    Attributes
    ----------
    sites
        The places.
    log_odds
        That a nucleus is there, before the correction by what was judged of the model, (N,).
    probability
        That a nucleus is there, (N,).
    errors
        Expected errors there, (N,): a wrong spot and a missed nucleus are one each.
    why
        What speaks for an error, in words.
    """

    sites: Sites
    log_odds: FloatArray
    probability: FloatArray
    errors: FloatArray
    why: list[str] = field(default_factory=list)


def spot_figures(scene: Scene, known: Known, neighbours: Sequence[Known]) -> FloatArray:
    """Return the figures of spots, (N, names), in the order of `SPOT_NAMES`."""
    own = measure(scene, known.sites, known.sites, known.quality, known.quality)
    return np.concatenate([own, compare(known.sites, _pairs(neighbours))], axis=1)


def suspect_figures(scene: Scene, suspects: Suspects, known: Known, neighbours: Sequence[Known]) -> FloatArray:
    """Return the figures of suspects, (N, names), in the order of `SUSPECT_NAMES`."""
    sites = suspects.sites
    if not len(sites):
        return np.empty((0, len(SUSPECT_NAMES)))
    middle = np.concatenate([scene.around(scene.centre, sites, f) for f in (0.0, 0.3)], axis=1).mean(axis=1)
    own = measure(scene, sites, known.sites, middle, known.quality)
    kinds = np.stack([suspects.foreground, suspects.blob], axis=1).astype(np.float64)
    return np.concatenate([own, compare(sites, _pairs(neighbours)), kinds], axis=1)


def judge_spots(scene: Scene, known: Known, neighbours: Sequence[Known], correction: Correction) -> Judged:
    """Return how probable it is that each spot is a nucleus, and how many errors are expected there."""
    figures, weights = spot_figures(scene, known, neighbours), prior()
    log_odds = weights.reviewed.log_odds(figures)
    probability = probability_of(log_odds, correction)
    merged = sigmoid(weights.merged.log_odds(figures))
    against = reasons(weights.reviewed, figures)
    why = [_MERGED if m > 1 - p else one for m, p, one in zip(merged, probability, against, strict=True)]
    return Judged(known.sites, log_odds, probability, 1 - probability + merged, why)


def judge_suspects(scene: Scene, known: Known, neighbours: Sequence[Known], cancel: CancelToken) -> Judged:
    """Find suspects, and return how probable it is that each is a nucleus."""
    suspects = find_suspects(scene, known.sites, [other.sites for other in neighbours], cancel)
    figures = suspect_figures(scene, suspects, known, neighbours)
    log_odds = prior().missed.log_odds(figures)
    probability = sigmoid(log_odds)
    why = [
        "border without a centre" if said else "a blob without a spot" if shown else "a spot there one timepoint away"
        for said, shown in zip(suspects.foreground, suspects.blob, strict=True)
    ]
    return Judged(suspects.sites, log_odds, probability, probability, why)


def _pairs(neighbours: Sequence[Known]) -> list[tuple[Sites, FloatArray]]:
    return [(other.sites, other.quality) for other in neighbours]


def reasons(weights: Logistic, figures: FloatArray) -> list[str]:
    """Return for each row the figure that lowers the log odds most, in words.

    What has no weight says nothing, nor do neighbouring timepoints where none is known.
    """
    if not len(figures):
        return []
    named = [i for i, name in enumerate(weights.names) if name in _AGAINST and weights.weights[i] != 0]
    shares = weights.shares(figures)[:, named]
    of_neighbours = np.isin([weights.names[i] for i in named], list(NEIGHBOUR_NAMES))
    is_alone = figures[:, weights.names.index("alone")] > 0
    shares[np.ix_(is_alone, of_neighbours)] = np.inf
    return [_AGAINST[weights.names[named[i]]] for i in np.argmin(shares, axis=1)]
