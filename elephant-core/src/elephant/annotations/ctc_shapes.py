"""The shapes of nuclei of the Cell Tracking Challenge: masks of results, or markers and segmentations of references."""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elephant.annotations.base import MovieFacts
from elephant.annotations.ellipsoids import LabelledNuclei, Peculiarities, nuclei_of_labels
from elephant.annotations.label_files import Labels, NumberedFiles, numbered
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.progress import CancelToken
from elephant.types import VoxelSize

MARKERS, SEGMENTED = "TRA", "SEG"
_REFERENCE = "man_track.txt"
_WHOLE = re.compile(r"man_seg(\d+)\.tiff?", re.IGNORECASE)

Integers = NDArray[np.int64]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Shapes:
    """Gives each label of a mask its ellipsoid.

    Attributes
    ----------
    voxel
        Physical size of a voxel.
    radius
        That of the nuclei of which there is only a marker, if a person gave it.
    is_reference
        Whether the masks hold markers, which tell where a nucleus is, and may be smaller.
    segmented
        The segmentations of whole timepoints, by their numbers; there may be some for a few.
    """

    voxel: VoxelSize
    radius: float | None
    is_reference: bool
    segmented: Mapping[int, Path]
    noted: Peculiarities = field(default_factory=Peculiarities)
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, masks: Path, voxel: VoxelSize, params: AnnotationParams) -> "Shapes":
        """Return the shapes for a folder of masks, and the segmentations beside it, as in 01_GT."""
        beside = masks.parent / SEGMENTED
        is_reference = (masks / _REFERENCE).is_file()
        segmented = numbered(beside, _WHOLE) if is_reference and masks.name == MARKERS and beside.is_dir() else {}
        return cls(voxel, params.radius if is_reference else None, is_reference, segmented)

    def measured(
        self, number: int, masks: Labels, is_flat: bool, movie: MovieFacts, cancel: CancelToken
    ) -> LabelledNuclei:
        """Return the nuclei of a timepoint.

        Parameters
        ----------
        number
            Number of the timepoint in the names of files.
        masks
            Its labels, (Z, Y, X).
        is_flat
            Whether the movie is 2D.
        """
        image = masks[0] if is_flat else masks
        nuclei = nuclei_of_labels(image, self.voxel, self.noted)
        if not self.is_reference:
            return nuclei
        has_shape = np.zeros(len(nuclei.labels), dtype=bool)
        if number in self.segmented:
            one = NumberedFiles(SEGMENTED, {number: self.segmented[number]})
            _, labels = next(one.images(movie, cancel))
            if labels.shape != masks.shape:
                raise InvalidInputError(
                    f"expected {self.segmented[number].name} to have the size of the masks, {masks.shape}, got "
                    f"{labels.shape}: copy it again"
                )
            nuclei, has_shape = self._with_shapes(nuclei, image, labels[0] if is_flat else labels)
        self.counts["segmented"] += int(has_shape.sum())
        self.counts["markers"] += int((~has_shape).sum())
        if self.radius is not None:
            nuclei.covariances[~has_shape] = np.eye(image.ndim) * self.radius**2
        return nuclei

    def _with_shapes(
        self, nuclei: LabelledNuclei, masks: Labels, labels: Labels
    ) -> tuple[LabelledNuclei, NDArray[np.bool_]]:
        """Return the nuclei with the shapes of the segments that hold most of their markers, and which have one."""
        shapes = nuclei_of_labels(labels, self.voxel, Peculiarities())
        chosen = _segments(nuclei.labels, masks, labels)
        place = np.searchsorted(shapes.labels, chosen)
        has_shape = chosen > 0
        place = place[has_shape]
        positions, covariances = nuclei.positions.copy(), nuclei.covariances.copy()
        positions[has_shape], covariances[has_shape] = shapes.positions[place], shapes.covariances[place]
        return replace(nuclei, positions=positions, covariances=covariances), has_shape

    def say(self, name: str) -> None:
        """Warn of what was noted."""
        self.noted.say(name)
        n_markers, n_segmented = self.counts["markers"], self.counts["segmented"]
        if n_segmented:
            logger.warning(
                "%s: %d of %d nuclei have the shape that SEG gives", name, n_segmented, n_segmented + n_markers
            )
        if n_markers and self.radius is None:
            logger.warning(
                "%s: %d nuclei have the shape of their marker in TRA, which may be smaller than the nucleus: give "
                "`radius` for balls instead",
                name,
                n_markers,
            )


def _segments(labels: Integers, masks: Labels, segments: Labels) -> Integers:
    """Return for each label of the masks the segment that holds more than half of its voxels, and no other's; or 0."""
    inside = masks > 0
    pairs, counts = np.unique(np.stack([masks[inside], segments[inside]]), axis=1, return_counts=True)
    sizes = dict(zip(*(each.tolist() for each in np.unique(masks[inside], return_counts=True)), strict=True))
    found = {
        label: segment
        for (label, segment), count in zip(pairs.T.tolist(), counts.tolist(), strict=True)
        if segment and 2 * count > sizes[label]
    }
    uses = Counter(found.values())
    return np.array([found[n] if n in found and uses[found[n]] == 1 else 0 for n in labels.tolist()], dtype=np.int64)
