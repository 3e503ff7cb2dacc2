"""Some consecutive timepoints of a movie, solved: what comes before is given, what comes after is looked at ahead."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from elephant.config import LinkerParams
from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.base import NONE
from elephant.tracking.linkers.belief import marginals
from elephant.tracking.linkers.candidates import (
    NO_LINKS,
    Costs,
    Links,
    Open,
    certain_of,
    confirmed_links,
    direct_links,
    gap_links,
)
from elephant.tracking.linkers.divisions import NO_DIVISIONS, Divisions, Rivals, division_candidates
from elephant.tracking.linkers.model import LinkModel
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.pins import Pins
from elephant.tracking.linkers.prior import believed
from elephant.tracking.linkers.solver import Choices, solve
from elephant.tracking.suspected import SuspectedDivisions
from elephant.types import FloatArray

_ROUNDS = 3  # in which what is certain makes more certain
_CERTAIN = -1000.0  # worth of a confirmed link where links are taken for granted: more than all that it contradicts
_SUSPECTED = 0.05  # marginal from which a division is worth a look
_IMPROBABLE = 1e-3  # marginal; leaving out ten times more found nothing worse


@dataclass(frozen=True, slots=True, eq=False)
class WindowSolution:
    """The lineages of a part of a movie, by the indices of that part.

    Attributes
    ----------
    parents
        For each spot, its parent, or -1, (N,).
    probability
        That it is right that it has this parent, or none, (N,).
    divisions
        Those that are found or suspected.
    ends
        Probability that it has no child, (N,).
    """

    parents: Indices
    probability: FloatArray
    divisions: SuspectedDivisions
    ends: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A part of a movie with all that its solution depends on.

    Attributes
    ----------
    movie, model
        That part: what is solved, and the timepoints that are looked at ahead.
    whole
        The timepoints of the whole movie.
    has_parent
        Which of its spots are children of earlier solutions, (N,).
    pins
        What a person confirmed of it.
    params
        What a person set.
    """

    movie: Movie
    model: LinkModel
    whole: range
    has_parent: NDArray[np.bool_]
    pins: Pins
    params: LinkerParams

    def solve(self) -> WindowSolution:
        """Return the best lineages, and how probable each link is."""
        costs = self._costs()
        free = self._free()
        confirmed = confirmed_links(self.movie, self.model, costs, self.pins.links)
        direct = self._direct(costs, free)
        sure = self._granted(direct, confirmed, costs)
        gaps, divisions = self._later(direct, sure, confirmed, costs, free)
        links = direct.take(~np.isin(direct.parents, confirmed.parents)).with_(gaps)
        choices = self._choices(links, divisions, costs, free)
        belief = marginals(choices)
        # What is improbable is not part of the best lineages: the program is several times smaller without it.
        chosen = solve(choices, belief > _IMPROBABLE)
        of_links, of_divisions = chosen[: len(links)], chosen[len(links) : len(links) + len(divisions)]
        parents = np.full(len(self.movie), NONE, dtype=np.intp)
        parents[links.children[of_links]] = links.parents[of_links]
        parents[confirmed.children] = confirmed.parents
        for daughters in (divisions.ones, divisions.others):
            parents[daughters[of_divisions]] = divisions.mothers[of_divisions]
        return self._judged(parents, choices, belief, of_divisions)

    def sure_links(self) -> Links:
        """Return the links to the next timepoint that are taken for granted, without solving anything."""
        costs = self._costs()
        return self._granted(self._direct(costs, self._free()), NO_LINKS, costs)

    def _costs(self) -> Costs:
        costs = Costs.of(self.movie, self.model, self.whole, self.has_parent | self.pins.has_parent)
        costs.wrong[self.pins.is_real] = 0.0
        return costs

    def _free(self) -> Open:
        inward = ~(self.has_parent | self.pins.closed_in)
        inward[self.movie.slice_of(self.movie.start, self.movie.start + 1)] = False
        return Open(inward, ~self.pins.closed_out)

    def _direct(self, costs: Costs, free: Open) -> Links:
        """Return the possible links to the next timepoint that no confirmed one contradicts."""
        times = self.movie.timepoints[:-1]
        found = direct_links(self.movie, self.model, costs, times, free, self.params.max_distance)
        is_contradicted = np.isin(found.children, self.pins.links[:, 1])
        return found.take(~(is_contradicted | self._is_among(found.parents, found.children, self.pins.cuts)))

    def _is_among(self, parents: Indices, children: Indices, pairs: Indices) -> NDArray[np.bool_]:
        if not len(pairs):
            return np.zeros(len(parents), dtype=bool)
        n = len(self.movie)
        return np.isin(parents * n + children, pairs[:, 0] * n + pairs[:, 1])

    def _granted(self, links: Links, confirmed: Links, costs: Costs) -> Links:
        """Return links that are taken for granted, and the confirmed ones."""
        n = len(self.movie)
        links = links.with_(replace(confirmed, worth=np.full(len(confirmed), _CERTAIN)))
        is_sure = certain_of(links, costs, n)
        for _ in range(_ROUNDS):
            taken = Open(np.ones(n, dtype=bool), np.ones(n, dtype=bool)).without(links.take(is_sure))
            taken.outward[self.pins.links[:, 0]] = True  # they may divide
            left = is_sure | (taken.outward[links.parents] & taken.inward[links.children])
            links, is_sure = links.take(left), is_sure[left]
            is_sure = is_sure | certain_of(links, costs, n)
        return links.take(is_sure)

    def _later(self, direct: Links, sure: Links, confirmed: Links, costs: Costs, free: Open) -> tuple[Links, Divisions]:
        """Return the possible links over gaps, and the possible divisions, where nothing is taken for granted."""
        movie, params = self.movie, self.params
        still, times = free.without(sure), movie.timepoints
        gaps = NO_LINKS
        if params.max_gap:
            gaps = gap_links(movie, self.model, costs, times, still, params.max_gap, params.max_distance)
            gaps = gaps.take(~self._is_among(gaps.parents, gaps.children, self.pins.cuts))
        if params.n_children == 1:
            return gaps, NO_DIVISIONS
        rivals = Rivals(len(movie), Links.joined([direct, gaps, confirmed]), sure, self.pins)
        return gaps, division_candidates(movie, self.model, costs, still, rivals, params.max_gap)

    def _choices(self, links: Links, divisions: Divisions, costs: Costs, free: Open) -> Choices:
        is_open = (free.inward | self._starts_here()) & free.outward
        is_open[self.pins.links] = False  # what has a confirmed link is a nucleus
        wrong = np.flatnonzero((costs.wrong < 0) & is_open)
        return Choices.from_parts(links, divisions, wrong, costs.wrong[wrong], free)

    def _starts_here(self) -> NDArray[np.bool_]:
        """Return which spots are known to have no parent: they are wrong if they get no child."""
        starts = self.pins.closed_in & ~self.pins.has_parent
        starts[self.movie.slice_of(self.movie.start, self.movie.start + 1)] = True
        return starts & ~self.has_parent

    def _judged(
        self, parents: Indices, choices: Choices, belief: FloatArray, is_chosen: NDArray[np.bool_]
    ) -> WindowSolution:
        """Return the solution with the probability of each link."""
        links, divisions = choices.links, choices.divisions
        of_links, of_divisions = belief[: len(links)], belief[len(links) : len(links) + len(divisions)]
        n = len(self.movie)
        in_all, in_own = np.zeros(n), np.zeros(n)
        out = np.zeros(n) + np.bincount(links.parents, weights=of_links, minlength=n)
        out += np.bincount(divisions.mothers, weights=of_divisions, minlength=n)
        out[self.pins.links[:, 0]] = 1.0
        for i, j, p in (
            (links.parents, links.children, of_links),
            (divisions.mothers, divisions.ones, of_divisions),
            (divisions.mothers, divisions.others, of_divisions),
        ):
            in_all += np.bincount(j, weights=p, minlength=n)
            in_own += np.bincount(j, weights=p * (parents[j] == i), minlength=n)
        prior = self.model.prior
        alone, linked = believed(prior.belief_alone, 1 - in_all), believed(prior.belief, in_own)
        probability = np.where(parents == NONE, alone, linked)
        probability[self.pins.links[:, 1]] = 1.0
        listed = SuspectedDivisions(
            np.column_stack([divisions.mothers, *np.sort([divisions.ones, divisions.others], axis=0)]),
            believed(prior.belief_divisions, of_divisions),
            is_chosen,
        ).take(is_chosen | (of_divisions >= _SUSPECTED))
        return WindowSolution(
            parents,
            probability,
            listed,
            np.where(self.pins.closed_out, 1.0, believed(prior.belief_alone, 1 - out)),
        )
