"""The part of the annotations that a training does not learn from, so that it can be judged by it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from elephant.config import ImageParams
from elephant.dataset import Dataset
from elephant.methods.judging import Judge, Place
from elephant.methods.pieces import LEAST_NUCLEI, Flags, LabelledPieces, block_of, choose
from elephant.models.unet import dividing_size
from elephant.training.networks import CropParams
from elephant.types import Box, FloatArray, Shape, VoxelSize

# Voxels that are seen for each one that is trained on: a network in training takes four times as long for one, so that
# judging takes 7% of the time.
_SHARE_OF_VOXELS = 0.25
_LEAST_PLACES = 2


class HeldOutParams(CropParams, Protocol):
    """What is needed of the parameters of a training; see :mod:`elephant.config`."""

    @property
    def image(self) -> ImageParams:
        """What happens to a timepoint before the network sees it."""

    @property
    def held_out(self) -> float:
        """Share of the annotations that is held out."""


class Hides(Protocol):
    """The voxels of what is held out of a timepoint."""

    def hide(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return values of voxels, (Z), Y, X, with 0 in these; the given ones stay as they are."""

    def holds(self, voxels: NDArray[np.int64]) -> Flags:
        """Tell which voxels, (N, n), belong to what is held out."""


L = TypeVar("L", bound=LabelledPieces)
P = TypeVar("P", bound=Place)
S = TypeVar("S")


class HeldOut(ABC, Generic[L, P, S]):
    """What is held out of a training, or of a live session in which labels change.

    Its types: what is annotated are pieces `L`, which are judged in places `P`; crops are cut out of samples `S`.

    Parameters
    ----------
    dataset
        Whose labels are read; they stay as they are.
    params
        Of the training.
    voxel_size
        Of the stored image.
    n_keep_axials
        How many of the network's poolings leave Z alone.
    is_first
        Whether the dataset has no labels yet.
    """

    margin: Shape
    """What is seen around what is judged, voxels of the network's input, Z, Y, X."""

    def __init__(
        self, dataset: Dataset, params: HeldOutParams, voxel_size: VoxelSize, n_keep_axials: int, *, is_first: bool
    ) -> None:
        self._dataset, self._image, self._loop = dataset, params.image, params.loop
        self._crop_size, self._share = params.crop_size, params.held_out
        self._voxel_size = np.array(voxel_size.last(dataset.n_dims))
        self._divisor = np.array(dividing_size(dataset.n_dims, n_keep_axials))
        self._seen = params.image.input_size or dataset.shape
        self._ratio = np.array(self._seen) / dataset.shape  # seen voxels along a stored one
        self._is_first = is_first
        self._pieces: dict[int, L] = {}
        self._held: dict[int, Flags] = {}
        self._hidden: dict[int, Hides] = {}
        self._earlier: frozenset[int] = frozenset()

    def note(self, timepoints: Sequence[int]) -> None:
        """Take note of the labels of some timepoints: what they lack when they are written is new."""
        for t in timepoints:
            self._pieces[t] = self._read(t)

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
        for t in [] if self._is_first else timepoints:
            kept[t] |= self._are_new(found[t], before.get(t))
        self._is_first = False
        self._held = choose(found, kept, self._share, self._voxel_size.tolist())
        hidden = {t: self._hide_some(t, flags) for t, flags in self._held.items() if flags.any()}
        self._hidden = {t: one for t, one in hidden.items() if one is not None}

    def teaches(self, t: int, positions: FloatArray) -> FloatArray:
        """Return the positions, physical, (N, 3), Z, Y, X, that are not held out of a timepoint."""
        if t not in self._hidden:
            return positions
        voxels = np.rint(positions[:, 3 - len(self._voxel_size) :] / self._voxel_size).astype(np.int64)
        return positions[~self._hidden[t].holds(voxels)]

    @abstractmethod
    def hide(self, t: int, sample: S) -> S:
        """Return a labelled timepoint, as the network sees it, without the labels of what is held out."""

    def judge(self, samples: Callable[[int], S]) -> Judge[P, L] | None:
        """Cut out what is judged after an epoch; None where nothing is held out.

        Parameters
        ----------
        samples
            Gives the timepoints as the network sees them.
        """
        places, n_voxels = list[P](), 0
        crop = math.prod(map(min, self._crop_size, self._seen))
        budget = _SHARE_OF_VOXELS * crop * self._loop.n_crops * max(len(self._held.keys() - self._earlier), 1)
        for t, i in self._in_turns():
            others = {int(j) for place in places if place.t == t for j in place.judged}
            if i in others:
                continue
            box = self._box(t, i)
            n_more = math.prod(box.size)
            if n_voxels + n_more > budget and len(places) >= _LEAST_PLACES:
                break
            n_voxels += n_more
            places.append(self._cut(t, box, samples(t), others))
        if not places:
            return None
        return self._judge(places, self._pieces, max(math.ceil(n_voxels / budget), 1))

    @abstractmethod
    def _read(self, t: int) -> L:
        """Return what is annotated at a timepoint, as its labels say."""

    @abstractmethod
    def _are_new(self, pieces: L, before: L | None) -> Flags:
        """Tell which are corrections that nothing was trained on yet; of a dataset's first annotations none is.

        Parameters
        ----------
        before
            What was annotated at the timepoint before; None if nothing was.
        """

    @abstractmethod
    def _hide_some(self, t: int, is_held: Flags) -> Hides | None:
        """Return the voxels of what is held out of a timepoint; None, and no flags, where nothing else is labelled."""

    @abstractmethod
    def _cut(self, t: int, box: Box, sample: S, others: set[int]) -> P:
        """Cut a box out of a timepoint; what is judged in others does not count there."""

    @abstractmethod
    def _judge(self, places: Sequence[P], pieces: Mapping[int, L], every: int) -> Judge[P, L] | None:
        """Return what judges a model in places; None where nothing can be said of it there."""

    def _in_turns(self) -> Iterator[tuple[int, int]]:
        """Yield what is held out, one of each timepoint after the other."""
        held = [[(t, i) for i in np.flatnonzero(flags).tolist()] for t, flags in self._held.items()]
        yield from (one for turn in zip_longest(*held) for one in turn if one is not None)

    def _box(self, t: int, i: int) -> Box:
        """Return what is seen of a piece and around it, in the image as the network sees it."""
        block = block_of(self._pieces[t], i, self._dataset.shape)
        start = np.array([s.start for s in block]) * self._ratio
        stop = np.array([s.stop for s in block]) * self._ratio
        size = np.ceil((stop - start + 2 * np.array(self.margin[-len(block) :])) / self._divisor) * self._divisor
        size = np.minimum(size, self._seen).astype(int)
        first = np.clip(np.rint((start + stop - size) / 2), 0, self._seen - size).astype(int)
        return _between(first, first + size)

    def _stored(self, box: Box) -> Box:
        """Return where a box of what the network sees lies in the stored image."""
        last = np.minimum(np.ceil(box.end / self._ratio), self._dataset.shape).astype(int)
        return _between(np.floor(box.origin / self._ratio).astype(int), last)

    def _judged_in(self, t: int, stored: Box, others: set[int]) -> list[int]:
        """Return what is held out and lies in a box of the stored image, apart from others."""
        return [
            i
            for i in np.flatnonzero(self._held[t]).tolist()
            if i not in others and _covers(stored, block_of(self._pieces[t], i, self._dataset.shape))
        ]


def _between(start: NDArray[np.int_], stop: NDArray[np.int_]) -> Box:
    return Box(tuple(start.tolist()), tuple((stop - start).tolist()))


def _covers(box: Box, block: Sequence[slice]) -> bool:
    return all(o <= s.start and s.stop <= e for s, o, e in zip(block, box.origin, box.end, strict=True))


AnyHeldOut = HeldOut[Any, Any, Any]
