"""A tracked movie in the form of the Cell Tracking Challenge."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from elephant.config import CtcParams, mask_name
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.export import MarkedNucleus, MaskArchive, ctc_mask
from elephant.geometry import Ellipsoid
from elephant.progress import CancelToken, ProgressReporter

logger = logging.getLogger(__name__)


def export_ctc(
    dataset: Dataset,
    cells: Iterable[MarkedNucleus],
    params: CtcParams,
    file: BinaryIO,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> None:
    """Write a .zip with one ``mask<TTT>.tif`` per timepoint, blank where there is no cell.

    There is one for each chosen timepoint and for each other that has a cell. One mask at a time is in memory. What the
    file holds stays as it is, so that it may be sent on at any time; `reporter` hears of each mask when it is in there.

    Parameters
    ----------
    dataset
        Whose size the masks have.
    cells
        They are all checked before the first mask.
    params
        Which timepoints have a mask in any case.
    file
        Open for writing at its beginning, of a folder that takes a mask besides.

    Raises
    ------
    InvalidInputError
        A covariance is not positive definite, or a cell is at a negative timepoint.
    OSError
        The file cannot be written, for instance because the disk is full.
    elephant.errors.Cancelled
        `cancel` asked for the end.
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
        Ellipsoid.from_spots([cell.spot for cell in group], n_dims)  # refuses what is none
    return dict(groups)
