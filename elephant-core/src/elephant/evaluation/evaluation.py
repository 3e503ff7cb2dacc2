"""Scores of found nuclei and tracks against true ones, over a whole movie."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.config import EvaluationParams
from elephant.errors import InvalidInputError
from elephant.evaluation.counts import Counts
from elephant.evaluation.matching import Matching, TimepointScores, match_by_distance, match_by_overlap
from elephant.evaluation.nuclei import Nuclei
from elephant.evaluation.tracks import DivisionScores, compare_divisions, compare_links
from elephant.export.base import TrackedNucleus
from elephant.tracking.assignment import Indices
from elephant.types import FloatArray

_NOTHING = np.empty(0, dtype=np.intp)
MOVIE, TIMEPOINTS, BOX, NUCLEI = "movie", "timepoints", "box", "nuclei"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many nuclei do not count.

    Attributes
    ----------
    at_other_timepoints
        Found ones at timepoints that do not count.
    without_truth
        Found ones that match none, where the truth is not complete.
    true_at_other_timepoints
        True ones at timepoints that do not count.
    no_nuclei
        Of both, those that are tagged as something else than a nucleus.
    """

    at_other_timepoints: int
    without_truth: int
    true_at_other_timepoints: int
    no_nuclei: int


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Scores of found nuclei, links and divisions against true ones.

    Attributes
    ----------
    params
        How they were compared.
    distance
        The largest distance of a match, physical; None by overlap.
    timepoints
        The nuclei at each timepoint that counts.
    links, divisions
        None where the truth has no links.
    left_out
        What does not count.
    ctc
        Scores of the Cell Tracking Challenge, if they were computed; None for one without a meaning.
    """

    params: EvaluationParams
    distance: float | None
    timepoints: Sequence[TimepointScores]
    links: Counts | None
    divisions: DivisionScores | None
    left_out: LeftOut
    ctc: Mapping[str, float | None] | None = None

    @property
    def spots(self) -> Counts:
        """The nuclei of all timepoints."""
        return sum((each.matching.counts for each in self.timepoints), Counts(0, 0, 0))

    @property
    def distances(self) -> FloatArray:
        """The distances between the centres of all matched nuclei, physical."""
        return np.concatenate([each.matching.distances for each in self.timepoints])

    @property
    def has_precision(self) -> bool:
        """Whether a found nucleus that matches none is wrong."""
        return self.params.truth_covers != NUCLEI

    def worst(self) -> TimepointScores:
        """Return the timepoint with the most missed and wrong nuclei; of several, the first."""
        return max(self.timepoints, key=lambda each: each.matching.counts.n_missed + each.matching.counts.n_wrong)

    def values(self, *, per_timepoint: bool = False) -> dict[str, Any]:
        """Return the scores by name, as JSON holds them; see :func:`elephant.evaluation.report.values_of`."""
        from elephant.evaluation.report import values_of  # noqa: PLC0415 - it knows this class

        return values_of(self, per_timepoint=per_timepoint)

    def table(self, *, per_timepoint: bool = False) -> str:
        """Return the scores in aligned columns; see :func:`elephant.evaluation.report.table_of`."""
        from elephant.evaluation.report import table_of  # noqa: PLC0415 - it knows this class

        return table_of(self, per_timepoint=per_timepoint)

    def __str__(self) -> str:
        return self.table()


def evaluate_nuclei(
    found: Sequence[TrackedNucleus],
    truth: Sequence[TrackedNucleus],
    params: EvaluationParams,
    timepoints: Collection[int] | None = None,
    n_dims: int | None = None,
) -> Evaluation:
    """Compare found nuclei, and their tracks, with true ones.

    Parameters
    ----------
    found, truth
        Nuclei of any timepoints. Those that are tagged as something else, such as a false positive, do not count.
    params
        How they are compared.
    timepoints
        Which count; by default those that the truth covers.
    n_dims
        3, or 2: whether Z counts; by default 2 where all nuclei are at Z = 0.

    Raises
    ------
    InvalidInputError
        The truth has no nucleus there, a parent is impossible, or too many nuclei are near to each other.
    """
    all_found, all_true = Nuclei.of(found), Nuclei.of(truth)
    real_found, real_true = all_found.real(), all_true.real()
    counted = _counted(real_found, real_true, params, timepoints)
    true = real_true.at(counted)
    there = real_found.at(counted, true.steps())  # a truth of every fifth timepoint has links from one to the next
    if not len(true):
        raise InvalidInputError(_no_truth(truth, timepoints))
    n_dims = n_dims or (2 if real_found.is_flat() and real_true.is_flat() else 3)
    if n_dims == 2 and not (there.is_flat() and true.is_flat()):
        there, true = there.flat(), true.flat()
    distance = None if params.overlap else params.distance or _usual_distance(true, n_dims)
    kept, partner = _matched(there, true, params, distance, n_dims)
    has_links = bool((true.parents >= 0).any())
    return Evaluation(
        params,
        distance,
        list(_each_timepoint(counted, kept, true, partner)),
        compare_links(true, kept, partner) if has_links else None,
        compare_divisions(true, kept, partner, params.division_tolerance) if has_links else None,
        LeftOut(
            len(real_found) - len(there),
            len(there) - len(kept),
            len(real_true) - len(true),
            len(found) + len(truth) - len(real_found) - len(real_true),
        ),
    )


def _matched(
    found: Nuclei, true: Nuclei, params: EvaluationParams, distance: float | None, n_dims: int
) -> tuple[Nuclei, Indices]:
    """Return the found nuclei that count, and for each true one the index of the one of these that it is, or -1."""
    partner = _partners(found, true, params, distance, n_dims)
    is_kept = _is_counted(found, true, partner, params.truth_covers)
    new = np.append(np.cumsum(is_kept) - 1, -1)  # the last for those without a partner
    return found.kept(is_kept), new[partner]


def _usual_distance(true: Nuclei, n_dims: int) -> float:
    # As it is shown: who gives that number gets the same scores.
    return float(f"{np.median(true.radii(n_dims)):.3g}")


def _no_truth(truth: Sequence[TrackedNucleus], timepoints: Collection[int] | None) -> str:
    if timepoints is not None and truth:
        return "the truth has no nuclei at the chosen timepoints: choose others"
    return "the truth has no nuclei: check that it is the right file"


def _counted(found: Nuclei, true: Nuclei, params: EvaluationParams, timepoints: Collection[int] | None) -> list[int]:
    """Return the timepoints that count."""
    covered = set(true.times.tolist())
    if params.truth_covers == MOVIE:
        covered = set(timepoints) if timepoints is not None else covered | set(found.times.tolist())
    return sorted(covered if timepoints is None else covered & set(timepoints))


def _partners(found: Nuclei, true: Nuclei, params: EvaluationParams, distance: float | None, n_dims: int) -> Indices:
    """Return for each true nucleus the index of the found one that it is, or -1."""
    partner = np.full(len(true), -1, dtype=np.intp)
    found_at = found.by_timepoint()
    for t, i in true.by_timepoint().items():
        j = found_at.get(t, _NOTHING)
        these, those = [true.spots[k] for k in i], [found.spots[k] for k in j]
        if distance is not None:
            matching = match_by_distance(these, those, distance)
        else:
            matching = match_by_overlap(these, those, params.overlap or 1.0, n_dims)
        partner[i[matching.pairs[:, 0]]] = j[matching.pairs[:, 1]]
    return partner


def _is_counted(found: Nuclei, true: Nuclei, partner: Indices, covers: str) -> NDArray[np.bool_]:
    """Return for each found nucleus whether it counts: whether it matches one, or would if it were real."""
    counts = np.full(len(found), covers in (MOVIE, TIMEPOINTS))
    true_at = true.by_timepoint() if covers == BOX else {}
    for t, j in found.by_timepoint().items():
        if t in true_at:
            box = np.array([true.spots[k].pos for k in true_at[t]])
            centres = np.array([found.spots[k].pos for k in j])
            counts[j] = ((centres >= box.min(axis=0)) & (centres <= box.max(axis=0))).all(axis=1)
    counts[partner[partner >= 0]] = True
    return counts


def _each_timepoint(
    timepoints: Sequence[int], found: Nuclei, true: Nuclei, partner: Indices
) -> Iterator[TimepointScores]:
    found_at, true_at = found.by_timepoint(), true.by_timepoint()
    for t in timepoints:
        i, j = true_at.get(t, _NOTHING), found_at.get(t, _NOTHING)
        is_matched = partner[i] >= 0
        pairs = np.stack([np.flatnonzero(is_matched), np.searchsorted(j, partner[i][is_matched])], axis=1)
        these, those = [true.spots[k] for k in i], [found.spots[k] for k in j]
        apart = [float(np.linalg.norm(these[a].pos - those[b].pos)) for a, b in pairs]
        yield TimepointScores(t, these, those, Matching(pairs, np.array(apart), len(these), len(those)))
