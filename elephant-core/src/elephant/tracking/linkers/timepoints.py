"""What the timepoints of spots tell before anything is joined."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.words import counted, in_ranges

_LONGEST_GAP = 10_000  # timepoints in a row without a spot: more are seconds, or a slip
_MOST_NAMED = 5

Timepoints = NDArray[np.int64] | Sequence[int]


def check_counted(timepoints: NDArray[np.int64]) -> None:
    """Refuse what cannot be the numbers of timepoints, ascending, (N,).

    Raises
    ------
    InvalidInputError
        There are more than ten thousand in a row without a spot.
    """
    steps = np.diff(timepoints)
    if len(steps) and steps.max() > _LONGEST_GAP:
        k = int(steps.argmax())
        raise InvalidInputError(
            f"expected timepoints that are counted 0, 1, 2, ..., got no spot between {timepoints[k]} and "
            f"{timepoints[k + 1]}: correct t"
        )


def check_near(timepoints: Timepoints, max_gap: int) -> None:
    """Refuse spots of which none can be joined, since none is soon enough after another.

    Raises
    ------
    InvalidInputError
        There are more than `max_gap` timepoints without spots between any two that have some.
    """
    times = np.unique(timepoints)
    if len(times) > 1 and np.diff(times).min() > max_gap + 1:
        named = ", ".join(map(str, times[:_MOST_NAMED].tolist()))
        raise InvalidInputError(
            f"nothing can be joined: expected spots at timepoints that follow one another, with up to "
            f"{counted(max_gap, 'timepoint')} missing between two, got spots at {named}"
            f"{', ...' if len(times) > _MOST_NAMED else ''}: count the timepoints 0, 1, 2, ..."
        )


def described_gaps(timepoints: Timepoints, max_gap: int) -> str | None:
    """Return words about the timepoints without spots over which no track goes; None where there are none."""
    times = np.unique(timepoints)
    before = np.flatnonzero(np.diff(times) > max_gap + 1)
    if not len(before):
        return None
    missing = [t for k in before[:_MOST_NAMED] for t in range(int(times[k]) + 1, int(times[k + 1]))]
    more = ", ..." if len(before) > _MOST_NAMED else ""
    return (
        f"no spots at timepoints {in_ranges(missing)}{more}: no track goes over these, since up to {max_gap} in a row "
        "may be missing"
    )
