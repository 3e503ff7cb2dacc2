"""Lineages of a whole movie at once: estimated from the movie itself, solved in windows that overlap.

First each timepoint is paired with the next: from that follow motions and their scale. A part of the movie is then
solved with first guesses of all else, which tells how often nuclei divide, are missing or wrong, and what divisions
look like. With that the movie is solved, window by window; each gives to the next what it has joined.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.config import LinkerParams
from elephant.errors import InvalidInputError
from elephant.progress import CancelToken, NeverCancelled, NoReporter, ProgressReporter
from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.assembly import Span
from elephant.tracking.linkers.base import NONE, Corrections, Detections, Linker, Solution
from elephant.tracking.linkers.estimation import first_rates, first_shape, fit_rates, fit_shape
from elephant.tracking.linkers.model import LinkModel
from elephant.tracking.linkers.motion import Tendencies, fit_motion, mutual_links, shifts_of, tendencies_of
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.prior import Prior, shipped_prior
from elephant.tracking.linkers.problem import Problem

_SAMPLE = 20_000  # spots from which it is estimated how often what happens
_ROUNDS = 2  # of pairing timepoints, the second one after the common motion of the first


class GlobalLinker(Linker):
    """The linker of elephant itself.

    Parameters
    ----------
    prior
        By default the one that was fitted on simulated movies.
    **params
        Of :class:`LinkerParams`.
    """

    def __init__(self, prior: Prior | None = None, **params: Any) -> None:
        self.params = LinkerParams(**params)
        self.prior = prior or shipped_prior()

    def link(
        self,
        detections: Detections,
        corrections: Corrections | None = None,
        reporter: ProgressReporter | None = None,
        cancel: CancelToken | None = None,
    ) -> Solution:
        """Join the detections of a movie; see :meth:`Linker.link`."""
        if not len(detections):
            return Solution(np.empty(0, dtype=np.intp), np.empty(0))
        problem = self.prepare(detections, reporter, cancel).taught(corrections or Corrections())
        return problem.solve(corrections, reporter, cancel)

    def prepare(
        self, detections: Detections, reporter: ProgressReporter | None = None, cancel: CancelToken | None = None
    ) -> Problem:
        """Estimate all that is not set from the movie.

        Returns
        -------
        Problem
            What can be solved, and solved again after corrections.

        Raises
        ------
        InvalidInputError
            There are no detections.
        """
        if not len(detections):
            raise InvalidInputError("expected at least one spot to link, got none")
        movie = Movie(detections)
        return Problem(movie, self._estimated(movie, reporter or NoReporter(), cancel or NeverCancelled()), self.params)

    def _estimated(self, movie: Movie, reporter: ProgressReporter, cancel: CancelToken) -> LinkModel:
        """Return the model of a movie."""
        common = shifts_of(movie)
        for _ in range(_ROUNDS):
            cancel.check()
            parents = mutual_links(movie, common)
            tendencies = tendencies_of(movie, parents)
            common = tendencies.common
        nothing = np.full_like(common, np.nan)
        model = self._begun(movie, parents, Tendencies(common, nothing, nothing))
        sure = self._sure_links(movie, model, cancel)
        model = self._begun(movie, sure, tendencies_of(movie, sure))
        parents, covered = self._sampled(movie, model, reporter, cancel)
        shape = fit_shape(movie, parents, model.tendencies, model.motion, self.prior)
        rates = fit_rates(movie, parents, self.prior, covered)
        return LinkModel(model.tendencies, model.motion, shape, rates, self.prior)

    def _begun(self, movie: Movie, parents: Indices, tendencies: Tendencies) -> LinkModel:
        """Return a model of what links show, with first guesses of all else."""
        motion = fit_motion(movie, parents, tendencies)
        return LinkModel(tendencies, motion, first_shape(movie, self.prior), first_rates(movie, self.prior), self.prior)

    def _sure_links(self, movie: Movie, model: LinkModel, cancel: CancelToken) -> Indices:
        """Return parents, only where a link beats all others by far."""
        parents = np.full(len(movie), NONE, dtype=np.intp)
        problem = Problem(movie, model, self.params)
        for span in problem.spans():
            cancel.check()
            sure, offset = problem.window(span).sure_links(), movie.slice_of(span.first, span.ahead).start
            parents[offset + sure.children] = offset + sure.parents
        return parents

    def _sampled(
        self, movie: Movie, model: LinkModel, reporter: ProgressReporter, cancel: CancelToken
    ) -> tuple[Indices, NDArray[np.bool_]]:
        """Return the parents in a sample of a movie, solved with first guesses, and which timepoints it covers."""
        problem = Problem(movie, model, self.params)
        if len(movie) <= _SAMPLE:
            return problem.solve(None, reporter, cancel).parents, np.ones(movie.stop - movie.start, dtype=bool)
        parents = np.full(len(movie), NONE, dtype=np.intp)
        covered = np.zeros(movie.stop - movie.start, dtype=bool)
        spans = problem.spans()
        n = max(1, int(_SAMPLE / (len(movie) / len(spans))))
        for span in spans[:: max(2, -(-len(spans) // n))]:
            cancel.check()
            alone = Span(span.first, span.stop, span.stop)
            found, offset = problem.window(alone, is_alone=True).solve().parents, movie.slice_of(span.first, span.stop)
            parents[offset] = np.where(found == NONE, NONE, found + offset.start)
            covered[span.first - movie.start : span.stop - movie.start] = True
        return parents, covered
