"""A movie whose model is known: solved window by window, and solved again where corrections change something."""

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from elephant.config import LinkerParams
from elephant.hardware import n_cores
from elephant.progress import CancelToken, NeverCancelled, NoReporter, ProgressReporter
from elephant.tracking.linkers.assembly import Assembly, Kept, SolvedWindow, Span
from elephant.tracking.linkers.base import Corrections, Solution
from elephant.tracking.linkers.learning import learnt_prior
from elephant.tracking.linkers.model import LinkModel
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.pins import Pins
from elephant.tracking.linkers.window import Window

CORE, AHEAD = 6, 2  # timepoints that a window solves, and that it looks at ahead, besides those of a gap
_KEY_BYTES = 16
_MOST_AT_ONCE = 4  # windows, each of which takes memory


@dataclass(frozen=True, slots=True)
class _AtOnce:
    """What is known of windows before the first of them is put in place.

    Attributes
    ----------
    solved
        Those that are solved already.
    same
        Those that nothing changes, but for what others before them leave to them.
    """

    solved: set[int]
    same: set[int]


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
        self._found: dict[int, SolvedWindow] = {}
        self._assembly = Assembly(movie, self.spans())
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
        self._found = dict(solved)

    def go_on_from(self, kept: Kept) -> None:
        """Take over a solution of this problem: what corrections do not change of it is not solved again."""
        self._assembly = Assembly(self.movie, self.spans(), kept)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """What the windows of the last solution depended on; see :class:`Kept`."""
        return tuple(self._assembly.keys)

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
        pins, spans = Pins.of(corrections, self.movie), self.spans()
        self.n_solved = 0
        at_once, changed_to = self._solve_at_once(spans, pins, cancel), self.movie.start
        for k, span in enumerate(spans):
            cancel.check()
            if k not in at_once.same or span.first < changed_to:
                changed_to = max(changed_to, self._bring_up_to_date(k, span, pins, at_once.solved, keep))
            reporter.progress("window", k + 1, len(spans))
        return self._assembly.solution(corrections)

    def _bring_up_to_date(
        self,
        number: int,
        span: Span,
        pins: Pins,
        at_once: set[int],
        keep: Callable[[int, SolvedWindow], None] | None,
    ) -> int:
        """Solve a window, if anything changes it; return the timepoint up to which others may be changed."""
        known, has_parent = pins.part(self.movie, span.first, span.ahead), self._assembly.has_parent(span)
        key = _key_of(has_parent, known)
        if self._assembly.keys[number] == key:
            return span.first
        found, is_new = self._found.pop(number, None), number in at_once
        if found is None or found.key != key:
            found, is_new = SolvedWindow(key, self.window(span, has_parent, known).solve()), True
        if is_new:
            self.n_solved += 1
            if keep is not None:
                keep(number, found)
        self._assembly.put(number, found)
        return span.ahead

    def _solve_at_once(self, spans: list[Span], pins: Pins, cancel: CancelToken) -> "_AtOnce":
        """Solve the windows that corrections change at once, if they are two or more.

        Each begins with what the window before left to it until now. Where that changes as well, it is solved again.
        """
        changed: dict[int, tuple[bytes, Window]] = {}
        same: set[int] = set()
        for k, span in enumerate(spans):
            if not self._assembly.keys[k]:  # nothing is solved of it: what it begins with is not known
                continue
            known, has_parent = pins.part(self.movie, span.first, span.ahead), self._assembly.has_parent(span)
            if self._assembly.keys[k] != (key := _key_of(has_parent, known)):
                changed[k] = key, self.window(span, has_parent, known)
            else:
                same.add(k)
        n_threads = min(n_cores(), len(changed), _MOST_AT_ONCE)
        if n_threads < 2:
            return _AtOnce(set(), same)
        with ThreadPoolExecutor(n_threads, thread_name_prefix="windows") as threads:
            solving = {k: threads.submit(window.solve) for k, (_, window) in changed.items()}
            try:
                for k, solved in solving.items():
                    cancel.check()
                    self._found[k] = SolvedWindow(changed[k][0], solved.result())
            finally:
                threads.shutdown(cancel_futures=True)
        return _AtOnce(set(changed), same)

    def window(
        self,
        span: Span,
        has_parent: NDArray[np.bool_] | None = None,
        known: Pins | None = None,
        *,
        is_alone: bool = False,
    ) -> Window:
        """Return a window of the movie.

        Parameters
        ----------
        has_parent
            Which of its spots are children of earlier windows' spots.
        known
            What a person confirmed of it.
        is_alone
            Whether its first timepoint counts as the movie's first one.
        """
        movie = self.movie
        part = movie.part(span.first, span.ahead)
        has_parent = np.zeros(len(part), dtype=bool) if has_parent is None else has_parent
        known = Pins.of(Corrections(), part) if known is None else known
        whole = range(span.first, span.ahead) if is_alone else movie.timepoints
        return Window(part, self.model.part(movie, span.first, span.ahead), whole, has_parent, known, self.params)


def _key_of(has_parent: NDArray[np.bool_], known: Pins) -> bytes:
    """Return what differs where a window depends on anything else."""
    return hashlib.blake2b(has_parent.tobytes() + known.key(), digest_size=_KEY_BYTES).digest()
