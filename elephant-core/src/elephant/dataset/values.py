"""The values of a movie: how large they are, which type holds them, and how they are divided."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.config.conversion import ConversionParams
from elephant.errors import DatasetError

_LARGEST = {"uint8": 255, "uint16": 65535}


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The smallest and the largest value of a movie or of a part of it."""

    low: float
    high: float

    @classmethod
    def of(cls, block: NDArray[Any], where: str) -> "ValueRange":
        """Return the range of a block.

        Raises
        ------
        DatasetError
            A value is not finite, or negative.
        """
        found = cls(float(block.min()), float(block.max()))
        if not (math.isfinite(found.low) and math.isfinite(found.high)) or found.low < 0:
            raise DatasetError(
                f"values must be finite and at least 0, but {where} holds values from {found.low:g} to {found.high:g}: "
                "shift and clip the movie to the range of 16 bits before the export"
            )
        return found

    def union(self, other: "ValueRange") -> "ValueRange":
        """Return the range that covers both."""
        return ValueRange(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, slots=True)
class Scaling:
    """Division by a number, rounding down, into an unsigned type.

    Attributes
    ----------
    divisor
        Above 0.
    dtype
        ``uint8`` or ``uint16``; values must fit.
    """

    divisor: float
    dtype: str

    def apply(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return the divided values."""
        if block.dtype.kind == "u":
            return (
                block.astype(self.dtype, copy=False) if self.divisor == 1 else self._table(block.dtype)[block]
            )
        return np.floor(block.astype(np.float64) / self.divisor).astype(self.dtype)

    def _table(self, source: np.dtype[Any]) -> NDArray[Any]:
        # Integers have few values: dividing each once is faster, and needs no large array of floats.
        values = np.arange(np.iinfo(source).max + 1)
        return np.minimum(np.floor(values / self.divisor), _LARGEST[self.dtype]).astype(self.dtype)


def needs_no_scan(source: str, params: ConversionParams) -> str | None:
    """Return the stored type where the movie's type alone decides it, else None."""
    if source.startswith("float"):
        return None
    wanted = "uint8" if params.dtype == "auto" else params.dtype
    fits = _LARGEST[source] / params.divisor <= _LARGEST[wanted]
    return wanted if fits else None


def is_decided(high: float, params: ConversionParams) -> bool:
    """Tell whether a value as large as this settles the choice of the type."""
    return params.dtype == "auto" and high / params.divisor > _LARGEST["uint8"]


def choose_dtype(high: float, params: ConversionParams) -> str:
    """Return the stored type for a movie whose largest value is known.

    Raises
    ------
    DatasetError
        The divided values do not fit.
    """
    largest = high / params.divisor
    if params.dtype == "auto":
        chosen = "uint8" if largest <= _LARGEST["uint8"] else "uint16"
    else:
        chosen = params.dtype
    if largest <= _LARGEST[chosen]:
        return chosen
    fitting = math.ceil(high / _LARGEST[chosen])
    other = ", or keep 16 bits with --uint16 (is_uint16)" if chosen == "uint8" else ""
    raise DatasetError(
        f"divided values must fit into 0-{_LARGEST[chosen]}, but the largest value is {high:g} and the divisor "
        f"{params.divisor:g}: use a divisor of at least {fitting}{other}"
    )
