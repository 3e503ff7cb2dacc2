"""The range of intensities of a timepoint, without the voxels that would ruin it: hot, dead and saturated ones.

A timepoint is brought to 0..1 by its minimum and its maximum, so a single hot pixel of a camera makes everything else
dark. Voxels are outliers only where nothing else explains them, see :func:`range_of`.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.components import ComponentStatistics, component_statistics, components_of_voxels
from elephant.slabs import extremes, in_slabs
from elephant.types import Shape

logger = logging.getLogger(__name__)

Stored = NDArray[Any]  # uint8 or uint16

FAR_BEYOND = 1.5  # how many times as far from the other end of the range as the rest
FEW, FEW_SHARE = 64, 1e-3  # voxels of a timepoint: so many, or this share of it if that is more
TINY = {3: 8, 2: 4}  # voxels that touch, by the number of axes
COLUMN_WIDTH, COLUMN_SHARE = 2, 0.75  # of a pixel that is hot in this share of the planes
LEAST_LEVELS = 8  # grey levels of the rest: fewer do not tell what is far
LEAST_LIKENESS = 0.05  # correlation of neighbouring voxels
LARGEST_PATCH = 0.5  # saturated share of a timepoint
MOST_PATCHES = 3  # saturated, and not tiny: more of them are overexposed nuclei
SATURATED = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))  # largest values of cameras
_EVERY_ROW = 8  # so many rows are enough to see that most images have no outliers
_LIKENESS_VOXELS = 1 << 20
_MOST_LOGGED = 10_000


@dataclass(frozen=True, slots=True)
class IntensityRange:
    """The range of intensities of a timepoint.

    Attributes
    ----------
    low, high
        Least and largest intensity, without outliers.
    n_dark, n_bright
        How many voxels are outliers at each end.
    """

    low: int
    high: int
    n_dark: int = 0
    n_bright: int = 0

    @property
    def has_outliers(self) -> bool:
        """Whether any voxel is outside."""
        return self.n_dark + self.n_bright > 0

    def clip(self, image: Stored) -> Stored:
        """Return an image, (Z), Y, X, whose outliers have the least or the largest intensity of the rest."""
        return np.clip(image, self.low, self.high)


def range_of(image: Stored) -> IntensityRange:
    """Return the range of intensities of a timepoint without outliers.

    Voxels at the bright end are outliers if all of this is true of them, and likewise at the dark end:

    - They are *far beyond*: more than 1.5 times as far from the other end of the range as all voxels that stay.
    - They are *few*, at most 64 or a thousandth of the timepoint, and *isolated*: at most 8 of them touch (4 in a
      plane), or they are a pixel, at most 2 wide, that is hot in three quarters of the planes.
    - Instead, they may have the largest value of a camera (255, 1023, 4095, 16383 or 65535) in patches of any size, up
      to half of the timepoint, if what lies between them and the rest is few and isolated, and there are at most 3 that
      are not isolated: saturated dirt. More than 3 are overexposed nuclei.
    - The rest is an image: it has at least 8 grey levels, and neighbours along X are alike. Their correlation is at
      least 0.05, and four times what noise has by chance.

    This is repeated on what is left, until there are no more.

    Parameters
    ----------
    image
        As stored, (Z), Y, X, uint8 or uint16.
    """
    low, high = map(int, extremes(image))
    raw = found = IntensityRange(low, high)
    saturated = high if high in SATURATED else None
    while narrower := _narrower(image, found, saturated):
        found = narrower
    return found if found is raw or _is_image(image, found) else raw


def _narrower(image: Stored, found: IntensityRange, saturated: int | None) -> IntensityRange | None:
    """Return the range without outliers at one of its ends; None if both have none."""
    reach = int((found.high - found.low) / FAR_BEYOND)
    if reach < LEAST_LEVELS:
        return None
    bright = _End(True, found.low + reach, saturated)
    if n_bright := bright.n_outliers(image):
        high = bright.rest(image)
        return replace(found, high=high, n_bright=n_bright) if high - found.low >= LEAST_LEVELS else None
    dark = _End(False, found.high - reach)
    if n_dark := dark.n_outliers(image):
        low = dark.rest(image)
        return replace(found, low=low, n_dark=n_dark) if found.high - low >= LEAST_LEVELS else None
    return None


@dataclass(frozen=True, slots=True)
class _End:
    """One end of the range: what is beyond a limit are outliers, or none of it.

    Attributes
    ----------
    is_bright
        Which end it is.
    limit
        Of the rest.
    saturated
        Intensity of voxels that need not be few.
    """

    is_bright: bool
    limit: int
    saturated: int | None = None

    def n_outliers(self, image: Stored) -> int:
        """Return how many voxels are beyond the limit; 0 if they are no outliers."""
        few = max(FEW, int(FEW_SHARE * image.size))
        if np.count_nonzero(self._candidates(image[..., ::_EVERY_ROW, :])) > few:
            return 0
        n_found = _count(image, self._candidates)
        n_saturated = 0 if self.saturated is None else _count(image, lambda block: block == self.saturated)
        if n_found > few or n_saturated > LARGEST_PATCH * image.size or not self._are_isolated(image):
            return 0
        if n_saturated and _n_large(component_statistics(image == self.saturated, image), image.shape) > MOST_PATCHES:
            return 0
        return n_found + n_saturated

    def rest(self, image: Stored) -> int:
        """Return the intensity nearest to the limit among the voxels that are not beyond it."""
        limits = np.iinfo(image.dtype)
        best, other = (np.max, limits.min) if self.is_bright else (np.min, limits.max)
        slabs = in_slabs(lambda slab: best(np.where(self._beyond(image[slab]), other, image[slab])), image.shape)
        return int(best(slabs))

    def _beyond(self, block: Stored) -> NDArray[np.bool_]:
        return np.asarray(block > self.limit if self.is_bright else block < self.limit)

    def _candidates(self, block: Stored) -> NDArray[np.bool_]:
        """Return which voxels are beyond the limit, but not saturated."""
        beyond = self._beyond(block)
        return beyond if self.saturated is None else beyond & (block != self.saturated)

    def _are_isolated(self, image: Stored) -> bool:
        plane = image[0].size

        def of_slab(slab: slice) -> NDArray[np.int64]:
            found: NDArray[np.int64] = np.flatnonzero(self._candidates(image[slab])) + slab.start * plane
            return found

        flat = np.concatenate(in_slabs(of_slab, image.shape))
        voxels = np.stack(np.unravel_index(flat, image.shape), axis=-1)
        return _n_large(components_of_voxels(voxels, image.shape), image.shape) == 0


def _count(image: Stored, which: Callable[[Stored], NDArray[np.bool_]]) -> int:
    """Return how many voxels are of some kind."""
    return sum(in_slabs(lambda slab: int(np.count_nonzero(which(image[slab]))), image.shape))


def _n_large(pieces: ComponentStatistics, shape: Shape) -> int:
    """Return how many pieces are neither tiny nor columns of a hot pixel: they may be nuclei."""
    is_tiny = pieces.count <= TINY[len(shape)]
    if len(shape) == 3:
        is_column = pieces.box_size[:, 0] >= max(COLUMN_SHARE * shape[0], 2)
        is_tiny |= is_column & (pieces.box_size[:, 1:] <= COLUMN_WIDTH).all(axis=1)
    return int(np.count_nonzero(~is_tiny))


def _is_image(image: Stored, found: IntensityRange) -> bool:
    """Return whether neighbours along X are more alike than those of noise, where neither is an outlier."""
    rows = image.reshape(-1, image.shape[-1])
    rows = rows[:: -(-image.size // _LIKENESS_VOXELS)].astype(np.float64)
    inside = (rows >= found.low) & (rows <= found.high)
    both = inside[:, 1:] & inside[:, :-1]
    left, right = rows[:, :-1][both], rows[:, 1:][both]
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return False
    by_chance = 1 / np.sqrt(len(left))
    return bool(np.corrcoef(left, right)[0, 1] >= max(LEAST_LIKENESS, 4 * by_chance))


_logged: OrderedDict[tuple[str, IntensityRange], None] = OrderedDict()


def log_once(name: str, found: IntensityRange) -> None:
    """Say once in the log what is clipped of a timepoint.

    Parameters
    ----------
    name
        Of the timepoint.
    """
    if (name, found) in _logged:
        return
    _logged[name, found] = None
    while len(_logged) > _MOST_LOGGED:
        _logged.popitem(last=False)
    parts = [
        f"{n} {'voxel' if n == 1 else 'voxels'} {side} {limit} as {limit}"
        for n, side, limit in ((found.n_bright, "above", found.high), (found.n_dark, "below", found.low))
        if n
    ]
    logger.info("Isolated or saturated outliers at %s: taking %s; the image stays as it is", name, " and ".join(parts))
