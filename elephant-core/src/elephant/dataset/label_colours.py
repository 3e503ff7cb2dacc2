"""Labels as a viewer shows them."""

import numpy as np
from numpy.typing import NDArray

_N_CHANNELS = 3
_FALSE_OFFSET, _DIM = 3, 127


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
    planes = np.empty((_N_CHANNELS, *labels.shape), np.uint8)
    for channel in range(_N_CHANNELS):
        label = channel + 1
        np.negative((labels == label).view(np.uint8), out=planes[channel])  # 255
        planes[channel] |= (labels == label + _FALSE_OFFSET).view(np.uint8) * np.uint8(_DIM)
    return np.moveaxis(planes, 0, -1)
