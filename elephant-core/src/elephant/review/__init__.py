"""Where a person should look next: spots that may be wrong, places where a nucleus may be missing; worst first.

:mod:`suspects` finds the places without a spot, :mod:`figures` measures spots and suspects, :mod:`ranking` lists them
by the errors that are expected there, and :mod:`reviewing` does it for the timepoints of a dataset.
"""

from elephant.review.ranking import Look, Place, Review, Timepoint, ranked
from elephant.review.reviewing import review

__all__ = ["Look", "Place", "Review", "Timepoint", "ranked", "review"]
