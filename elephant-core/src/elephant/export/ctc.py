"""Tracked nuclei as masks of the Cell Tracking Challenge, and the list of their tracks."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile

from elephant.config import CtcParams, mask_name
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.export.archive import MaskArchive
from elephant.export.base import A_FOLDER, Exporter, Report, TrackedMovie
from elephant.export.ctc_table import MaskTable, Shown
from elephant.export.masks import MarkedNucleus, ctc_mask
from elephant.export.track_masks import shown_in_masks, track_masks, warn
from elephant.geometry import Ellipsoid
from elephant.progress import CancelToken, ProgressReporter
from elephant.tracking import TrackLabels
from elephant.types import Spot
from elephant.words import counted

TRACKS = "res_track.txt"

_ARCHIVE = ".zip"
_MASK = re.compile(r"mask\d{3,}\.tif")

logger = logging.getLogger(__name__)


class CtcExporter(Exporter):
    """Masks and the list of their tracks, as an archive or a folder."""

    endings = (_ARCHIVE, A_FOLDER)

    def export(self, movie: TrackedMovie, place: Path, reporter: ProgressReporter, cancel: CancelToken) -> Report:
        """Write the masks; warn of what was guessed or changed in the tracks."""
        table = MaskTable.of(movie.nuclei, movie.params.timepoints)
        labels = table.labels()
        warn(_of_counting(movie))
        warn(table.guesses())
        archive = place if place.suffix.lower() == _ARCHIVE else place.with_name("masks.zip")
        with archive.open("w+b") as file:
            shown = export_tracks(movie, table.spots(), labels, file, reporter, cancel)
        if archive != place:
            with ZipFile(archive) as whole:
                whole.extractall(place)
        warn(table.losses(shown))
        warn(table.changes(labels.changes))
        return _report(movie, table, labels, shown)

    def other_content(self, output: Path) -> str | None:
        """Return the name of something in an archive or a folder that an export does not write; None if nothing is."""
        if not output.is_dir():
            try:
                with ZipFile(output) as archive:
                    return next((name for name in sorted(archive.namelist()) if not _is_of_export(name)), None)
            except (BadZipFile, OSError):
                return "something other than a .zip archive"
        others = (p.name for p in output.iterdir() if not _is_of_export(p.name) or p.is_symlink() or not p.is_file())
        return min(others, default=None)


def _is_of_export(name: str) -> bool:
    return name == TRACKS or _MASK.fullmatch(name) is not None


def _of_counting(movie: TrackedMovie) -> Iterator[str]:
    if movie.first_number:
        yield (
            f"masks and {TRACKS} number timepoints as in the movie, from {movie.first_number}; programs that count "
            "masks from 0 need --from-zero"
        )


def _report(movie: TrackedMovie, table: MaskTable, labels: TrackLabels, shown: Shown) -> Report:
    n_masks = len(movie.params.timepoints)
    nuclei, tracks = counted(shown.n_nuclei, "nucleus", "nuclei"), counted(len(shown.tracks), "track")
    others = f"; {table.n_left_out} at other timepoints left out" if table.n_left_out else ""
    counts = {
        "masks": n_masks,
        "cells": shown.n_nuclei,
        "tracks": len(shown.tracks),
        "changed": len(labels.changes),
        "covered": len(shown.covered),
        "outside": len(shown.outside),
        "left_out": table.n_left_out,
    }
    return Report(f"{counted(n_masks, 'mask')} with {nuclei} in {tracks}{others}", counts)


def export_ctc(
    dataset: Dataset,
    cells: Iterable[MarkedNucleus],
    params: CtcParams,
    file: BinaryIO,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> None:
    """Write a .zip with one ``mask<TTT>.tif`` per timepoint, blank where there is no cell.

    There is a mask for each chosen timepoint and for each other one that has a cell. Only one mask is in memory. What
    is in the file does not change, so it may be sent at any time; `reporter` receives each mask once it is in there.

    Parameters
    ----------
    dataset
        The masks have its size.
    cells
        The nuclei; all are checked before the first mask is made.
    params
        The timepoints that have a mask in any case.
    file
        Open for writing at its beginning; its folder needs room for one more mask.

    Raises
    ------
    InvalidInputError
        A covariance is not positive definite, or a cell is at a negative timepoint.
    OSError
        The file cannot be written, for instance because the disk is full.
    elephant.errors.Cancelled
        From `cancel`.
    """
    groups = _by_timepoint(cells, dataset.n_dims)
    timepoints = params.timepoints_with(groups)
    if timepoints[-1] >= dataset.n_timepoints:
        logger.warning(
            "The masks go up to timepoint %d, but the movie ends at %d", timepoints[-1], dataset.n_timepoints - 1
        )
    with MaskArchive(file, Path(file.name).parent, has_reserve=True) as archive:
        for done, t in enumerate(timepoints, start=1):
            cancel.check()
            mask = ctc_mask(dataset.shape, groups.get(t, ()), params.voxel_size, cancel)
            archive.add(mask_name(t, timepoints[-1]), mask, cancel)
            reporter.progress("mask", done, len(timepoints))


def _by_timepoint(cells: Iterable[MarkedNucleus], n_dims: int) -> dict[int, Sequence[MarkedNucleus]]:
    groups: dict[int, list[MarkedNucleus]] = defaultdict(list)
    for cell in cells:
        groups[cell.spot.t].append(cell)
    for t, group in groups.items():
        if t < 0:
            raise InvalidInputError(f"expected timepoints of 0 or later, got a nucleus at timepoint {t}")
        Ellipsoid.from_spots([cell.spot for cell in group], n_dims)  # raises if one is not an ellipsoid
    return dict(groups)


def export_tracks(
    movie: TrackedMovie,
    spots: Sequence[Spot],
    labels: TrackLabels,
    file: BinaryIO,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> Shown:
    """Write a .zip with a mask for each timepoint and ``res_track.txt``, which lists the tracks that the masks show.

    Only one mask is in memory.

    Parameters
    ----------
    movie
        Which timepoints, what the first is called, and the dataset, whose size the masks have.
    spots
        The nuclei, as `labels` knows them; all of them are at those timepoints.
    labels
        Gives each its label. Afterwards it knows what was changed.
    file
        Open for writing at its beginning, of a folder that takes a mask besides.

    Raises
    ------
    InvalidInputError
        A covariance is not positive definite, or there are more tracks than labels.
    OSError
        The file cannot be written, for instance because the disk is full.
    elephant.errors.Cancelled
        `cancel` asked for the end.

    References
    ----------
    Naming and file content conventions of the Cell Tracking Challenge, https://celltrackingchallenge.net/datasets.
    """
    shift = movie.first_number - movie.params.t_start
    with MaskArchive(file, Path(file.name).parent) as archive:
        for t, mask in track_masks(movie, spots, labels, reporter, cancel):
            archive.add(mask_name(t + shift, movie.params.t_end + shift), mask, cancel)
        lines = (f"{k.number} {k.first + shift} {k.last + shift} {k.parent}\n" for k in labels.tracks())
        archive.add_text(TRACKS, "".join(lines))
    return shown_in_masks(movie, spots, labels)
