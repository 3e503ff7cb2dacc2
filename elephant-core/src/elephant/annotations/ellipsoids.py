"""From the voxels of labels to ellipsoids: a nucleus a label."""

import logging
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from elephant.components import ComponentStatistics, labelled_components
from elephant.types import FloatArray, VoxelSize
from elephant.words import counted

# Semi-axes are at least half a voxel: a label that is one voxel thick has a thickness.
_LEAST = 0.25

Integers = NDArray[np.int64]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledNuclei:
    """The nuclei of a label image.

    Attributes
    ----------
    labels
        Their labels, (N,), ascending.
    positions
        Their centres, physical, (N, n), (Z), Y, X.
    covariances
        (N, n, n), physical, (Z), Y, X; the one-sigma surface is the nucleus'.
    """

    labels: Integers
    positions: FloatArray
    covariances: FloatArray


@dataclass(slots=True)
class Peculiarities:
    """What is noted of labels, and said once at the end.

    Attributes
    ----------
    counts
        How many labels consist of several pieces, reach the edge of the image, or are a single voxel.
    most_pieces
        Number of pieces of the label with the most, at the timepoint that was measured last.
    """

    counts: Counter[str] = field(default_factory=Counter)
    most_pieces: int = 0

    def say(self, name: str) -> None:
        """Warn of what was noted.

        Parameters
        ----------
        name
            Of the file.
        """
        sentences = {
            "pieces": "{} with several pieces that do not touch: the largest piece is the nucleus",
            "edge": "{} at the edge of the image: the nucleus is what is in the image",
            "voxel": "{} of a single voxel: read as nuclei of that size",
        }
        for what, sentence in sentences.items():
            if self.counts[what]:
                logger.warning("%s: %s", name, sentence.format(counted(self.counts[what], "label")))


def nuclei_of_labels(image: NDArray[np.integer], voxel: VoxelSize, noted: Peculiarities) -> LabelledNuclei:
    """Return the ellipsoid of each label.

    The second moments of a solid ellipsoid over n axes are its semi-axes squared, divided by n + 2. An ellipsoid with
    the moments of the label's voxels is the result; of a label that consists of several pieces, those of the largest.

    Parameters
    ----------
    image
        (Z), Y, X; 0 is background.
    voxel
        Physical size of a voxel.
    noted
        Where what is peculiar is counted.
    """
    labels, pieces = labelled_components(image)
    chosen = _largest(labels, pieces.count)
    n_pieces = Counter(labels.tolist())
    noted.most_pieces = max(n_pieces.values(), default=0)
    noted.counts["pieces"] += sum(n > 1 for n in n_pieces.values())
    noted.counts["edge"] += int(_at_edge(pieces, chosen, image.shape).sum())
    noted.counts["voxel"] += int((pieces.count[chosen] == 1).sum())
    n = image.ndim
    scale = np.array(voxel.last(n))
    positions: FloatArray = pieces.mean_index[chosen] * scale
    values, axes = np.linalg.eigh(pieces.moments[chosen] * (n + 2))
    values = np.maximum(values, _LEAST)
    covariances: FloatArray = (axes * values[:, None, :]) @ axes.swapaxes(1, 2)
    return LabelledNuclei(labels[chosen], positions, covariances * scale[:, None] * scale)


def _largest(labels: Integers, count: Integers) -> Integers:
    """Return the index of the largest piece of each label, of equal ones the first, by ascending labels."""
    order = np.lexsort((np.arange(len(labels)), -count, labels))
    return order[np.flatnonzero(np.diff(labels[order], prepend=-1))]


def _at_edge(pieces: ComponentStatistics, chosen: Integers, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pieces touch the edge of an image, along the axes with more than one voxel."""
    start, stop = pieces.box_start[chosen], pieces.box_start[chosen] + pieces.box_size[chosen]
    is_long = np.array(shape) > 1
    touches: NDArray[np.bool_] = (((start == 0) | (stop == shape)) & is_long).any(axis=1)
    return touches
