"""Annotations into a dataset's labels."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from elephant.config import DisplacementParams, LabelParams
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.geometry import Ellipsoid, block_of
from elephant.labels import detection_labels, flow_labels
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import Link, Shape, Spot, Tag, VoxelSize

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


def warn_of_outside(spots: Sequence[Spot | Link], voxel_size: VoxelSize, shape: Shape, consequence: str) -> int:
    """Warn where spots have no voxel in the image, with how many of them and where one is; return their number.

    Parameters
    ----------
    spots
        Their covariances are positive definite.
    shape
        Size of the image, (Z), Y, X.
    consequence
        What becomes of them: ``label nothing``.
    """
    edges = voxel_size.last(len(shape))
    ellipsoids = Ellipsoid.from_spots(spots, len(shape))
    outside = [s for s, e in zip(spots, ellipsoids, strict=True) if block_of(e, edges, shape).is_empty]
    if outside:
        first, n = outside[0], len(shape)
        logger.warning(
            "%d of %d spots are outside the image and %s: the first, at timepoint %d, is at %s, but the image "
            "ends at %s (%s, physical). Are the voxel size, %s, and the dataset correct?",
            *(len(outside), len(spots), consequence, first.t, _xyz(first.pos[-n:])),
            *(_xyz([edge * (size - 1) for edge, size in zip(edges, shape, strict=True)]), ", ".join("XYZ"[:n])),
            " x ".join(f"{edge:g}" for edge in reversed(edges)),
        )
    return len(outside)


def _xyz(values: Iterable[float]) -> str:
    return f"({', '.join(f'{value:.6g}' for value in reversed(list(values)))})"


def update_flow_labels(
    dataset: Dataset,
    links: Sequence[Link],
    params: DisplacementParams,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> list[int]:
    """Replace the flow labels of every timepoint at which links begin.

    All links are checked before the first timepoint is written; each timepoint is replaced at once.

    Returns
    -------
    list of int
        The earlier timepoints, in order.

    Raises
    ------
    InvalidInputError
        A link leaves the movie, or its covariance is not positive definite.
    elephant.errors.Cancelled
        `cancel` asked for the end: each timepoint has its old or its new labels.
    """
    groups = check_links(dataset, links)
    warn_of_outside(links, params.voxel_size, dataset.shape, "label nothing")
    for done, (t, group) in enumerate(groups.items(), start=1):
        cancel.check()
        labels = flow_labels(dataset.shape, group, params, cancel)
        cancel.check()
        dataset.write_flow_labels(t, labels)
        reporter.progress("timepoint", done, len(groups))
    logger.info("Flow labels of %d links written at %s", len(links), in_words(list(groups)))
    return list(groups)


def check_links(dataset: Dataset, links: Sequence[Link]) -> Mapping[int, Sequence[Link]]:
    """Check links before any label is written, and return them by their earlier timepoints.

    Raises
    ------
    InvalidInputError
        A link leaves the movie, or its covariance is not positive definite.
    """
    groups = by_timepoint(links, dataset.n_timepoints)
    for link in links:
        _check_link(link, dataset)
    Ellipsoid.from_spots(links, dataset.n_dims)
    return groups


def _check_link(link: Link, dataset: Dataset) -> None:
    if link.t + 1 >= dataset.n_timepoints:
        raise InvalidInputError(
            f"a link begins at timepoint {link.t}, but its nucleus must be at {link.t + 1} and the dataset has "
            f"timepoints 0 to {dataset.n_timepoints - 1}: choose the dataset that these links belong to"
        )
