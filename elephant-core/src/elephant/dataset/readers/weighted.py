"""A source of a movie that is the weighted sum of others, such as two channels that both show nuclei."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.base import Reader, Region, ViewSetup, Voxels, by
from elephant.dataset.source import differ
from elephant.errors import DatasetError, InvalidInputError
from elephant.progress import CancelToken

_LARGEST = {"uint8": 255, "uint16": 65535}


@dataclass(frozen=True, kw_only=True)
class WeightedSum(Reader):
    """Reads the weighted sum of several sources of a movie.

    Whole numbers stay such, rounded, where 16 bits hold every possible sum; all others are of float32.

    Attributes
    ----------
    parts
        The readers of the sources.
    weights
        The weight of each.
    """

    parts: tuple[Reader, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, parts: Sequence[Reader], weights: Sequence[float]) -> "WeightedSum":
        """Return the reader of a sum.

        Raises
        ------
        DatasetError
            The sources differ in size, number of timepoints, voxel size, or in which timepoints have no image.
        """
        first = parts[0]
        for other in parts[1:]:
            _check_alike(first, other)
        name = " + ".join(f"{w:g} x {p.setup.name or p.setup.id}" for w, p in zip(weights, parts, strict=True))
        stored = [part.stored_bytes for part in parts]
        return cls(
            path=first.path,
            shape=first.shape,
            dtype=_dtype_of_sum(parts, weights),
            n_timepoints=first.n_timepoints,
            setup=replace(first.setup, name=name),
            others=first.others,
            blank_timepoints=first.blank_timepoints,
            chunks=first.chunks,
            stored_bytes=None if None in stored else sum(each or 0 for each in stored),
            levels=first.levels,
            level=first.level,
            given_axes=first.given_axes,
            interval=first.interval,
            in_place=all(part.in_place for part in parts),
            parts=tuple(parts),
            weights=tuple(weights),
        )

    @classmethod
    def open(cls, path: Path, setup: int | None, *, fill_gaps: bool, cancel: CancelToken) -> Self:
        """Refuse: a sum is made of readers that are open."""
        raise NotImplementedError

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Sum"]:
        """Open a timepoint of all sources."""
        with ExitStack() as opened:
            yield Sum(self, [opened.enter_context(part.timepoint(t)) for part in self.parts])

    def files(self) -> tuple[Path, ...]:
        """Return the files of all sources."""
        return tuple(dict.fromkeys(path for part in self.parts for path in part.files()))


class Sum:
    """An open timepoint of a sum."""

    def __init__(self, movie: WeightedSum, parts: Sequence[Voxels]) -> None:
        self._movie = movie
        self._parts = parts

    def __getitem__(self, region: Region) -> NDArray[Any]:
        """Return a box of the sum, (Z, Y, X), added up a few MB at a time."""
        movie = self._movie
        values = np.empty([part.stop - part.start for part in region], movie.dtype)
        for piece in movie.pieces(region):
            total: Any = np.float64(0)
            for weight, voxels in zip(movie.weights, self._parts, strict=True):
                total = total + weight * np.asarray(voxels[piece], np.float64)
            place = tuple(slice(p.start - r.start, p.stop - r.start) for p, r in zip(piece, region, strict=True))
            values[place] = np.rint(total) if values.dtype.kind == "u" else total
        return values


def weights_by_source(weights: Sequence[float], setups: Sequence[ViewSetup], path: Path) -> list[tuple[int, float]]:
    """Return the numbers of the sources that are summed, with their weights, from a weight for each source.

    Raises
    ------
    InvalidInputError
        There are more or fewer sources, or all weights are 0.
    """
    if len(weights) != len(setups):
        names = ", ".join(setup.title for setup in setups[:20])
        raise InvalidInputError(
            f"expected `weights` to be one for each of {len(setups)} sources of {path.name} ({names}), got "
            f"{len(weights)}: give 0 for a source that is not used"
        )
    found = [(setup.id, weight) for setup, weight in zip(setups, weights, strict=True) if weight != 0]
    if not found:
        raise InvalidInputError("expected a weight other than 0 in `weights`, got none")
    return found


def digest_of_all(digests: Sequence[str]) -> str:
    """Return the digest of a movie from those of the sources that are used."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.blake2b(" ".join(digests).encode(), digest_size=16).hexdigest()


def _check_alike(first: Reader, other: Reader) -> None:
    one, two = (
        f"{r.setup.title} has {r.n_timepoints} timepoints of {by(r.shape)} voxels (Z, Y, X)" for r in (first, other)
    )
    if (first.shape, first.n_timepoints) != (other.shape, other.n_timepoints):
        raise DatasetError(f"expected sources of one size to be summed, but {one}, and {two}: choose others")
    if first.blank_timepoints != other.blank_timepoints:
        raise DatasetError(
            f"expected an image at the same timepoints of all summed sources, but {first.setup.title} and "
            f"{other.setup.title} have gaps at different ones: choose others"
        )
    sizes = first.setup.voxel_size, other.setup.voxel_size
    if sizes[0] is not None and sizes[1] is not None and differ(sizes[0], sizes[1], 3):
        raise DatasetError(
            f"expected summed sources to have the same voxel size, but those of {first.setup.title} and "
            f"{other.setup.title} differ: choose others"
        )


def _dtype_of_sum(parts: Sequence[Reader], weights: Sequence[float]) -> str:
    if min(weights) >= 0 and all(part.dtype in _LARGEST for part in parts):
        largest = sum(w * _LARGEST[part.dtype] for w, part in zip(weights, parts, strict=True))
        for dtype, most in _LARGEST.items():
            if largest <= most + 0.49:  # 0.1 + 0.7 + 0.2 is a little more than 1
                return dtype
    return "float32"
