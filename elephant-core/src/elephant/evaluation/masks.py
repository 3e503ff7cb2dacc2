"""Masks of tracked nuclei, timepoint by timepoint: painted from ellipsoids, or from a folder of the challenge."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffFileError

from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.evaluation.nuclei import NO_NUCLEI
from elephant.export.base import ExportParams, TrackedMovie, TrackedNucleus
from elephant.export.ctc_table import MaskTable
from elephant.export.track_masks import track_masks
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import VoxelSize

Mask = NDArray[np.integer]
Track = tuple[int, int, int, int]  # label, first and last timepoint, label of the parent

_TABLES = ("man_track.txt", "res_track.txt")
_MASK = re.compile(r"(?:man_track|mask)(\d+)\.tif")
_WHOLE = re.compile(r"man_seg(\d+)\.tif")
_SLICE = re.compile(r"man_seg_(\d+)_(\d+)\.tif")
_MOST_TRACKS = 65535
_MOST_VOXELS = 1 << 34  # of a timepoint


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Exact outlines of the nuclei of a timepoint.

    Attributes
    ----------
    mask
        Their labels, (Z), Y, X.
    planes
        Which planes of the image these are; None for all.
    """

    mask: Mask
    planes: Sequence[int] | None = None


class MaskMovie(ABC):
    """Masks whose voxels hold the labels of tracks, and these tracks.

    Attributes
    ----------
    first
        The first timepoint.
    n_timepoints
        Number of timepoints, without gaps.
    """

    first: int
    n_timepoints: int

    @property
    def timepoints(self) -> range:
        """The timepoints."""
        return range(self.first, self.first + self.n_timepoints)

    @abstractmethod
    def masks(self) -> Iterator[Mask]:
        """Yield the mask of each timepoint, (Z), Y, X."""

    @abstractmethod
    def tracks(self) -> Sequence[Track]:
        """Return the tracks that the masks show; after the last mask."""

    def outlined_masks(self) -> Iterator[tuple[Mask, Outlines | None]]:
        """Yield the mask of each timepoint, and exact outlines, or None where nobody has drawn them."""
        yield from ((mask, Outlines(mask)) for mask in self.masks())


class PaintedMasks(MaskMovie):
    """Masks as an export would write them: ellipsoids, painted when they are needed."""

    def __init__(self, movie: TrackedMovie, reporter: ProgressReporter, cancel: CancelToken) -> None:
        self._movie, self._reporter, self._cancel = movie, reporter, cancel
        self.first, self.n_timepoints = movie.params.t_start, len(movie.params.timepoints)
        self._table = MaskTable.of(movie.nuclei, movie.params.timepoints)
        self._labels = self._table.labels()

    def masks(self) -> Iterator[Mask]:
        """Yield the mask of each timepoint, (Z), Y, X."""
        for _, mask in track_masks(self._movie, self._table.spots(), self._labels, self._reporter, self._cancel):
            yield mask

    def tracks(self) -> Sequence[Track]:
        """Return the tracks that the masks show; after the last mask."""
        return [(track.number, track.first, track.last, track.parent) for track in self._labels.tracks()]


def painted(
    nuclei: Sequence[TrackedNucleus],
    dataset: Dataset,
    voxel_size: VoxelSize,
    timepoints: range,
    attention: tuple[ProgressReporter, CancelToken],
) -> PaintedMasks:
    """Return masks of nuclei, as large as the images of a dataset, at some of its timepoints.

    Raises
    ------
    InvalidInputError
        The dataset does not have these timepoints, or the tracks are impossible.
    """
    for t in (timepoints[0], timepoints[-1]):
        dataset.check_timepoint(t)
    params = ExportParams(voxel_size=voxel_size, t_start=timepoints[0], t_end=timepoints[-1])
    real = [nucleus for nucleus in nuclei if nucleus.spot.tag not in NO_NUCLEI]
    return PaintedMasks(TrackedMovie(dataset, real, params), *attention)


class CtcFolder(MaskMovie):
    """A folder of the Cell Tracking Challenge: masks of a result, or of a truth, with outlines if ``SEG`` is beside it.

    Parameters
    ----------
    folder
        Such as ``01_RES``, ``01_GT`` or ``01_GT/TRA``.

    Raises
    ------
    InvalidInputError
        It is no such folder, timepoints are missing, or the list of tracks is damaged.
    """

    def __init__(self, folder: Path, cancel: CancelToken) -> None:
        place, self._cancel = tracking_folder(folder), cancel
        if place is None:
            raise InvalidInputError(f"{folder} has no {' or '.join(_TABLES)}: expected a folder of the challenge")
        self._masks = _numbered(place, _MASK)
        if not self._masks:
            raise InvalidInputError(f"{place} has no masks: expected man_track000.tif or mask000.tif, and so on")
        self.first, self.n_timepoints = min(self._masks), len(self._masks)
        missing = sorted(set(range(self.first, max(self._masks) + 1)) - set(self._masks))
        if missing:
            raise InvalidInputError(f"{place} has no mask of timepoint {missing[0]}: expected one of each")
        self._tracks = _read_tracks(next(place / name for name in _TABLES if (place / name).is_file()))
        # Masks of a result are exact; the markers of a truth need not be.
        self._is_exact = place.name != "TRA"
        self._whole = _numbered(place.parent / "SEG", _WHOLE)
        self._planes = _planes(place.parent / "SEG")

    def masks(self) -> Iterator[Mask]:
        """Yield the mask of each timepoint, (Z), Y, X."""
        for t in sorted(self._masks):
            self._cancel.check()
            yield _read_mask(self._masks[t])

    def tracks(self) -> Sequence[Track]:
        """Return the tracks of the list beside the masks."""
        return self._tracks

    def outlined_masks(self) -> Iterator[tuple[Mask, Outlines | None]]:
        """Yield the mask of each timepoint, and the outlines that were drawn, if any were."""
        for t, mask in enumerate(self.masks(), start=self.first):
            yield mask, Outlines(mask) if self._is_exact else self._outlines_at(t)

    def _outlines_at(self, t: int) -> Outlines | None:
        if t in self._whole:
            return Outlines(_read_mask(self._whole[t]))
        planes = self._planes.get(t)
        if planes is None:
            return None
        return Outlines(np.stack([_read_mask(planes[z]) for z in sorted(planes)]), sorted(planes))


def tracking_folder(path: Path) -> Path | None:
    """Return the folder with the list of tracks, which is this one or ``TRA`` in it; None if there is none."""
    places = (path, path / "TRA")
    return next((place for place in places if any((place / name).is_file() for name in _TABLES)), None)


def _numbered(folder: Path, name: re.Pattern[str]) -> Mapping[int, Path]:
    if not folder.is_dir():
        return {}
    found = ((name.fullmatch(path.name), path) for path in folder.iterdir())
    return {int(match[1]): path for match, path in found if match is not None}


def _planes(folder: Path) -> Mapping[int, Mapping[int, Path]]:
    """Return the files with the outlines of single planes, by timepoint and plane."""
    planes: dict[int, dict[int, Path]] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if match := _SLICE.fullmatch(path.name):
            planes.setdefault(int(match[1]), {})[int(match[2])] = path
    return planes


def _read_mask(path: Path) -> Mask:
    expected = f"{path}: expected a mask of labels up to {_MOST_TRACKS}, (Z), Y, X"
    try:
        with TiffFile(path) as file:
            shape = file.series[0].shape if file.series else ()
            if len(shape) not in (2, 3) or not 0 < math.prod(shape) <= _MOST_VOXELS:
                raise InvalidInputError(f"{expected}, got one of the size {shape}")
            mask: Mask = file.asarray()
    except (TiffFileError, OSError, ValueError) as error:
        raise InvalidInputError(f"{path} cannot be read ({error}): expected a TIFF with labels") from error
    if mask.dtype.kind not in "ui" or int(mask.min()) < 0 or int(mask.max()) > _MOST_TRACKS:
        raise InvalidInputError(f"{expected}, got {mask.dtype} from {mask.min()} to {mask.max()}")
    return mask


def _read_tracks(path: Path) -> Sequence[Track]:
    tracks: list[Track] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 4 or not all(cell.isdecimal() for cell in cells) or len(tracks) == _MOST_TRACKS:
            raise InvalidInputError(
                f"{path.name}, line {number}: expected a label, the first and the last timepoint and the label of the "
                f"parent, got {line[:80]!r}"
            )
        label, first, last, parent = map(int, cells)
        tracks.append((label, first, last, parent))
    return tracks
