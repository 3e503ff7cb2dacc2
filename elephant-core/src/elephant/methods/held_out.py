"""The part of the annotations that a detection training does not learn from, so that it can be judged by it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from elephant.config import DetectionTrainingParams
from elephant.crops.sample import LabelledVolume
from elephant.dataset import Dataset
from elephant.images import rescale_labels
from elephant.methods.judging import Judge, Place
from elephant.methods.pieces import (
    LEAST_NUCLEI,
    Flags,
    Hidden,
    LabelledPieces,
    block_of,
    choose,
    hidden,
    labelled_pieces,
)
from elephant.models.unet import dividing_size
from elephant.types import Box, FloatArray

# What is seen around what is judged, voxels of the network's input, Z, Y, X.
_MARGIN = (4, 12, 12)
# Voxels that are seen for each one that is trained on: a network in training takes four times as long for one, so that
# judging takes 7% of the time.
_SHARE_OF_VOXELS = 0.25
_LEAST_PLACES = 2


class HeldOut:
    """What is held out of a detection training, or of a live session in which labels change.

    Parameters
    ----------
    dataset
        Whose labels are read; they stay as they are.
    params
        Of the training.
    """

    def __init__(self, dataset: Dataset, params: DetectionTrainingParams) -> None:
        self._dataset, self._params = dataset, params
        self._voxel_size = np.array(params.labels.voxel_size.last(dataset.n_dims))
        self._seen = params.image.input_size or dataset.shape
        self._ratio = np.array(self._seen) / dataset.shape  # seen voxels along a stored one
        self._is_first = not dataset.labelled_timepoints()
        self._pieces: dict[int, LabelledPieces] = {}
        self._held: dict[int, Flags] = {}
        self._hidden: dict[int, Hidden] = {}
        self._earlier: frozenset[int] = frozenset()

    def note(self, timepoints: Sequence[int]) -> None:
        """Take note of the labels of some timepoints: what they lack when they are written is new."""
        for t in timepoints:
            self._pieces[t] = labelled_pieces(self._dataset.read_labels(t), self._params.labels)

    def choose(self, timepoints: Sequence[int], earlier: Sequence[int]) -> None:
        """Choose what is held out.

        Nothing is held out of fewer than eight nuclei, and no correction that was made since the labels were noted.

        Parameters
        ----------
        timepoints
            Those that are trained on.
        earlier
            Others that were labelled before.
        """
        before = dict(self._pieces)
        self._earlier = frozenset(earlier)
        self.note([*timepoints, *(t for t in earlier if t not in before)])
        found = {t: self._pieces[t] for t in (*timepoints, *earlier)}
        is_few = sum(int(np.count_nonzero(found[t].is_nucleus)) for t in timepoints) < LEAST_NUCLEI
        kept = {t: np.full(len(pieces), is_few and t in timepoints) for t, pieces in found.items()}
        for t in timepoints:
            kept[t] |= self._are_new(found[t], before.get(t))
        self._is_first = False
        self._held = choose(found, kept, self._params.held_out, self._voxel_size.tolist())
        self._hidden = {t: self._hide(t) for t, flags in self._held.items() if flags.any()}

    def teaches(self, t: int, positions: FloatArray) -> FloatArray:
        """Return the positions, physical, (N, 3), Z, Y, X, that are not held out of a timepoint."""
        if t not in self._hidden:
            return positions
        voxels = np.rint(positions[:, 3 - len(self._voxel_size) :] / self._voxel_size).astype(np.int64)
        return positions[~self._hidden[t].holds(voxels)]

    def hide(self, t: int, sample: LabelledVolume) -> LabelledVolume:
        """Return a labelled timepoint, as the network sees it, without the labels of what is held out."""
        if t not in self._hidden or not self._hidden[t].blocks:
            return sample
        kept = self._hidden[t].hide(np.ones(self._dataset.shape, dtype=np.uint8))
        return replace(sample, labels=sample.labels * rescale_labels(kept, self._params.image.input_size))

    def judge(self, samples: Callable[[int], LabelledVolume]) -> Judge | None:
        """Cut out what is judged after an epoch; None where nothing is held out.

        Parameters
        ----------
        samples
            Gives the timepoints as the network sees them.
        """
        loop, places, n_voxels = self._params.loop, list[Place](), 0
        crop = math.prod(map(min, self._params.crop_size, self._seen))
        budget = _SHARE_OF_VOXELS * crop * loop.n_crops * max(len(self._held.keys() - self._earlier), 1)
        for t, i in self._in_turns():
            others = {int(j) for place in places if place.t == t for j in place.judged}
            if i in others:
                continue
            box = self._box(t, i)
            n_more = math.prod(box.size)
            if n_voxels + n_more > budget and len(places) >= _LEAST_PLACES:
                break
            n_voxels += n_more
            places.append(self._cut(t, box, samples(t).image, others))
        if not places:
            return None
        every = max(math.ceil(n_voxels / budget), 1)
        return Judge(places, self._pieces, self._earlier, self._params, every)

    def _are_new(self, pieces: LabelledPieces, before: LabelledPieces | None) -> Flags:
        """Tell which are corrections that nothing was trained on yet; of a dataset's first annotations none is."""
        if self._is_first:
            return np.zeros(len(pieces), dtype=bool)
        return pieces.is_false if before is None else pieces.is_false & ~pieces.are_in(before)

    def _hide(self, t: int) -> Hidden:
        labels = self._dataset.read_labels(t)
        found = hidden(labels, self._pieces[t], self._held[t])
        if found.hide(labels).any():
            return found
        self._held[t][:] = False  # nothing would be left to learn from
        return Hidden()

    def _in_turns(self) -> Iterator[tuple[int, int]]:
        """Yield what is held out, one of each timepoint after the other."""
        held = [[(t, i) for i in np.flatnonzero(flags).tolist()] for t, flags in self._held.items()]
        yield from (one for turn in zip_longest(*held) for one in turn if one is not None)

    def _box(self, t: int, i: int) -> Box:
        """Return what is seen of a piece and around it, in the image as the network sees it."""
        block = block_of(self._pieces[t], i, self._dataset.shape)
        start = np.array([s.start for s in block]) * self._ratio
        stop = np.array([s.stop for s in block]) * self._ratio
        divisor = np.array(dividing_size(len(block), self._params.n_keep_axials))
        size = np.ceil((stop - start + 2 * np.array(_MARGIN[-len(block) :])) / divisor) * divisor
        size = np.minimum(size, self._seen).astype(int)
        first = np.clip(np.rint((start + stop - size) / 2), 0, self._seen - size).astype(int)
        return _between(first, first + size)

    def _cut(self, t: int, box: Box, image: NDArray[np.float32], others: set[int]) -> Place:
        """Cut a box out; what is judged in others does not count there."""
        shape, pieces = self._dataset.shape, self._pieces[t]
        last = np.minimum(np.ceil(box.end / self._ratio), shape).astype(int)
        stored = _between(np.floor(box.origin / self._ratio).astype(int), last)
        judged = [
            i
            for i in np.flatnonzero(self._held[t]).tolist()
            if i not in others and _covers(stored, block_of(pieces, i, shape))
        ]
        labels, ratio = self._dataset.read_labels(t, stored), tuple((1 / self._ratio).tolist())
        cut = np.ascontiguousarray(image[box.slices])
        is_cut = (np.array(box.origin) > 0, np.array(box.end) < np.array(self._seen))
        return Place(t, cut, labels, stored, ratio, is_cut, judged)


def _between(start: NDArray[np.int_], stop: NDArray[np.int_]) -> Box:
    return Box(tuple(start.tolist()), tuple((stop - start).tolist()))


def _covers(box: Box, block: Sequence[slice]) -> bool:
    return all(o <= s.start and s.stop <= e for s, o, e in zip(block, box.origin, box.end, strict=True))
