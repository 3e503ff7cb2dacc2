"""How probable each choice is, given all that contradict it: sum-product messages between choices and places.

On trees the marginals are exact; where choices form loops they are close.

References
----------
J. S. Yedidia, W. T. Freeman and Y. Weiss, Understanding belief propagation and its generalizations, 2003.
"""

import numpy as np
from numpy.typing import NDArray

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.solver import Choices
from elephant.types import FloatArray

_ROUNDS = 20
_SETTLED = 1e-4  # change of a message, of a log
_KEPT, _NEW = np.float32(0.3), np.float32(0.7)  # of a message, so that loops settle
_GIVEN_UP, _LEAST_ODDS = 4, -14.0  # the round after which choices that are less likely than that no longer count
_LARGEST_ODDS = 40.0


def marginals(choices: Choices) -> FloatArray:
    """Return the probability of each choice, (choices,), 0 to 1: no more than 1 in all for those of a place."""
    n = len(choices)
    if not n:
        return np.empty(0)
    of, place = choices.of, choices.place
    odds = np.clip(-choices.worth, 0, _LARGEST_ODDS).astype(np.float32)
    # A message of a place to a choice: the log of how probable it is that nothing else takes the place. Its digits
    # suffice in single precision, whose logs and exponentials take a third of the time.
    message = np.zeros(len(place), dtype=np.float32)
    for k in range(_ROUNDS):
        belief = odds + np.bincount(of, weights=message, minlength=n).astype(np.float32)
        if k == _GIVEN_UP:
            odds = np.where(belief < _LEAST_ODDS, belief, odds)
            counts = (belief >= _LEAST_ODDS)[of]
            of, place, message = of[counts], place[counts], message[counts]
        before, message = message, _passed_on(belief[of], message, place)
        if np.abs(message - before).max(initial=0.0) < _SETTLED:
            break
    belief = odds + np.bincount(of, weights=message, minlength=n)
    return _shared(1 / (1 + np.exp(-np.clip(belief, -_LARGEST_ODDS, _LARGEST_ODDS))), of, place)


def _shared(probability: FloatArray, of: Indices, place: Indices) -> FloatArray:
    """Return probabilities of which no place has more than 1 in all.

    Where messages have not settled, choices of the same place may each be nearly certain.
    """
    claimed = np.bincount(place, weights=probability[of])[place]
    most = np.ones(len(probability))
    np.maximum.at(most, of, claimed)
    shared: FloatArray = probability / most
    return shared


def _passed_on(belief: NDArray[np.float32], message: NDArray[np.float32], place: Indices) -> NDArray[np.float32]:
    """Return the messages that follow from the beliefs of the choices that they go to, and from those before them."""
    alone = np.exp(np.clip(belief - message, -_LARGEST_ODDS, _LARGEST_ODDS))
    # The sum is double, so that what is left without one of them is right where that is nearly all of it.
    others = np.maximum(np.bincount(place, weights=alone)[place] - alone, 0.0).astype(np.float32)
    passed: NDArray[np.float32] = _KEPT * message - _NEW * np.log(1 + others)
    return passed
