"""The list of places to look at: worst first, near ones together, and what is expected of each timepoint."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from elephant.review.figures import Judged
from elephant.types import FloatArray

Kind = Literal["spot", "missed"]
# One look shows what is within so many radii, if at least this share of the errors of the worst is expected there.
_NEAR, _WORTH = 4.0, 0.5
_MOST_TOGETHER = 8


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A spot that may be wrong, or a place where a nucleus may be missing.

    Attributes
    ----------
    t
        Timepoint.
    kind
        ``spot``, or ``missed`` where there is none.
    pos, covariance
        Its ellipsoid, as of :class:`elephant.types.DetectedSpot`; of a missed one a ball of the median size.
    probability
        That a nucleus is there.
    errors
        How many errors are expected there: a wrong spot is one, and each missed nucleus.
    why
        What speaks for an error, in words.
    log_odds
        Log odds of `probability` before what was judged of the model.
    """

    t: int
    kind: Kind
    pos: FloatArray
    covariance: FloatArray
    probability: float
    errors: float
    why: str
    log_odds: float

    @property
    def radius(self) -> float:
        """The radius along its longest semi-axis, physical."""
        return float(np.sqrt(max(np.linalg.eigvalsh(self.covariance)[-1], 0)))


@dataclass(frozen=True, slots=True)
class Look:
    """Places of one timepoint that a person sees at one look, the worst first."""

    places: tuple[Place, ...]

    @property
    def t(self) -> int:
        """The timepoint."""
        return self.places[0].t

    @property
    def errors(self) -> float:
        """How many errors are expected there."""
        return sum(place.errors for place in self.places)


@dataclass(frozen=True, slots=True)
class Timepoint:
    """What is expected of a timepoint.

    Attributes
    ----------
    t
        Which one.
    n_spots
        How many spots were found.
    wrong, missed
        How many of them are expected to be wrong, and how many nuclei to be missed.
    """

    t: int
    n_spots: int
    wrong: float
    missed: float

    @property
    def errors(self) -> float:
        """How many errors are expected."""
        return self.wrong + self.missed


@dataclass(frozen=True, slots=True)
class Review:
    """Where to look next.

    Attributes
    ----------
    looks
        The worst first.
    timepoints
        All that were reviewed, the worst first.
    n_places
        How many places there are in all; the looks hold the worst of them.
    """

    looks: tuple[Look, ...]
    timepoints: tuple[Timepoint, ...]
    n_places: int


def places_of(t: int, kind: Kind, judged: Judged) -> list[Place]:
    """Return the places of a timepoint."""
    n_dims = judged.sites.n_dims
    pos, covariance = np.zeros((len(judged.sites), 3)), np.tile(np.eye(3), (len(judged.sites), 1, 1))
    pos[:, 3 - n_dims :] = judged.sites.centres
    covariance[:, 3 - n_dims :, 3 - n_dims :] = judged.sites.covariances
    rows = zip(
        pos,
        covariance,
        judged.probability.tolist(),
        judged.errors.tolist(),
        judged.why,
        judged.log_odds.tolist(),
        strict=True,
    )
    return [Place(t, kind, *row) for row in rows]


def timepoint_of(t: int, spots: Judged, suspects: Judged) -> Timepoint:
    """Return what is expected of a timepoint."""
    wrong = float((1 - spots.probability).sum())
    missed = float(spots.errors.sum()) - wrong + float(suspects.errors.sum())
    return Timepoint(t, len(spots.sites), wrong, missed)


def worst(places: Iterable[Place], n: int) -> list[Place]:
    """Return the places at which most errors are expected, the worst first."""
    return sorted(places, key=lambda place: (-place.errors, place.t))[:n]


def ranked(places: Sequence[Place], timepoints: Sequence[Timepoint], n_places: int) -> Review:
    """Group places to looks, and list looks and timepoints by expected errors.

    Parameters
    ----------
    places
        The worst first, as of :func:`worst`.
    n_places
        How many there were in all.
    """
    by_t: dict[int, list[Place]] = {}
    for place in places:
        by_t.setdefault(place.t, []).append(place)
    near = {t: _near(of_t) for t, of_t in by_t.items()}
    index = {id(place): i for of_t in by_t.values() for i, place in enumerate(of_t)}
    seen: set[int] = set()
    looks = []
    for place in places:
        if id(place) in seen:
            continue
        together = [place, *_beside(place, by_t[place.t], near[place.t][index[id(place)]], seen)]
        seen.update(map(id, together))
        looks.append(Look(tuple(together)))
    return Review(tuple(looks), tuple(sorted(timepoints, key=lambda one: (-one.errors, one.t))), n_places)


def _near(places: Sequence[Place]) -> Mapping[int, Sequence[int]]:
    """Return for each place those that one look at it shows."""
    tree = cKDTree(np.array([place.pos for place in places]))
    n_near = min(len(places), 4 * _MOST_TOGETHER)
    found: dict[int, Sequence[int]] = {}
    for i, place in enumerate(places):
        apart, which = (np.atleast_1d(a) for a in tree.query(place.pos, k=n_near))
        found[i] = which[apart <= _NEAR * place.radius].tolist()
    return found


def _beside(place: Place, places: Sequence[Place], near: Sequence[int], seen: set[int]) -> list[Place]:
    others = [places[i] for i in near if places[i] is not place and id(places[i]) not in seen]
    return worst((other for other in others if other.errors >= _WORTH * place.errors), _MOST_TOGETHER - 1)
