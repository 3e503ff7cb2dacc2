"""Answers of a review into the record with their labels, and as annotations of a training."""

import logging
from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from elephant.config import LabelParams
from elephant.dataset import Dataset
from elephant.methods.detection import paint_answers
from elephant.progress import CancelToken
from elephant.review.answers import Answer, read_answers
from elephant.types import AnsweredSpot, FloatArray, Spot

logger = logging.getLogger(__name__)


def mark(dataset: Dataset, answers: Sequence[Answer], params: LabelParams, cancel: CancelToken) -> list[int]:
    """Keep answers in the record of a dataset, and paint them over the labels; return the timepoints, in order.

    Raises
    ------
    InvalidInputError
        The dataset has no such timepoint; nothing is kept.
    elephant.errors.StorageError
        They cannot be written.
    elephant.errors.Cancelled
        `cancel` asked for the end: of each timepoint all answers are kept, or none.
    """
    groups: dict[tuple[int, str], list[AnsweredSpot]] = {}
    for answer in answers:
        groups.setdefault((answer.t, answer.model), []).append(answer.spot())
    for t, _ in groups:
        dataset.check_timepoint(t)
    for (t, model), spots in sorted(groups.items(), key=lambda one: one[0][0]):
        paint_answers(dataset, t, spots, params, cancel, model)
    return sorted({t for t, _ in groups})


def with_answers(dataset: Dataset, spots: Sequence[Spot], cancel: CancelToken | None = None) -> list[Spot]:
    """Return annotations together with the answers at their timepoints, which their labels would otherwise replace.

    An answer is left out where an annotation has its centre within its radius, or it within that of the annotation: the
    annotation is what the person sees in the client. The log says how many are joined.

    Raises
    ------
    elephant.errors.DatasetError, elephant.errors.Cancelled
        As for :func:`elephant.review.answers.read_answers`.
    """
    timepoints = {spot.t for spot in spots}
    if not timepoints:
        return []
    joined = [answer.spot() for answer in read_answers(dataset, cancel) if answer.t in timepoints]
    kept = [one for t in sorted(timepoints) for one in _free(joined, spots, t)]
    if kept:
        logger.info("%d answers of the review are joined to %d annotated spots", len(kept), len(spots))
    return [*kept, *spots]


def _free(answers: Sequence[Spot], spots: Sequence[Spot], t: int) -> list[Spot]:
    asked = [answer for answer in answers if answer.t == t]
    there = [spot for spot in spots if spot.t == t]
    if not asked or not there:
        return asked
    apart, which = cKDTree(np.array([spot.pos for spot in there])).query(np.array([one.pos for one in asked]))
    reach = np.maximum(_reaches(asked), _reaches(there)[which])
    return [one for one, distance, far in zip(asked, apart, reach, strict=True) if distance > far]


def _reaches(spots: Sequence[Spot]) -> FloatArray:
    """Return the longest semi-axis of each spot, (N,)."""
    return np.array([np.sqrt(max(float(np.linalg.eigvalsh(spot.covariance)[-1]), 0)) for spot in spots])
