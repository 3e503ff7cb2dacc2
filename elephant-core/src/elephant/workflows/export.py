"""A tracked movie in the form of the Cell Tracking Challenge."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile

from elephant.config.export import CtcParams
from elephant.dataset import Dataset
from elephant.export import Cell, ctc_mask, write_mask
from elephant.geometry import Ellipsoid
from elephant.reporting import CancelToken, ProgressReporter

logger = logging.getLogger(__name__)


def export_ctc(
    dataset: Dataset,
    cells: Iterable[Cell],
    params: CtcParams,
    file: BinaryIO,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> None:
    """Write a .zip with one ``mask<TTT>.tif`` per timepoint, blank where there is no cell.

    One mask at a time is in memory. Whenever `reporter` hears of a mask, the file holds it, and what is written until
    then stays as it is: it may be sent on already.

    Parameters
    ----------
    dataset
        Whose size the masks have.
    cells
        Those outside of the timepoints are left out; they are all checked before the first mask.
    params
        Which timepoints.
    file
        Empty, seekable, of a folder that takes a mask besides.

    Raises
    ------
    InvalidInputError
        A covariance is not positive definite.
    OSError
        The file cannot be written, for instance because the disk is full.
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    groups = _by_timepoint(cells, params, dataset.n_dims)
    if params.t_end >= dataset.n_timepoints:
        logger.warning(
            "The masks go to timepoint %d, but the movie ends with %d", params.t_end, dataset.n_timepoints - 1
        )
    folder = Path(file.name).parent
    with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for done, t in enumerate(params.timepoints, start=1):
            cancel.check()
            mask = ctc_mask(dataset.shape, groups.get(t, ()), params.voxel_size, cancel)
            write_mask(archive, f"mask{t:03d}.tif", mask, folder, cancel)
            reporter.progress("mask", done, len(params.timepoints))


def _by_timepoint(cells: Iterable[Cell], params: CtcParams, n_dims: int) -> dict[int, Sequence[Cell]]:
    groups: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.spot.t in params.timepoints:
            Ellipsoid.from_spot(cell.spot, n_dims)  # refuses what is none
            groups[cell.spot.t].append(cell)
    return dict(groups)
