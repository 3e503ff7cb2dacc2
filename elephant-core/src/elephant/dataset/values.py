"""How the values of a movie are scaled to the unsigned integers of a dataset, and to which type."""

import logging
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from elephant.config import ConversionParams
from elephant.errors import DatasetError, InvalidInputError

_LARGEST = {"uint8": 255, "uint16": 65535}
_FEW_LEVELS = 32
_FEW_LEVELS_OF_16_BITS = 256
_BULK = 0.999  # of the voxels
_SAMPLES = 1 << 16
_FRACTIONS_MATTER_BELOW = 128  # 8 bits hold at least half of their grey levels from here on

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The range of the values of a movie, or of a part of it.

    Attributes
    ----------
    low, high
        The smallest and the largest finite value; if there is none, infinity and minus infinity.
    bulk
        About the value that 99.9% of the voxels of each piece do not exceed.
    is_whole
        Whether all values are whole numbers.
    n_nan
        Number of voxels that are NaN.
    """

    low: float = math.inf
    high: float = -math.inf
    bulk: float = -math.inf
    is_whole: bool = True
    n_nan: int = 0

    def joined(self, other: Self) -> "ValueRange":
        """Return the range of both parts."""
        return ValueRange(
            min(self.low, other.low),
            max(self.high, other.high),
            max(self.bulk, other.bulk),
            self.is_whole and other.is_whole,
            self.n_nan + other.n_nan,
        )

    @property
    def fits_16_bits(self) -> bool:
        """Whether every value is a whole number from 0 to 65535."""
        return self.is_whole and self.low >= 0 and self.high <= _LARGEST["uint16"]

    def __str__(self) -> str:
        """Format the range for people."""
        return f"{self.low:g} to {self.high:g}"


def range_of(block: NDArray[Any], where: str) -> ValueRange:
    """Return the range of the values of a block.

    Parameters
    ----------
    block
        Values of any shape, at least one.
    where
        The subject of a sentence about the block, for messages.

    Raises
    ------
    DatasetError
        A value is infinite.
    """
    if block.dtype.kind != "f":
        return ValueRange(float(block.min()), float(block.max()))
    low, high, n_nan = float(block.min()), float(block.max()), 0
    if math.isnan(low):
        is_nan = np.isnan(block)
        n_nan, block = int(is_nan.sum()), block[~is_nan]
        if not block.size:
            return ValueRange(n_nan=n_nan)
        low, high = float(block.min()), float(block.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DatasetError(
            f"{where} has infinite values, which cannot be scaled: replace them before exporting the movie"
        )
    sample = block.reshape(-1)[:: max(1, block.size // _SAMPLES)]
    return ValueRange(low, high, float(np.quantile(sample, _BULK)), bool((block == np.trunc(block)).all()), n_nan)


class OutgrownError(Exception):
    """A value does not fit into the type that was tried."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """How values become unsigned integers.

    With a `factor`: ``round((value - offset) * factor)``; otherwise ``floor(value / divisor)``. NaN becomes 0.

    Attributes
    ----------
    divisor
        Above 0.
    dtype
        ``uint8`` or ``uint16``; values must fit.
    is_checked
        Whether values may not fit, so that each is checked.
    offset, factor
        None if values are divided.
    has_nan
        Whether some values are NaN.
    has_fractions
        Whether some values are not whole.
    is_clipped
        Whether scaled values that do not fit become the nearest that does.
    """

    divisor: float
    dtype: str
    is_checked: bool = False
    offset: float | None = None
    factor: float | None = None
    has_nan: bool = False
    has_fractions: bool = False
    is_clipped: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value that fit into the stored type."""
        largest = _LARGEST[self.dtype]
        if self.factor is None:
            return 0.0, (largest + 1) * self.divisor
        low = self.offset or 0.0
        return low, low + largest / self.factor

    def keeps(self, source: str) -> bool:
        """Return whether values of a type stay as they are."""
        fits = source in _LARGEST and _LARGEST[source] <= _LARGEST[self.dtype]
        return fits and self.divisor == 1 and self.factor is None

    def apply(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return the scaled values, of the same shape.

        Raises
        ------
        OutgrownError
            A value does not fit, and values are checked.
        """
        return self.apply_counting(block)[0]

    def apply_counting(self, block: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """Return the scaled values, and how many of them were clipped.

        Raises
        ------
        OutgrownError
            A value does not fit, and values are checked.
        """
        if self.is_checked and block.max() / self.divisor > _LARGEST[self.dtype]:
            raise OutgrownError
        if block.dtype.kind == "u" and self.factor is None:
            kept = block.astype(self.dtype, copy=False) if self.divisor == 1 else self._table(block.dtype)[block]
            return kept, 0
        scaled = self._scaled(block.astype(np.float64))
        n_clipped = self._clip(scaled) if self.is_clipped else 0
        if self.has_nan:
            np.nan_to_num(scaled, copy=False, nan=0.0)
        return scaled.astype(self.dtype), n_clipped

    def _clip(self, scaled: NDArray[np.float64]) -> int:
        """Bring values into the stored type, in place, and return how many were outside."""
        largest = _LARGEST[self.dtype]
        n_outside = int(np.count_nonzero((scaled < 0) | (scaled > largest)))
        if n_outside:
            np.clip(scaled, 0, largest, out=scaled)
        return n_outside

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.factor is None:
            values /= self.divisor
            return np.floor(values, out=values)
        values -= self.offset or 0.0
        values *= self.factor
        return np.rint(values, out=values)

    def _table(self, source: np.dtype[Any]) -> NDArray[Any]:
        # Integers have few values: dividing each once is faster, and needs no large array of floats.
        values = np.arange(np.iinfo(source).max + 1)
        divided: NDArray[Any] = np.minimum(np.floor(values / self.divisor), _LARGEST[self.dtype]).astype(self.dtype)
        return divided


def dtype_without_scan(source: str, params: ConversionParams) -> str | None:
    """Return the stored type if the movie's own type decides it, otherwise None."""
    wanted = "uint8" if params.dtype == "auto" else params.dtype
    return wanted if source in _LARGEST and _LARGEST[source] / _divisor(params) <= _LARGEST[wanted] else None


def is_decided(high: float, source: str, params: ConversionParams) -> bool:
    """Return whether a value this large decides the type, whatever the rest of the movie holds."""
    return (
        params.dtype == "auto"
        and source in _LARGEST
        and high / _divisor(params) > _LARGEST["uint8"]
        and _LARGEST[source] / _divisor(params) <= _LARGEST["uint16"]
    )


def choose_scaling(found: ValueRange, params: ConversionParams, name: str) -> Scaling:
    """Return how the values of a movie are scaled, and warn of what a user would not expect.

    Whole numbers from 0 to 65535 stay as they are. Other values (of floats) are scaled to 16 bits, from the smallest
    to the largest, unless a divisor or 8 bits were requested.

    Parameters
    ----------
    found
        The range of the whole movie.
    params
        The requested divisor and type.
    name
        The movie's name.

    Raises
    ------
    DatasetError
        All values are NaN, they do not fit the requested type, or too few grey levels would be left.
    """
    has_nan = found.n_nan > 0
    if has_nan and found.high < found.low:
        raise DatasetError(f"expected finite values in {name}, but all of its voxels are NaN: export the movie again")
    if has_nan:
        logger.warning("%d voxels of %s are NaN (not a number): they are stored as 0, black", found.n_nan, name)
    if found.high < found.low:
        return Scaling(_divisor(params), "uint8" if params.dtype == "auto" else params.dtype)
    if params.divisor is None and params.dtype != "uint8" and not found.fits_16_bits:
        return _to_16_bits(found, name)
    _check_sign(found, name)
    dtype = choose_dtype(found.high, params)
    if dtype == "uint8" and params.divisor is None and not found.is_whole:
        _check_fractions(found, name)
    return Scaling(_divisor(params), dtype, has_nan=has_nan, has_fractions=not found.is_whole)


def scaling_to_range(params: ConversionParams) -> Scaling:
    """Return the scaling of a requested range of values to the whole of the stored type.

    Raises
    ------
    InvalidInputError
        The range is empty, or a divisor was requested, too.
    """
    low, high = params.value_range or (0.0, 0.0)
    if not low < high:
        raise InvalidInputError(f"expected a `value_range` from a smaller to a larger value, got {low:g} to {high:g}")
    if params.divisor is not None:
        raise InvalidInputError("expected `divisor` or `value_range`, got both: leave one out")
    dtype = "uint8" if params.dtype == "uint8" else "uint16"
    factor = _LARGEST[dtype] / (high - low)
    return Scaling(1.0, dtype, offset=low, factor=factor, has_nan=True, is_clipped=True)


def guess_scaling(found: ValueRange, n_blocks: int, name: str) -> Scaling:
    """Return a scaling to 16 bits for values of which only some are known, and warn of what was guessed.

    Whole numbers of 16 bits stay as they are, or are shifted if some are below 0. For other values the range is half as
    wide again at both ends as that of the known values, but does not begin below 0 if they do not.

    Parameters
    ----------
    found
        The range of the known values.
    n_blocks
        How many blocks they are from.
    name
        The movie's name.
    """
    largest, half = _LARGEST["uint16"], (_LARGEST["uint16"] + 1) // 2
    if found.fits_16_bits:
        offset, factor = 0.0, 1.0
    elif found.is_whole and -half <= found.low and found.high < half:
        offset, factor = float(-half), 1.0
    else:
        margin = (found.high - found.low) / 2 or 0.5
        offset = max(found.low - margin, 0.0) if found.low >= 0 else found.low - margin
        factor = largest / (found.high + margin - offset)
        if not (math.isfinite(factor) and factor > 0):
            raise DatasetError(
                f"expected values of {name} that can be scaled to 16 bits, got {found}: scale them first"
            )
    scaling = Scaling(1.0, "uint16", offset=offset, factor=factor, has_nan=True, is_clipped=True)
    logger.warning(
        "the values of %s are not of 8 or 16 bits without a sign: they are scaled to 16 bits, stored = round((value - "
        "%g) * %g), for a range of %g to %g. That was guessed: in %d sampled blocks, values are %s. Values outside of "
        "the range are clipped, which is said when they are read, and NaN becomes 0. `value_range` sets another range; "
        "`elephant convert` looks at all values",
        *(name, offset, factor, *scaling.bounds, n_blocks, found),
    )
    _warn_of_outliers(found, (found.bulk - found.low) * factor, (found.high - found.low) * factor, name)
    return scaling


def choose_dtype(high: float, params: ConversionParams) -> str:
    """Return the stored type of a movie that is divided, by its largest value.

    Raises
    ------
    DatasetError
        The divided values do not fit.
    """
    largest = high / _divisor(params)
    chosen = params.dtype
    if chosen == "auto":
        chosen = "uint8" if largest <= _LARGEST["uint8"] else "uint16"
    if largest <= _LARGEST[chosen]:
        return chosen
    keep = ", or keep 16 bits with --uint16" if chosen == "uint8" and largest <= _LARGEST["uint16"] else ""
    raise DatasetError(
        f"expected divided values of 0 to {_LARGEST[chosen]}, but the largest value is {high:g} and the "
        f"divisor {_divisor(params):g}: use a divisor of at least {math.ceil(high / _LARGEST[chosen])}{keep}"
    )


def warn_of_few_levels(high: int, scaling: Scaling, name: str) -> None:
    """Warn if few grey levels are left.

    Parameters
    ----------
    high
        The largest value stored.
    scaling
        How values were scaled.
    name
        The movie's name.
    """
    is_lossy = scaling.factor is None and (scaling.divisor > 1 or scaling.has_fractions)
    if is_lossy and high < _FEW_LEVELS:
        logger.warning(
            "at most %d grey levels of %s are left after division by %g: use a smaller divisor; %s keeps 256 of them",
            high + 1,
            name,
            scaling.divisor,
            _shortened((high + 1) * scaling.divisor / _LARGEST["uint8"]),
        )
    elif high < 2:
        logger.warning("%s is almost black: its largest stored value is %d", name, high)


def _to_16_bits(found: ValueRange, name: str) -> Scaling:
    largest = _LARGEST["uint16"]
    extent = found.high - found.low
    factor = 1.0 if extent == 0 or (found.is_whole and extent <= largest) else largest / extent
    if not (math.isfinite(factor) and factor > 0):
        raise DatasetError(
            f"expected values of {name} whose range can be scaled to 16 bits, got {found}: scale them before exporting "
            "the movie"
        )
    logger.warning(
        "the values of %s (%s) are not whole numbers from 0 to %d: they are scaled to 16 bits, "
        "stored = round((value - %g) * %g); source.json in the dataset notes this",
        name,
        found,
        largest,
        found.low,
        factor,
    )
    _warn_of_outliers(found, (found.bulk - found.low) * factor, extent * factor, name)
    return Scaling(1.0, "uint16", offset=found.low, factor=factor, has_nan=found.n_nan > 0)


def _warn_of_outliers(found: ValueRange, bulk: float, extent: float, name: str) -> None:
    """Warn if few grey levels are left for most voxels; `bulk` and `extent` are scaled."""
    if bulk < _FEW_LEVELS_OF_16_BITS - 1 < extent:
        logger.warning(
            "99.9%% of the values of %s are below %g, far from the largest, %g: fewer than %d of 65536 grey levels "
            "are left for them; clip the movie before exporting it, or give a divisor that suits most voxels",
            name,
            found.bulk,
            found.high,
            _FEW_LEVELS_OF_16_BITS,
        )


def _check_sign(found: ValueRange, name: str) -> None:
    if found.low < 0:
        raise DatasetError(
            f"expected values of at least 0, to be divided or stored in 8 bits, got {found} in {name}: without a "
            "divisor and 8 bits, they are shifted and scaled to 16 bits"
        )


def _check_fractions(found: ValueRange, name: str) -> None:
    """Refuse to round fractions down to too few grey levels, or warn of the rounding, if no divisor was given."""
    if found.high < _FRACTIONS_MATTER_BELOW:
        raise DatasetError(
            f"the values of {name} are fractions, {found}, of which 8 bits would keep {int(found.high) + 1} grey "
            f"levels: give a divisor of {_shortened(found.high / _LARGEST['uint8'])} to keep 256 of them, or store "
            "16 bits with --uint16, to which values are scaled"
        )
    logger.warning("the values of %s, %s, are rounded down to 8-bit whole numbers", name, found)


def _divisor(params: ConversionParams) -> float:
    return 1.0 if params.divisor is None else params.divisor


def _shortened(divisor: float) -> str:
    """Format a divisor with three digits, rounded up, so that divided values fit."""
    if divisor <= 0:
        return "1"
    digit: float = 10.0 ** (math.floor(math.log10(divisor)) - 2)
    return f"{math.ceil(divisor / digit) * digit:.3g}"
