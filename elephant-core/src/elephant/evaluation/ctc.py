"""The scores of the Cell Tracking Challenge, by py-ctcmetrics, from masks of which two are in memory.

py-ctcmetrics is imported here only when scores are computed. Its own comparison of two masks would need a table of all
pairs of labels, so that of :mod:`elephant.evaluation.mask_overlap` takes its place; the scores are its own.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.evaluation.mask_overlap import MaskMatch, match_masks
from elephant.evaluation.masks import Mask, MaskMovie

DET, SEG, TRA, LNK, CT, TF, BC, CCA, BIO = "DET", "SEG", "TRA", "LNK", "CT", "TF", "BC", "CCA", "BIO"
NAMES = (DET, SEG, TRA, LNK, CT, TF, BC, CCA, BIO)

Scores = Mapping[str, float | None]


def ctc_scores(found: MaskMovie, truth: MaskMovie, tolerance: int) -> Scores:
    """Return the scores of the Cell Tracking Challenge, 0 to 1; None where one has no meaning.

    DET, SEG, TRA and LNK judge detections, their shapes, whole tracks and links; CT, TF, BC and CCA complete tracks,
    the longest correct parts of tracks, divisions, and the lengths of cell cycles; BIO is the mean of the last four.

    Parameters
    ----------
    found, truth
        Masks of the same timepoints and size.
    tolerance
        By how many timepoints a division may be shifted in BC.

    Raises
    ------
    InvalidInputError
        py-ctcmetrics is not installed, sizes or timepoints differ, or the tracks break the rules of the challenge.
    elephant.errors.Cancelled
        From one of the movies.

    References
    ----------
    Maška et al., Nature Methods 2023, doi:10.1038/s41592-023-01879-y; Matula et al., PLoS ONE 2015,
    doi:10.1371/journal.pone.0144959; Ulman et al., Nature Methods 2017, doi:10.1038/nmeth.4473.
    """
    metrics = _py_ctcmetrics()
    if (found.first, found.n_timepoints) != (truth.first, truth.n_timepoints):
        raise InvalidInputError(
            f"expected masks of the same timepoints, got {found.n_timepoints} from {found.first} on and "
            f"{truth.n_timepoints} true ones from {truth.first} on: choose --timepoints that both have"
        )
    compared = _Compared()
    for mask, (true, outlines) in zip(found.masks(), truth.outlined_masks(), strict=True):
        compared.tracking.add(match_masks(true, mask))
        if outlines is not None:
            compared.segmentation.add(match_masks(outlines.mask, _planes_of(mask, outlines.planes)))
    tracks, true_tracks = (_from_0(movie.tracks(), movie.first) for movie in (found, truth))
    if not len(true_tracks):
        raise InvalidInputError("the true masks show no nucleus: check the dataset and the voxel size")
    if not len(tracks):
        itself = _scores(metrics, true_tracks, true_tracks, compared.truth_itself(), tolerance)
        return {name: None if score is None else 0.0 for name, score in itself.items()}
    _check(tracks, compared.tracking)
    return _scores(metrics, tracks, true_tracks, compared, tolerance)


def _planes_of(mask: Mask, planes: Sequence[int] | None) -> Mask:
    if planes is None:
        return mask
    if mask.ndim != 3 or max(planes) >= len(mask):
        raise InvalidInputError(f"outlines of plane {max(planes)} were drawn, but the masks have the size {mask.shape}")
    return mask[list(planes)]


def check_can_score() -> None:
    """Refuse to compute scores where py-ctcmetrics is missing.

    Raises
    ------
    InvalidInputError
        It is.
    """
    _py_ctcmetrics()


def _py_ctcmetrics() -> ModuleType:
    try:
        from ctc_metrics.scripts import evaluate  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InvalidInputError(
            "the scores of the Cell Tracking Challenge need the package py-ctcmetrics: pip install py-ctcmetrics"
        ) from error
    module: ModuleType = evaluate
    return module


@dataclass(slots=True)
class _Matches:
    """What py-ctcmetrics wants to know of the masks of all timepoints, in its own words."""

    labels_ref: list[list[int]] = field(default_factory=list)
    labels_comp: list[list[int]] = field(default_factory=list)
    mapped_ref: list[list[int]] = field(default_factory=list)
    mapped_comp: list[list[int]] = field(default_factory=list)
    ious: list[list[float]] = field(default_factory=list)

    def add(self, match: MaskMatch) -> None:
        self.labels_ref.append(match.true_labels.tolist())
        self.labels_comp.append(match.found_labels.tolist())
        self.mapped_ref.append(match.pairs[:, 0].tolist())
        self.mapped_comp.append(match.pairs[:, 1].tolist())
        self.ious.append(match.shares.tolist())

    def values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class _Compared:
    tracking: _Matches = field(default_factory=_Matches)
    segmentation: _Matches = field(default_factory=_Matches)

    def truth_itself(self) -> "_Compared":
        """Return the comparison of the truth with itself."""
        same = [
            _Matches(one, one, one, one, [[1.0] * len(labels) for labels in one])
            for one in (self.tracking.labels_ref, self.segmentation.labels_ref)
        ]
        return _Compared(*same)


def _scores(
    metrics: ModuleType, tracks: NDArray[np.int64], true_tracks: NDArray[np.int64], compared: _Compared, tolerance: int
) -> Scores:
    has_links = bool((true_tracks[:, 2] > true_tracks[:, 1]).any() or (true_tracks[:, 3] > 0).any())
    has_segmentation = any(compared.segmentation.labels_ref)
    wanted = [DET, TRA, CT, TF, f"{BC}({tolerance})", CCA]
    wanted += [LNK] * has_links + [SEG] * has_segmentation
    matched, segmented = compared.tracking.values(), compared.segmentation.values()
    found = metrics.calculate_metrics(tracks, true_tracks, matched, segmented, wanted, is_valid=True)
    named = found | {BC: found[f"{BC}({tolerance})"], BIO: found[f"{BIO}({tolerance})"]}
    return {name: None if named.get(name) is None else float(named[name]) for name in NAMES}


def _check(tracks: NDArray[np.int64], matches: _Matches) -> None:
    """Refuse tracks that break the rules of the challenge, in the words of py-ctcmetrics."""
    from ctc_metrics.metrics import valid  # noqa: PLC0415

    masks = list(range(len(matches.labels_comp)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        is_valid = valid(masks, tracks, matches.labels_comp)
    if not is_valid:
        raise InvalidInputError(f"the found tracks break the rules of the Cell Tracking Challenge: {said[0].message}")


def _from_0(tracks: Sequence[tuple[int, int, int, int]], first: int) -> NDArray[np.int64]:
    """Return tracks whose timepoints are counted from the first mask: label, first, last, parent."""
    table = np.array(tracks, dtype=np.int64).reshape(-1, 4)
    table[:, 1:3] -= first
    return table
