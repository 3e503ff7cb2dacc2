"""How predictions and labels are stored: predictions rounded to what they are worth, labels also as colours."""

import numpy as np
from numpy.typing import NDArray

from elephant.types import N_CLASSES, Label

_AT_ONCE = 1 << 22  # values, so that a large timepoint is not held several times over


def steady(values: NDArray[np.floating], step: float) -> NDArray[np.float32]:
    """Round values to multiples of a step, keeping the neighbour's rounded value if it is near enough.

    Where a network is unsure, its output varies by less than anyone would see. Plain rounding turns that into noise,
    which no codec can compress.

    Parameters
    ----------
    values
        (..., X).
    step
        The results are multiples of it.

    Returns
    -------
    numpy.ndarray
        float32, of the same shape; each is within one step of the value given.
    """
    lines = values.reshape(-1, values.shape[-1])
    kept = np.empty(lines.shape, dtype=np.float32)
    per_part = max(1, _AT_ONCE // lines.shape[1])
    for first in range(0, len(lines), per_part):
        part = slice(first, first + per_part)
        kept[part] = _steady_columns(np.ascontiguousarray(lines[part].T, dtype=np.float32), np.float32(step)).T
    return kept.reshape(values.shape)


def _steady_columns(columns: NDArray[np.float32], step: np.float32) -> NDArray[np.float32]:
    """Round as :func:`steady` does, with neighbours along the first axis."""
    rounded: NDArray[np.float32] = np.rint(columns / step) * step
    for value, kept, before in zip(columns[1:], rounded[1:], rounded[:-1], strict=True):
        np.copyto(kept, before, where=np.abs(value - before) <= step)
    return rounded


_DIM = 127  # of a false annotation


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
    planes = np.empty((N_CLASSES, *labels.shape), np.uint8)
    for label in (Label.BACKGROUND, Label.BORDER, Label.CENTRE):
        plane = planes[label.channel]
        np.negative((labels == label).view(np.uint8), out=plane)  # 255
        plane |= (labels == label + N_CLASSES).view(np.uint8) * np.uint8(_DIM)
    return np.moveaxis(planes, 0, -1)
