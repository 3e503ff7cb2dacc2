"""A movie whose model is known: solved window by window, and solved again where corrections change something."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from elephant.config import LinkerParams
from elephant.progress import CancelToken, NeverCancelled, NoReporter, ProgressReporter
from elephant.tracking.linkers.base import NONE, Corrections, Solution, SuspectedDivision
from elephant.tracking.linkers.learning import learnt_prior
from elephant.tracking.linkers.model import LinkModel
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.pins import Pins, settled_links
from elephant.tracking.linkers.window import Window, WindowSolution

CORE, AHEAD = 6, 2  # timepoints that a window solves, and that it looks at ahead, besides those of a gap
_KEY_BYTES = 16


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


class Problem:
    """The lineages of a movie, as far as they are not solved yet.

    Parameters
    ----------
    movie, model, params
        What they follow from, besides corrections.

    Attributes
    ----------
    movie, model, params
        As they were given.
    n_solved
        Number of windows that the last solution had to solve.
    """

    def __init__(self, movie: Movie, model: LinkModel, params: LinkerParams) -> None:
        self.movie, self.model, self.params = movie, model, params
        self._solved: dict[int, SolvedWindow] = {}
        self.n_solved = 0

    def taught(self, corrections: Corrections) -> "Problem":
        """Return the problem with weights that confirmed links teach; itself, as long as there are few.

        Nothing of it is solved yet: :meth:`solve` keeps the weights as they are, so that a correction changes only what
        is near to it.

        Raises
        ------
        InvalidInputError
            The corrections contradict one another.
        """
        corrections.check(self.movie.times)
        prior = learnt_prior(self.movie, self.model, corrections)
        return self if prior is self.model.prior else Problem(self.movie, replace(self.model, prior=prior), self.params)

    def resume(self, solved: Mapping[int, SolvedWindow]) -> None:
        """Take over windows that were solved before, by their numbers: those of a run that was interrupted."""
        self._solved = dict(solved)

    def spans(self) -> list[Span]:
        """Return the timepoints of each window."""
        start, stop = self.movie.start, self.movie.stop
        ahead = AHEAD + self.params.max_gap
        return [Span(t, min(t + CORE, stop), min(t + CORE + ahead, stop)) for t in range(start, stop, CORE)]

    def solve(
        self,
        corrections: Corrections | None = None,
        reporter: ProgressReporter | None = None,
        cancel: CancelToken | None = None,
        keep: Callable[[int, SolvedWindow], None] | None = None,
    ) -> Solution:
        """Solve the windows that nothing is known of, or that corrections change, in the order of time.

        The result is the same as if all windows were solved.

        Parameters
        ----------
        keep
            Receives each window that was solved, with its number.

        Raises
        ------
        InvalidInputError
            The corrections contradict one another.
        Cancelled
            `cancel` asked for the end; what is solved is not solved again.
        """
        corrections = corrections or Corrections()
        reporter, cancel = reporter or NoReporter(), cancel or NeverCancelled()
        pins = Pins.of(corrections, self.movie)
        assembly = _Assembly(self.movie)
        spans, self.n_solved = self.spans(), 0
        for k, span in enumerate(spans):
            cancel.check()
            here = self.movie.slice_of(span.first, span.ahead)
            known = pins.part(self.movie, span.first, span.ahead)
            key = _key_of(assembly.parents[here] != NONE, known)
            if k not in self._solved or self._solved[k].key != key:
                self._solved[k] = SolvedWindow(key, self.window(span, assembly, known).solve())
                self.n_solved += 1
                if keep is not None:
                    keep(k, self._solved[k])
            assembly.add(span, self._solved[k].solution)
            reporter.progress("window", k + 1, len(spans))
        return assembly.solution(corrections)

    def window(
        self, span: Span, before: "_Assembly | None" = None, known: Pins | None = None, *, is_alone: bool = False
    ) -> Window:
        """Return a window of the movie.

        Parameters
        ----------
        before
            What the windows before it have found.
        known
            What a person confirmed of it.
        is_alone
            Whether its first timepoint counts as the movie's first one.
        """
        movie = self.movie
        here = movie.slice_of(span.first, span.ahead)
        part = movie.part(span.first, span.ahead)
        has_parent = np.zeros(len(part), dtype=bool) if before is None else before.parents[here] != NONE
        known = Pins.of(Corrections(), part) if known is None else known
        whole = range(span.first, span.ahead) if is_alone else movie.timepoints
        return Window(part, self.model.part(movie, span.first, span.ahead), whole, has_parent, known, self.params)


def _key_of(has_parent: NDArray[np.bool_], known: Pins) -> bytes:
    """Return what differs where a window depends on anything else."""
    return hashlib.blake2b(has_parent.tobytes() + known.key(), digest_size=_KEY_BYTES).digest()


class _Assembly:
    """The lineages of a movie, put together from those of its windows."""

    def __init__(self, movie: Movie) -> None:
        self._movie = movie
        self.parents = np.full(len(movie), NONE, dtype=np.intp)
        self._probability, self._ends = np.ones(len(movie)), np.ones(len(movie))
        self._divisions: list[SuspectedDivision] = []

    def add(self, span: Span, found: WindowSolution) -> None:
        """Take over the links of a window whose parents are at the timepoints that it solves."""
        here = self._movie.slice_of(span.first, span.ahead)
        end = self._movie.slice_of(span.first, span.stop).stop - here.start
        children = np.flatnonzero((found.parents != NONE) & (found.parents < end))
        self.parents[children + here.start] = found.parents[children] + here.start
        self._probability[children + here.start] = found.probability[children]
        self._ends[here.start : here.start + end] = found.ends[:end]
        # That a spot has no parent is known once the timepoint before it is solved.
        settled = self._movie.slice_of(span.first + 1, span.stop + 1)
        alone = np.arange(settled.start, settled.stop)
        alone = alone[self.parents[alone] == NONE]
        self._probability[alone] = found.probability[alone - here.start]
        for each in found.divisions:
            if each.mother < end:
                one, other = each.daughters
                daughters = (one + here.start, other + here.start)
                self._divisions.append(
                    SuspectedDivision(each.mother + here.start, daughters, each.probability, each.is_chosen)
                )

    def solution(self, corrections: Corrections) -> Solution:
        """Return the lineages, with the confirmed links that windows take for settled."""
        for i, j in settled_links(corrections, self._movie):
            self.parents[j] = i
            self._probability[j] = 1.0
        ordered = sorted(self._divisions, key=lambda each: abs(each.probability - 0.5))
        return Solution(self.parents, self._probability, ordered, self._ends)
