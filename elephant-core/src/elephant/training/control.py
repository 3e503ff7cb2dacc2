"""What a training asks of whoever started it, between its steps."""

from dataclasses import dataclass
from typing import Protocol

from elephant.reporting import CancelToken


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Settings that a person may change while a training runs.

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
    """A :class:`CancelToken` that also knows the settings of the moment."""

    def settings(self) -> LiveSettings:
        """Return the settings as they are now."""


class FixedControl:
    """A :class:`TrainingControl` that lets a training go on as it was started."""

    def __init__(self, lr: float, n_crops: int) -> None:
        self._settings = LiveSettings(lr, n_crops)

    def check(self) -> None:
        """Return at once."""

    def settings(self) -> LiveSettings:
        """Return the settings that it was made with."""
        return self._settings
