"""The nuclei that a detection training does not learn from, so that it can be judged by them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from typing_extensions import override

from elephant.config import DetectionTrainingParams
from elephant.crops.sample import LabelledVolume
from elephant.dataset import Dataset
from elephant.images import rescale_labels
from elephant.methods.held_out import HeldOut
from elephant.methods.judging_nuclei import NucleiJudge, NucleiPlace
from elephant.methods.pieces import Flags, Hidden, LabelledPieces, hidden, labelled_pieces
from elephant.types import Box


class HeldOutNuclei(HeldOut[LabelledPieces, NucleiPlace, LabelledVolume]):
    """What is held out of a detection training.

    Parameters
    ----------
    dataset, params
        As of :class:`.HeldOut`.
    """

    margin = (4, 12, 12)

    def __init__(self, dataset: Dataset, params: DetectionTrainingParams) -> None:
        is_first = not dataset.labelled_timepoints()
        super().__init__(dataset, params, params.labels.voxel_size, params.n_keep_axials, is_first=is_first)
        self._params = params

    @override
    def hide(self, t: int, sample: LabelledVolume) -> LabelledVolume:
        if t not in self._hidden:
            return sample
        kept = self._hidden[t].hide(np.ones(self._dataset.shape, dtype=np.uint8))
        return replace(sample, labels=sample.labels * rescale_labels(kept, self._image.input_size))

    @override
    def _read(self, t: int) -> LabelledPieces:
        return labelled_pieces(self._dataset.read_labels(t), self._params.labels)

    @override
    def _are_new(self, pieces: LabelledPieces, before: LabelledPieces | None) -> Flags:
        return pieces.is_false if before is None else pieces.is_false & ~pieces.are_in(before)

    @override
    def _hide_some(self, t: int, is_held: Flags) -> Hidden | None:
        labels = self._dataset.read_labels(t)
        found = hidden(labels, self._pieces[t], is_held)
        if found.hide(labels).any():
            return found
        is_held[:] = False  # nothing would be left to learn from
        return None

    @override
    def _cut(self, t: int, box: Box, sample: LabelledVolume, others: set[int]) -> NucleiPlace:
        stored = self._stored(box)
        judged = self._judged_in(t, stored, others)
        labels, ratio = self._dataset.read_labels(t, stored), tuple((1 / self._ratio).tolist())
        images = np.ascontiguousarray(sample.image[box.slices])[None]
        is_cut = (np.array(box.origin) > 0, np.array(box.end) < np.array(self._seen))
        return NucleiPlace(t, images, judged, labels, stored, ratio, is_cut)

    @override
    def _judge(self, places: Sequence[NucleiPlace], pieces: Mapping[int, LabelledPieces], every: int) -> NucleiJudge:
        return NucleiJudge(places, pieces, self._earlier, self._params, every)
