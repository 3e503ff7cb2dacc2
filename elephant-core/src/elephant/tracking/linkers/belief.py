"""How probable each choice is, given all that contradict it: sum-product messages between choices and places.

On trees the marginals are exact; where choices form loops they are close.

References
----------
J. S. Yedidia, W. T. Freeman and Y. Weiss, Understanding belief propagation and its generalizations, 2003.
"""

import numpy as np

from elephant.tracking.linkers.solver import Choices
from elephant.types import FloatArray

_ROUNDS = 20
_SETTLED = 1e-4  # change of a message, of a log
_KEPT = 0.3  # of a message, so that loops settle
_LARGEST_ODDS = 40.0
_TINY = 1e-30


def marginals(choices: Choices) -> FloatArray:
    """Return the probability of each choice, (choices,), 0 to 1."""
    if not len(choices):
        return np.empty(0)
    _, place = np.unique(choices.place, return_inverse=True)
    of, n_places, n = choices.of, int(place.max()) + 1, len(choices)
    odds = np.clip(-choices.worth, 0, _LARGEST_ODDS)
    # A message of a place to a choice: the log of how probable it is that nothing else takes the place.
    message = np.zeros(len(place))
    for _ in range(_ROUNDS):
        belief = odds + np.bincount(of, weights=message, minlength=n)
        alone = np.exp(np.clip(belief[of] - message, -_LARGEST_ODDS, _LARGEST_ODDS))
        others = np.maximum(np.bincount(place, weights=alone, minlength=n_places)[place] - alone, _TINY)
        before, message = message, _KEPT * message - (1 - _KEPT) * np.log1p(others)
        if np.abs(message - before).max() < _SETTLED:
            break
    belief = odds + np.bincount(of, weights=message, minlength=n)
    probability: FloatArray = 1 / (1 + np.exp(-np.clip(belief, -_LARGEST_ODDS, _LARGEST_ODDS)))
    return probability
