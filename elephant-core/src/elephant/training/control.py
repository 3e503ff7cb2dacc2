"""What a training is told between its steps: whether it may go on, and with which settings."""

from dataclasses import dataclass
from typing import Protocol

from elephant.progress import CancelToken


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Settings that the user may change while a training runs.

    Attributes
    ----------
    lr
        Learning rate, from the next step on.
    n_crops
        Crops per timepoint, from the next epoch on.
    """

    lr: float
    n_crops: int


class TrainingControl(CancelToken, Protocol):
    """A :class:`CancelToken` that also has the current settings."""

    def settings(self) -> LiveSettings:
        """Return the current settings."""


class FixedControl:
    """A :class:`TrainingControl` with fixed settings that never cancels."""

    def __init__(self, lr: float, n_crops: int) -> None:
        self._settings = LiveSettings(lr, n_crops)

    def check(self) -> None:
        """Return at once."""

    def settings(self) -> LiveSettings:
        """Return the fixed settings."""
        return self._settings
