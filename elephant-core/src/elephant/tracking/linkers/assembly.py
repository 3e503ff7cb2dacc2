"""The lineages of a movie, put together from those of its windows, and again where some of these are solved anew."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elephant.tracking.linkers.base import NONE, Corrections, Solution
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.pins import settled_links
from elephant.tracking.linkers.window import WindowSolution
from elephant.tracking.suspected import SuspectedDivisions


@dataclass(frozen=True, slots=True)
class Span:
    """Timepoints of a window: those from `first` to before `stop` are solved, those to before `ahead` looked at."""

    first: int
    stop: int
    ahead: int


@dataclass(frozen=True, slots=True, eq=False)
class SolvedWindow:
    """What a window depended on, and what it found.

    Attributes
    ----------
    key
        Differs where anything differs that it depended on.
    solution
        What it found.
    """

    key: bytes
    solution: WindowSolution


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A solution with what is needed to go on from it.

    Attributes
    ----------
    solution
        As it was returned.
    keys
        Of its windows; see :class:`SolvedWindow`.
    corrections
        Those that it keeps.
    """

    solution: Solution
    keys: tuple[bytes, ...]
    corrections: Corrections


class Assembly:
    """What is solved of a movie.

    Parameters
    ----------
    movie
        The movie.
    spans
        Its windows.
    kept
        What was solved of it before.

    Attributes
    ----------
    keys
        Of the windows that are in it; empty for others.
    """

    def __init__(self, movie: Movie, spans: list[Span], kept: Kept | None = None) -> None:
        self._movie, self._spans = movie, spans
        self.keys: list[bytes] = [b""] * len(spans)
        self._parents = np.full(len(movie), NONE, dtype=np.intp)
        self._probability, self._ends = np.ones(len(movie)), np.ones(len(movie))
        self._divisions = [SuspectedDivisions.none()] * len(spans)
        if kept is not None:
            self._take_over(kept)

    def _take_over(self, kept: Kept) -> None:
        found = kept.solution
        self.keys = list(kept.keys)
        self._parents, self._probability = found.parents.copy(), found.probability.copy()
        self._parents[[j for _, j in settled_links(kept.corrections, self._movie)]] = NONE
        if found.ends is not None:
            self._ends = found.ends.copy()
        firsts = [span.first for span in self._spans]
        number = np.searchsorted(firsts, self._movie.times[found.divisions.spots[:, 0]], side="right") - 1
        for k in np.unique(number):
            self._divisions[k] = found.divisions.take(number == k)

    def has_parent(self, span: Span) -> NDArray[np.bool_]:
        """Return which spots of a window are children of those before it, (spots of the window,)."""
        here = self._here(span)
        parents = self._parents[here]
        is_child: NDArray[np.bool_] = (parents != NONE) & (parents < here.start)
        return is_child

    def put(self, number: int, window: SolvedWindow) -> None:
        """Take over the links of a window whose parents are at the timepoints that it solves."""
        span, found = self._spans[number], window.solution
        here = self._here(span)
        end = self._movie.slice_of(span.first, span.stop).stop - here.start
        parents, probability = self._parents[here], self._probability[here]
        parents[(parents >= here.start) & (parents < here.start + end)] = NONE
        children = np.flatnonzero((found.parents != NONE) & (found.parents < end))
        parents[children] = found.parents[children] + here.start
        probability[children] = found.probability[children]
        self._ends[here.start : here.start + end] = found.ends[:end]
        # That a spot has no parent is known once the timepoint before it is solved.
        settled = self._movie.slice_of(span.first + 1, span.stop + 1)
        alone = np.arange(settled.start, settled.stop) - here.start
        alone = alone[parents[alone] == NONE]
        probability[alone] = found.probability[alone]
        ours = found.divisions.take(found.divisions.spots[:, 0] < end)
        self._divisions[number] = SuspectedDivisions(ours.spots + here.start, ours.probability, ours.is_chosen)
        self.keys[number] = window.key

    def solution(self, corrections: Corrections) -> Solution:
        """Return the lineages, with the confirmed links that windows take for settled."""
        parents, probability = self._parents.copy(), self._probability.copy()
        for i, j in settled_links(corrections, self._movie):
            parents[j] = i
            probability[j] = 1.0
        divisions = SuspectedDivisions.joined(self._divisions)
        certainty = np.abs(divisions.probability - 0.5)
        ordered = divisions.take(np.lexsort((*divisions.spots.T[::-1], certainty)))
        return Solution(parents, probability, ordered, self._ends.copy())

    def _here(self, span: Span) -> slice:
        return self._movie.slice_of(span.first, span.ahead)
