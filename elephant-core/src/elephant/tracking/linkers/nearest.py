"""The linker that joins each timepoint to the one before, nearest first."""

from typing import Any

import numpy as np
from pydantic import Field

from elephant.config import Params
from elephant.errors import InvalidInputError
from elephant.progress import CancelToken, NeverCancelled, ProgressReporter
from elephant.tracking.linkers.base import Corrections, Detections, Linker, Solution
from elephant.tracking.linking import parents_of


class NearestParams(Params):
    """How far spots are joined, and whether they divide."""

    max_distance: float = Field(gt=0, description="largest distance, physical, at which spots are joined")
    n_children: int = Field(default=2, ge=1, le=2, description="how many children a spot may have: 2 allows divisions")


class NearestLinker(Linker):
    """Joins spots one to one, then the remaining ones as second children; keeps no corrections.

    Parameters
    ----------
    **params
        Of :class:`NearestParams`.
    """

    def __init__(self, **params: Any) -> None:
        self.params = NearestParams(**params)

    def link(
        self,
        detections: Detections,
        corrections: Corrections | None = None,
        reporter: ProgressReporter | None = None,  # noqa: ARG002 - it is done in a moment
        cancel: CancelToken | None = None,
    ) -> Solution:
        """Join the detections of a movie; see :meth:`Linker.link`.

        Raises
        ------
        InvalidInputError
            There are corrections, or nearly every spot is near to every other.
        """
        if corrections:
            raise InvalidInputError("the linker nearest keeps no corrections: choose the linker global")
        (cancel or NeverCancelled()).check()
        places = detections.positions
        earlier = (
            places
            if detections.earlier is None
            else np.where(np.isfinite(detections.earlier), detections.earlier, places)
        )
        parents = parents_of(
            detections.timepoints.tolist(), places, earlier, self.params.max_distance, self.params.n_children
        )
        return Solution(np.array(parents, dtype=np.intp), np.full(len(detections), np.nan))
