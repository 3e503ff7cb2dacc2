"""How good a detection model is on annotated nuclei, seen in small boxes around them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from elephant.components import components_above
from elephant.config import DetectionTrainingParams
from elephant.device import mixed_precision
from elephant.evaluation.counts import Counts
from elephant.methods.pieces import LabelledPieces
from elephant.models.ensemble import Ensemble
from elephant.models.losses import CENTRE_CHANNEL
from elephant.progress import CancelToken
from elephant.tracking.assignment import assign, near_pairs
from elephant.types import Box, FloatArray, Label

_CUT = 4  # voxels from where a box was cut within which nothing counts: a nucleus may be seen in part
_P_THRESH = 0.5
_BACKGROUND = (Label.BACKGROUND, Label.FALSE_BACKGROUND)
_NONE = Counts(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a model did.

    Attributes
    ----------
    counts
        Of all nuclei that are judged.
    earlier
        Of those at timepoints that were annotated earlier.
    """

    counts: Counts
    earlier: Counts


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A box around annotated nuclei.

    Attributes
    ----------
    t
        The timepoint.
    image
        What the network sees of it, (Z), Y, X.
    labels, box
        The labels of the stored image, and where they lie in it.
    ratio
        Stored voxels along one that the network sees.
    is_cut
        Whether the image goes on before and behind the box, two arrays, (n,).
    judged
        The pieces that are judged here.
    """

    t: int
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    box: Box
    ratio: tuple[float, ...]
    is_cut: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    judged: Sequence[int]

    def counts_at(self, voxels: FloatArray) -> NDArray[np.bool_]:
        """Tell which voxels of the stored image, (N, n), are far enough from a cut."""
        rim = _CUT * np.array(self.ratio)
        low = np.where(self.is_cut[0], np.array(self.box.origin) + rim, -np.inf)
        high = np.where(self.is_cut[1], np.array(self.box.end) - 1 - rim, np.inf)
        return np.asarray(((voxels >= low) & (voxels <= high)).all(axis=1))

    def label_at(self, voxel: FloatArray) -> int:
        """Return the label at a voxel of the stored image, (n,)."""
        place = np.clip(np.rint(voxel) - self.box.origin, 0, np.array(self.labels.shape) - 1).astype(int)
        return int(self.labels[tuple(place)])


class Judge:
    """Judges a model by annotated nuclei.

    A nucleus is found where the model finds one within the median radius of those annotated, one to one. What it finds
    is wrong on annotated background, and where it is a second one of a nucleus that is judged. Where nothing is
    annotated, it is neither right nor wrong.

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
        places: Sequence[Place],
        pieces: Mapping[int, LabelledPieces],
        earlier: frozenset[int],
        params: DetectionTrainingParams,
        every: int,
    ) -> None:
        self.every = every
        self._places = sorted(places, key=lambda place: place.image.shape)
        self._pieces, self._earlier = dict(pieces), earlier
        n_dims = places[0].image.ndim
        edges = np.array(params.labels.voxel_size.last(n_dims))
        self._voxel_size = edges
        nuclei = [self._pieces[t] for t in sorted({place.t for place in places})]
        radii = np.concatenate([p.radii(edges.tolist())[p.is_nucleus] for p in nuclei])
        self._distance = float(np.median(radii))
        least = min(p.semi_axes(edges.tolist())[p.is_nucleus].min(initial=np.inf) for p in nuclei)
        at_once = params.loop.batch_size * math.prod(params.crop_size)
        self._most_at_once = max(at_once // max(place.image.size for place in places), 1)
        # Of a found centre, physical: half as large along each axis as the smallest one annotated.
        ball = 4 / 3 * np.pi if n_dims == 3 else np.pi
        self._least_volume = ball * (params.labels.c_ratio * least / 2) ** n_dims

    def is_like(self, other: "Judge") -> bool:
        """Tell whether another one judges by the same nuclei."""
        return self.nuclei() == other.nuclei()

    def nuclei(self) -> list[tuple[int, list[list[float]]]]:
        """Return the timepoint of each place, and the centres of what is judged there, voxels, (Z), Y, X."""
        return [(place.t, self._pieces[place.t].centres[list(place.judged)].tolist()) for place in self._places]

    @property
    def n_nuclei(self) -> int:
        """How many nuclei are judged."""
        return sum(int(self._pieces[place.t].is_nucleus[place.judged].sum()) for place in self._places)

    def judge(self, model: Ensemble, cancel: CancelToken) -> Judgement:
        """Judge a model, in evaluation mode.

        Raises
        ------
        elephant.errors.Cancelled
            `cancel` asked for the end.
        """
        found = [(place.t, self._counts(place, centre)) for place, centre in self._seen(model, cancel)]
        earlier = (counts for t, counts in found if t in self._earlier)
        return Judgement(sum((counts for _, counts in found), _NONE), sum(earlier, _NONE))

    def _seen(self, model: Ensemble, cancel: CancelToken) -> Iterator[tuple[Place, NDArray[np.float32]]]:
        """Yield the places with the probabilities of a centre there, (Z), Y, X; those of a size go through together."""
        device = next(model.parameters()).device
        for _, group in groupby(self._places, lambda place: place.image.shape):
            here = list(group)
            for i in range(0, len(here), self._most_at_once):
                cancel.check()
                some = here[i : i + self._most_at_once]
                images = torch.from_numpy(np.stack([place.image for place in some]))[:, None].to(device)
                with torch.inference_mode(), mixed_precision(device, trains=False):
                    centres = model(images)[:, CENTRE_CHANNEL].float().exp().cpu().numpy()
                yield from zip(some, centres, strict=True)

    def _counts(self, place: Place, probability: NDArray[np.float32]) -> Counts:
        components = components_above(_P_THRESH, probability)
        ratio = np.array(place.ratio)
        middle = components.mean_index[components.count >= self._least_volume / np.prod(ratio * self._voxel_size)]
        found = middle * ratio + (ratio - 1) / 2 + place.box.origin
        pieces = self._pieces[place.t]
        nuclei = np.flatnonzero(pieces.is_nucleus)
        true, there = pieces.centres[nuclei] * self._voxel_size, found * self._voxel_size
        i, j, apart = near_pairs(true, there, self._distance, "the radius of a nucleus")
        i, j = assign(i, j, apart, self._distance)
        judged = set(place.judged) & set(nuclei.tolist())
        n_matched = len(judged & set(nuclei[i].tolist()))
        left = np.setdiff1d(np.arange(len(found)), j)
        n_wrong = sum(self._are_wrong(place, found[left]))
        return Counts(len(judged), n_matched + n_wrong, n_matched)

    def _are_wrong(self, place: Place, voxels: FloatArray) -> Iterator[bool]:
        """Tell for found nuclei, (N, n), which belong to no annotated one, whether they are wrong."""
        judged = self._pieces[place.t].some([i for i in place.judged if self._pieces[place.t].is_nucleus[i]])
        for voxel in voxels[place.counts_at(voxels)]:
            yield bool((judged.distances(voxel) < 1).any()) or place.label_at(voxel) in _BACKGROUND
