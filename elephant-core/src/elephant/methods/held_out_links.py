"""The links that a flow training does not learn from, so that it can be judged by them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from elephant.config import FlowTrainingParams, kept_poolings
from elephant.crops import LabelledPair
from elephant.dataset import Dataset
from elephant.images import rescale_labels
from elephant.methods.held_out import HeldOut
from elephant.methods.judging_links import LinkJudge, LinkPlace
from elephant.methods.linked_pieces import LinkedPieces, linked_pieces
from elephant.methods.pieces import Flags
from elephant.types import Box, Shape


@dataclass(frozen=True, slots=True, eq=False)
class HiddenVoxels:
    """The voxels of links that are held out of a timepoint.

    Attributes
    ----------
    places
        In the image that is made one line, (M,), sorted.
    shape
        Of the image, (Z), Y, X.
    """

    places: NDArray[np.int64]
    shape: Shape

    def hide(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return weights, (Z), Y, X, with 0 in these voxels; the given ones stay as they are."""
        labels = labels.copy()
        labels.reshape(-1)[self.places] = 0
        return labels

    def holds(self, voxels: NDArray[np.int64]) -> Flags:
        """Tell which voxels, (N, n), belong to what is held out."""
        is_inside = ((voxels >= 0) & (voxels < self.shape)).all(axis=1)
        found: Flags = np.zeros(len(voxels), dtype=bool)
        line = np.ravel_multi_index(tuple(voxels[is_inside].T), self.shape)
        found[is_inside] = np.isin(line, self.places)
        return found


class HeldOutLinks(HeldOut[LinkedPieces, LinkPlace, LabelledPair]):
    """What is held out of a flow training.

    A link is new where a timepoint that had links before had none like it: what was added, or corrected.

    Parameters
    ----------
    dataset, params
        As of :class:`.HeldOut`.
    """

    margin = (4, 16, 16)

    def __init__(self, dataset: Dataset, params: FlowTrainingParams) -> None:
        displacement, is_first = params.displacement, not dataset.flow_labelled_timepoints()
        keep = kept_poolings(displacement.n_keep_axials)
        super().__init__(dataset, params, displacement.voxel_size, keep, is_first=is_first)
        self._params = params

    @override
    def hide(self, t: int, sample: LabelledPair) -> LabelledPair:
        if t not in self._hidden:
            return sample
        kept = self._hidden[t].hide(np.ones(self._dataset.shape, dtype=np.uint8))
        labels = sample.labels.copy()
        labels[-1] *= rescale_labels(kept, self._image.input_size)
        return replace(sample, labels=labels)

    @override
    def _read(self, t: int) -> LinkedPieces:
        norm = self._params.displacement.norm(self._dataset.n_dims)
        return linked_pieces(self._dataset.read_flow_labels(t), norm)

    @override
    def _are_new(self, pieces: LinkedPieces, before: LinkedPieces | None) -> Flags:
        if before is None or not len(before):
            return np.zeros(len(pieces), dtype=bool)
        return ~pieces.are_in(before)

    @override
    def _hide_some(self, t: int, is_held: Flags) -> HiddenVoxels | None:
        labels = self._dataset.read_flow_labels(t)
        pieces, held = self._pieces[t], np.flatnonzero(is_held).tolist()
        voxels = [pieces.voxels(labels[(slice(None), *pieces.box(i).slices)], i) for i in held]
        places = np.unique(np.ravel_multi_index(tuple(np.concatenate(voxels).T), self._dataset.shape))
        found = HiddenVoxels(places, self._dataset.shape)
        if found.hide(labels[-1]).any():
            return found
        is_held[:] = False  # nothing would be left to learn from
        return None

    @override
    def _cut(self, t: int, box: Box, sample: LabelledPair, others: set[int]) -> LinkPlace:
        judged = self._judged_in(t, self._stored(box), others)
        images = np.ascontiguousarray(sample.images[(slice(None), *box.slices)])
        voxels = [self._in_box(self._voxels(t, i), box) for i in judged]
        return LinkPlace(t, images, judged, voxels)

    @override
    def _judge(self, places: Sequence[LinkPlace], pieces: Mapping[int, LinkedPieces], every: int) -> LinkJudge | None:
        judge = LinkJudge(places, pieces, self._earlier, self._params, every)
        return judge if judge.is_possible else None

    def _voxels(self, t: int, i: int) -> NDArray[np.int64]:
        """Return the voxels of a link in the stored image; only its box is read."""
        pieces = self._pieces[t]
        return pieces.voxels(self._dataset.read_flow_labels(t, pieces.box(i)), i)

    def _in_box(self, voxels: NDArray[np.int64], box: Box) -> NDArray[np.int64]:
        """Return the voxels of a box of what the network sees in which voxels of the stored image lie."""
        seen = np.floor((voxels + 0.5) * self._ratio).astype(np.int64) - box.origin
        found: NDArray[np.int64] = np.unique(np.clip(seen, 0, np.array(box.size) - 1), axis=0)
        return found
