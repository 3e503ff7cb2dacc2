"""Labels as a viewer shows them."""

import numpy as np
from numpy.typing import NDArray

_BRIGHT, _DIM = 255, 127
_COLOURS = np.zeros((256, 3), np.uint8)
for _channel in range(3):
    _COLOURS[1 + _channel, _channel] = _BRIGHT
    _COLOURS[4 + _channel, _channel] = _DIM


def labels_as_rgb(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels as colours: background red, border green, centre blue; dim for a false annotation.

    Parameters
    ----------
    labels
        ((Z), Y, X), 0 to 6.

    Returns
    -------
    NDArray
        ((Z), Y, X, 3).
    """
    return np.take(_COLOURS, labels, axis=0)  # faster than indexing
