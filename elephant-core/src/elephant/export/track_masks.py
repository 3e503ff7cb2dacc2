"""The masks of tracked nuclei, one timepoint after the other, in which each voxel holds the label of its track."""

import logging
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from elephant.export.base import TrackedMovie
from elephant.export.ctc_table import Shown
from elephant.export.masks import LARGEST_VALUE, MarkedNucleus, Mask, ctc_mask
from elephant.export.shells import MIN_VOXELS
from elephant.geometry import Ellipsoid, rasterise
from elephant.progress import CancelToken, ProgressReporter
from elephant.tracking import TrackLabels
from elephant.types import Spot

logger = logging.getLogger(__name__)


def track_masks(
    movie: TrackedMovie,
    spots: Sequence[Spot],
    labels: TrackLabels,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> Iterator[tuple[int, Mask]]:
    """Yield each timepoint and its mask, (Z), Y, X; only one is in memory.

    Parameters
    ----------
    movie
        Which timepoints, and the dataset, whose size the masks have.
    spots
        The nuclei, as `labels` knows them; all of them are at those timepoints.
    labels
        Gives each its label. Afterwards it knows what was changed.

    Raises
    ------
    InvalidInputError
        A covariance is not positive definite, or there are more tracks than labels.
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    dataset, timepoints = movie.dataset, movie.params.timepoints
    groups: dict[int, list[int]] = {}
    for i, spot in enumerate(spots):
        Ellipsoid.from_spot(spot, dataset.n_dims)  # raises if it is not an ellipsoid, before the first mask
        groups.setdefault(spot.t, []).append(i)
    for done, t in enumerate(timepoints, start=1):
        cancel.check()
        members = groups.get(t, [])
        given = labels.given(members)
        cells = [MarkedNucleus(spots[i], label) for i, label in zip(members, given, strict=True)]
        mask = ctc_mask(dataset.shape, cells, movie.voxel_size, cancel)
        is_shown = _labels_in(mask)
        labels.settle(members, given, {label for label in given if is_shown[label]})
        yield t, mask
        reporter.progress("mask", done, len(timepoints))


def shown_in_masks(movie: TrackedMovie, spots: Sequence[Spot], labels: TrackLabels) -> Shown:
    """Return what all masks together show, after the last one."""
    outside = [i for i in labels.hidden if _is_outside(spots[i], movie)]
    covered = sorted(set(labels.hidden) - set(outside))
    return Shown(labels.tracks(), len(spots) - len(labels.hidden), covered, outside)


def warn(sentences: Iterable[str]) -> None:
    """Log sentences about what was guessed or changed."""
    for sentence in sentences:
        logger.warning("%s", sentence)


def _labels_in(mask: Mask) -> NDArray[np.bool_]:
    """Return for each label whether a mask shows it."""
    is_shown = np.zeros(LARGEST_VALUE + 1, dtype=bool)
    for plane in mask:  # indices of a whole volume would take eight bytes a voxel
        is_shown[plane] = True
    return is_shown


def _is_outside(spot: Spot, movie: TrackedMovie) -> bool:
    dataset = movie.dataset
    scale = movie.voxel_size.last(dataset.n_dims)
    return rasterise(Ellipsoid.from_spot(spot, dataset.n_dims), scale, dataset.shape, MIN_VOXELS).is_empty
