"""How probable each choice is, given all that contradict it: sum-product messages between choices and places.

On trees the marginals are exact; where choices form loops they are close.

References
----------
J. S. Yedidia, W. T. Freeman and Y. Weiss, Understanding belief propagation and its generalizations, 2003.
"""

import numpy as np

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.solver import Choices
from elephant.types import FloatArray

_ROUNDS = 20
_SETTLED = 1e-4  # change of a message, of a log
_KEPT = 0.3  # of a message, so that loops settle
_GIVEN_UP, _LEAST_ODDS = 4, -14.0  # the round after which choices that are less likely than that no longer count
_LARGEST_ODDS = 40.0
_TINY = 1e-30


def marginals(choices: Choices) -> FloatArray:
    """Return the probability of each choice, (choices,), 0 to 1."""
    n = len(choices)
    if not n:
        return np.empty(0)
    of, place = choices.of, choices.place
    odds = np.clip(-choices.worth, 0, _LARGEST_ODDS)
    # A message of a place to a choice: the log of how probable it is that nothing else takes the place.
    message = np.zeros(len(place))
    for k in range(_ROUNDS):
        belief = odds + np.bincount(of, weights=message, minlength=n)
        if k == _GIVEN_UP:
            odds = np.where(belief < _LEAST_ODDS, belief, odds)
            counts = (belief >= _LEAST_ODDS)[of]
            of, place, message = of[counts], place[counts], message[counts]
        before, message = message, _passed_on(belief[of], message, place)
        if np.abs(message - before).max(initial=0.0) < _SETTLED:
            break
    belief = odds + np.bincount(of, weights=message, minlength=n)
    probability: FloatArray = 1 / (1 + np.exp(-np.clip(belief, -_LARGEST_ODDS, _LARGEST_ODDS)))
    return probability


def _passed_on(belief: FloatArray, message: FloatArray, place: Indices) -> FloatArray:
    """Return the messages that follow from the beliefs of the choices that they go to, and from those before them."""
    alone = np.exp(np.clip(belief - message, -_LARGEST_ODDS, _LARGEST_ODDS))
    others = np.maximum(np.bincount(place, weights=alone)[place] - alone, _TINY)
    passed: FloatArray = _KEPT * message - (1 - _KEPT) * np.log1p(others)
    return passed
