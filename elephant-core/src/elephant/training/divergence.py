"""Noticing that a training went astray: its loss explodes, most often since the learning rate is too large."""

import math

from elephant.errors import DivergedError

# A network that is sure of what the labels deny costs three or four; crops of one training differ by less than tenfold.
LARGEST_RISE = 10.0
LEAST_LIMIT = 5.0
# Up to here no step of Adam moves a weight so far that one step alone ruins a network.
HARMLESS_LR = 0.01


class Divergence:
    """Remembers how a training began, and ends it where its loss explodes."""

    def __init__(self) -> None:
        self._start: float | None = None

    def check(self, loss: float, epoch: int, lr: float, *, is_mean: bool = False) -> None:
        """Take note of the loss of a step, or of the mean of an epoch.

        A step is only asked for a number, since the crops of some steps are harder than those of others.

        Raises
        ------
        DivergedError
            It is no finite number, or it has risen above ten times what it was at the start, and above 5.
        """
        if self._start is None and math.isfinite(loss):
            self._start = loss
        if math.isfinite(loss) and not (is_mean and loss > self._limit):
            return
        rise = "" if self._start is None else f" from {self._start:.4g}"
        raise DivergedError(
            f"the training diverged: its loss rose{rise} to {loss:.4g} in epoch {epoch}, with a learning rate (lr) of "
            f"{lr:g}. The model keeps the weights of the last good epoch, {_before(epoch)}: train it with a smaller "
            "learning rate, such as 0.001"
        )

    @property
    def _limit(self) -> float:
        return max(LEAST_LIMIT, LARGEST_RISE * (self._start or 0.0))


def _before(epoch: int) -> str:
    return f"epoch {epoch - 1}" if epoch > 1 else "which is what it held before this training"
