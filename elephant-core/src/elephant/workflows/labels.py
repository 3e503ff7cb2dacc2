"""Annotations into a dataset's labels."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from elephant.config import LabelParams
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.geometry import Ellipsoid, block_of
from elephant.labels import detection_labels
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import Link, Spot, Tag, VoxelSize
from elephant.workflows.outside import warn_of_outside

logger = logging.getLogger(__name__)

A = TypeVar("A", Spot, Link)


def by_timepoint(spots: Iterable[A], n_timepoints: int) -> Mapping[int, Sequence[A]]:
    """Sort spots, or links, by their timepoints, keeping their order within each.

    Raises
    ------
    InvalidInputError
        A spot is outside of the movie.
    """
    groups: dict[int, list[A]] = defaultdict(list)
    for spot in spots:
        if not 0 <= spot.t < n_timepoints:
            raise InvalidInputError(
                f"a spot is at timepoint {spot.t}, but the dataset has timepoints 0 to {n_timepoints - 1}: choose the "
                "dataset that these spots belong to"
            )
        groups[spot.t].append(spot)
    return dict(sorted(groups.items()))


def check_spots(dataset: Dataset, spots: Sequence[Spot]) -> Mapping[int, Sequence[Spot]]:
    """Check spots before any label is written, and return them by their timepoints.

    Raises
    ------
    InvalidInputError
        A spot is outside of the movie, or its covariance is not positive definite.
    """
    groups = by_timepoint(spots, dataset.n_timepoints)
    Ellipsoid.from_spots([spot for spot in spots if spot.tag is not Tag.UNLABELED], dataset.n_dims)
    return groups


def labels_any(dataset: Dataset, spots: Iterable[Spot], voxel_size: VoxelSize) -> bool:
    """Tell whether any of the spots has voxels in the image that its annotation labels."""
    edges = voxel_size.last(dataset.n_dims)
    ellipsoids = Ellipsoid.from_spots([spot for spot in spots if spot.tag is not Tag.UNLABELED], dataset.n_dims)
    return any(not block_of(ellipsoid, edges, dataset.shape).is_empty for ellipsoid in ellipsoids)


def update_labels(
    dataset: Dataset,
    spots: Sequence[Spot],
    params: LabelParams,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> list[int]:
    """Replace the detection labels of every timepoint that has spots.

    All spots are checked before the first timepoint is written; each timepoint is replaced at once.

    Returns
    -------
    list of int
        The timepoints, in order.

    Raises
    ------
    InvalidInputError
        A spot is outside of the movie, or its covariance is not positive definite.
    elephant.errors.Cancelled
        `cancel` asked for the end: each timepoint has its old or its new labels.
    """
    groups = check_spots(dataset, spots)
    used = [spot for spot in spots if spot.tag is not Tag.UNLABELED]
    warn_of_outside(used, params.voxel_size, dataset.shape, "label nothing")
    for done, (t, group) in enumerate(groups.items(), start=1):
        cancel.check()
        image = dataset.read_image(t) if params.auto_bg_thresh > 0 else None
        labels = detection_labels(dataset.shape, group, params, image, cancel)
        cancel.check()
        dataset.write_labels(t, labels)
        reporter.progress("timepoint", done, len(groups))
    logger.info("Labels of %d spots written at %s", len(spots), in_words(list(groups)))
    return list(groups)


def in_words(found: Sequence[int]) -> str:
    """Return timepoints, in order, as a person would name them."""
    if len(found) == 1:
        return f"timepoint {found[0]}"
    return f"{len(found)} timepoints from {found[0]} to {found[-1]}" if found else "no timepoint"
