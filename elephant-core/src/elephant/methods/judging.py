"""How good a model is on what is held out of its training, seen in small boxes around it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elephant.device import mixed_precision
from elephant.methods.pieces import LabelledPieces
from elephant.models.ensemble import Ensemble
from elephant.models.provenance import HeldOutScore
from elephant.progress import CancelToken
from elephant.training.networks import CropParams


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a model did.

    Attributes
    ----------
    score
        On all that is judged.
    earlier
        On what was annotated at earlier timepoints; None where that is nothing.
    """

    score: HeldOutScore
    earlier: HeldOutScore | None


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A box around annotations.

    Attributes
    ----------
    t
        The timepoint.
    images
        What the network sees of it, (inputs, (Z), Y, X).
    judged
        The pieces that are judged here.
    """

    t: int
    images: NDArray[np.float32]
    judged: Sequence[int]


P = TypeVar("P", bound=Place)
L = TypeVar("L", bound=LabelledPieces)


class Judge(ABC, Generic[P, L]):
    """Judges a model by annotations in places `P`, which are pieces `L`.

    Parameters
    ----------
    places
        What is seen.
    pieces
        What was annotated at each timepoint.
    earlier
        The timepoints that were annotated earlier.
    params
        Of the training.
    every
        Epochs between two judgements, so that they take little of the time.
    """

    def __init__(
        self,
        places: Sequence[P],
        pieces: Mapping[int, L],
        earlier: frozenset[int],
        params: CropParams,
        every: int,
    ) -> None:
        self.every = every
        self._places = sorted(places, key=lambda place: place.images.shape)
        self._pieces, self._earlier = dict(pieces), earlier
        at_once = params.loop.batch_size * math.prod(params.crop_size)
        self._most_at_once = max(at_once // max(math.prod(place.images.shape[1:]) for place in places), 1)

    def is_like(self, other: "AnyJudge") -> bool:
        """Tell whether another one judges by the same annotations."""
        return self.judged() == other.judged()

    def judged(self) -> list[tuple[int, list[list[float]]]]:
        """Return the timepoint of each place, and what tells apart what is judged there, such as its centre."""
        return [(place.t, self._pieces[place.t].coordinates()[list(place.judged)].tolist()) for place in self._places]

    @property
    def n_nuclei(self) -> int:
        """How many nuclei are judged."""
        return sum(int(self._pieces[place.t].is_nucleus[place.judged].sum()) for place in self._places)

    @abstractmethod
    def judge(self, model: Ensemble, cancel: CancelToken) -> Judgement:
        """Judge a model, in evaluation mode.

        Raises
        ------
        elephant.errors.Cancelled
            `cancel` asked for the end.
        """

    @abstractmethod
    def _wanted(self, output: Tensor) -> Tensor:
        """Return what is looked at of the network's output, (N, outputs, (Z), Y, X)."""

    def _seen(self, model: Ensemble, cancel: CancelToken) -> Iterator[tuple[P, NDArray[np.float32]]]:
        """Yield the places with what is wanted of the output there; those of a size go through together."""
        device = next(model.parameters()).device
        for _, group in groupby(self._places, lambda place: place.images.shape):
            here = list(group)
            for i in range(0, len(here), self._most_at_once):
                cancel.check()
                some = here[i : i + self._most_at_once]
                images = torch.from_numpy(np.stack([place.images for place in some])).to(device)
                with torch.inference_mode(), mixed_precision(device, trains=False):
                    outputs = self._wanted(model(images)).float().cpu().numpy()
                yield from zip(some, outputs, strict=True)


AnyJudge = Judge[Any, Any]
