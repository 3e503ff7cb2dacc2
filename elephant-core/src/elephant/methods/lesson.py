"""What a training learns from: its timepoints, without what is held out, and some that were labelled before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.crops.sample import TimepointCache
from elephant.methods.base import AnyMethod
from elephant.methods.judging import AnyJudge
from elephant.methods.work import ModelWork
from elephant.types import FloatArray

# Timepoints that were labelled before and are replayed: each of them has to be read.
MOST_REPLAYED = 4


class Lesson:
    """The samples of a training, or of a live session, in which labels change.

    It is made before labels are written, so that it knows what is new.

    Parameters
    ----------
    method
        What is trained.
    work
        The dataset, and how much of it is kept in memory.
    params
        Of the training.
    timepoints
        Those whose labels will be written.
    """

    def __init__(self, method: AnyMethod, work: ModelWork, params: Any, timepoints: Sequence[int]) -> None:
        self._method, self._dataset, self._params = method, work.dataset, params
        self._cache = TimepointCache(self._read, work.cache_bytes)
        self._current: dict[int, _Prepared] = {}
        self._generation = 0  # of labels
        self._positions: dict[int, FloatArray] = {}
        self._held_out = method.held_out(work.dataset, params)
        self.replayed: list[int] = []
        if self._held_out is not None:
            labelled = set(method.labelled_timepoints(work.dataset))
            self._held_out.note([t for t in timepoints if t in labelled])

    def prepare(self, positions: Mapping[int, FloatArray]) -> None:
        """Take the labels of some timepoints as they are now, and choose what is held out of them and replayed.

        Parameters
        ----------
        positions
            For every timepoint where crops are cut, physical, (N, 3), Z, Y, X.
        """
        before = [t for t in self._method.labelled_timepoints(self._dataset) if t not in positions]
        earlier = [t for t in _spread(before, MOST_REPLAYED) if self._method.is_labelled(self._dataset, t)]
        self._generation += 1
        if self._held_out is not None:
            self._held_out.choose(list(positions), earlier)
        self._positions = {t: self._taught(t, found) for t, found in positions.items()}
        self.replayed = earlier

    def stay_at(self, t: int) -> None:
        """Keep the sample of a timepoint until the next one, however little may be kept."""
        self._current = {t: self._current.get(t) or self._cache(t)}

    def judge(self) -> AnyJudge | None:
        """Return what judges the model; None where nothing is held out."""
        return None if self._held_out is None else self._held_out.judge(self)

    def __call__(self, t: int) -> Any:
        """Return the sample of a timepoint."""
        prepared = self._current.get(t) or self._cache(t)
        if prepared.generation != self._generation:
            prepared.sample, prepared.generation = self._sample(t, prepared.images), self._generation
        return prepared.sample

    def _taught(self, t: int, positions: FloatArray) -> FloatArray:
        return positions if self._held_out is None else self._held_out.teaches(t, positions)

    def _read(self, t: int) -> "_Prepared":
        images = self._method.images(self._dataset, t, self._params)
        return _Prepared(images, self._sample(t, images), self._generation)

    def _sample(self, t: int, images: NDArray[np.float32]) -> Any:
        if t not in self._positions:
            found = self._method.labelled_positions(self._dataset, t, self._params)
            self._positions[t] = self._taught(t, found)
        sample = self._method.sample(self._dataset, t, self._positions[t], images, self._params)
        return sample if self._held_out is None else self._held_out.hide(t, sample)


@dataclass(slots=True, eq=False)
class _Prepared:
    """A timepoint for a cache: its images, and a sample with its labels as they were."""

    images: NDArray[np.float32]
    sample: Any
    generation: int

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        n_bytes: int = self.sample.n_bytes
        return n_bytes


def _spread(timepoints: Sequence[int], most: int) -> list[int]:
    """Return at most so many of some timepoints, spread evenly over them."""
    if len(timepoints) <= most:
        return list(timepoints)
    places = np.linspace(0, len(timepoints) - 1, most).round().astype(int)
    return [timepoints[i] for i in places.tolist()]
