"""The values of a movie: how large they are, which type holds them, and how they are divided."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.config.conversion import ConversionParams
from elephant.errors import DatasetError

_LARGEST = {"uint8": 255, "uint16": 65535}


def largest_of(block: NDArray[Any], where: str) -> float:
    """Return the largest value of a block.

    Raises
    ------
    DatasetError
        A value is not finite, or negative.
    """
    low, high = float(block.min()), float(block.max())
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0:
        raise DatasetError(
            f"values must be finite and at least 0, but {where} holds {low:g} to {high:g}: "
            "shift and clip the movie to the range of 16 bits (0-65535) before the export"
        )
    return high


class OutgrownError(Exception):
    """A value does not fit into the type that was tried."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Division by a number, rounding down, into an unsigned type.

    Attributes
    ----------
    divisor
        Above 0.
    dtype
        ``uint8`` or ``uint16``; values must fit.
    is_checked
        Whether values may turn out not to fit.
    """

    divisor: float
    dtype: str
    is_checked: bool = False

    def apply(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return the divided values, of the same shape.

        Raises
        ------
        OutgrownError
            It is checked, and one does not fit.
        """
        if self.is_checked and block.max() / self.divisor > _LARGEST[self.dtype]:
            raise OutgrownError
        if block.dtype.kind == "u":
            return block.astype(self.dtype, copy=False) if self.divisor == 1 else self._table(block.dtype)[block]
        divided = block.astype(np.float64)
        divided /= self.divisor
        return np.floor(divided, out=divided).astype(self.dtype)

    def _table(self, source: np.dtype[Any]) -> NDArray[Any]:
        # Integers have few values: dividing each once is faster, and needs no large array of floats.
        values = np.arange(np.iinfo(source).max + 1)
        divided: NDArray[Any] = np.minimum(np.floor(values / self.divisor), _LARGEST[self.dtype]).astype(self.dtype)
        return divided


def dtype_without_scan(source: str, params: ConversionParams) -> str | None:
    """Return the stored type where the movie's own type decides it, else None."""
    wanted = "uint8" if params.dtype == "auto" else params.dtype
    return wanted if source in _LARGEST and _LARGEST[source] / params.divisor <= _LARGEST[wanted] else None


def is_decided(high: float, source: str, params: ConversionParams) -> bool:
    """Tell whether a value as large as this settles the type, whatever the rest of the movie holds."""
    return (
        params.dtype == "auto"
        and source in _LARGEST
        and high / params.divisor > _LARGEST["uint8"]
        and _LARGEST[source] / params.divisor <= _LARGEST["uint16"]
    )


def choose_dtype(high: float, params: ConversionParams) -> str:
    """Return the stored type for a movie whose largest value is known.

    Raises
    ------
    DatasetError
        The divided values do not fit.
    """
    largest = high / params.divisor
    chosen = params.dtype
    if chosen == "auto":
        chosen = "uint8" if largest <= _LARGEST["uint8"] else "uint16"
    if largest <= _LARGEST[chosen]:
        return chosen
    keep = ", or keep 16 bits with --uint16" if chosen == "uint8" and largest <= _LARGEST["uint16"] else ""
    raise DatasetError(
        f"divided values must fit into 0-{_LARGEST[chosen]}, but the largest value is {high:g} and the "
        f"divisor {params.divisor:g}: use a divisor of at least {math.ceil(high / _LARGEST[chosen])}{keep}"
    )
