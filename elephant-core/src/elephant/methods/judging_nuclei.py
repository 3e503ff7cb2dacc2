"""How good a detection model is on annotated nuclei."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from elephant.components import components_above
from elephant.config import DetectionTrainingParams
from elephant.evaluation.counts import Counts
from elephant.methods.judging import Judge, Judgement, Place
from elephant.methods.pieces import LabelledPieces
from elephant.models.ensemble import Ensemble
from elephant.models.losses import CENTRE_CHANNEL
from elephant.models.provenance import HeldOutScore, finite
from elephant.progress import CancelToken
from elephant.tracking.assignment import assign, near_pairs
from elephant.types import Box, FloatArray, Label

_CUT = 4  # voxels from where a box was cut within which nothing counts: a nucleus may be seen in part
_P_THRESH = 0.5
_BACKGROUND = (Label.BACKGROUND, Label.FALSE_BACKGROUND)
_NONE = Counts(0, 0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class NucleiPlace(Place):
    """A box around annotated nuclei.

    Attributes
    ----------
    labels, box
        The labels of the stored image, and where they lie in it.
    ratio
        Stored voxels along one that the network sees.
    is_cut
        Whether the image goes on before and behind the box, two arrays, (n,).
    """

    labels: NDArray[np.uint8]
    box: Box
    ratio: tuple[float, ...]
    is_cut: tuple[NDArray[np.bool_], NDArray[np.bool_]]

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


class NucleiJudge(Judge[NucleiPlace, LabelledPieces]):
    """Judges a detection model by annotated nuclei.

    A nucleus is found where the model finds one within the median radius of those annotated, one to one. What it finds
    is wrong on annotated background, and where it is a second one of a nucleus that is judged. Where nothing is
    annotated, it is neither right nor wrong.

    Parameters
    ----------
    places, pieces, earlier, params, every
        As of :class:`.Judge`.
    """

    def __init__(
        self,
        places: Sequence[NucleiPlace],
        pieces: Mapping[int, LabelledPieces],
        earlier: frozenset[int],
        params: DetectionTrainingParams,
        every: int,
    ) -> None:
        super().__init__(places, pieces, earlier, params, every)
        n_dims = places[0].labels.ndim
        edges = np.array(params.labels.voxel_size.last(n_dims))
        self._voxel_size = edges
        nuclei = [self._pieces[t] for t in sorted({place.t for place in places})]
        radii = np.concatenate([p.radii(edges.tolist())[p.is_nucleus] for p in nuclei])
        self._distance = float(np.median(radii))
        least = min(p.semi_axes(edges.tolist())[p.is_nucleus].min(initial=np.inf) for p in nuclei)
        # Of a found centre, physical: half as large along each axis as the smallest one annotated.
        ball = 4 / 3 * np.pi if n_dims == 3 else np.pi
        self._least_volume = ball * (params.labels.c_ratio * least / 2) ** n_dims

    @override
    def judge(self, model: Ensemble, cancel: CancelToken) -> Judgement:
        found = [(place.t, self._counts(place, centre)) for place, centre in self._seen(model, cancel)]
        earlier = sum((counts for t, counts in found if t in self._earlier), _NONE)
        of_all = score_of(sum((counts for _, counts in found), _NONE))
        return Judgement(of_all, score_of(earlier) if earlier.n_true else None)

    @override
    def _wanted(self, output: Tensor) -> Tensor:
        return output[:, CENTRE_CHANNEL].float().exp()

    def _counts(self, place: NucleiPlace, probability: NDArray[np.float32]) -> Counts:
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

    def _are_wrong(self, place: NucleiPlace, voxels: FloatArray) -> Iterator[bool]:
        """Tell for found nuclei, (N, n), which belong to no annotated one, whether they are wrong."""
        judged = self._pieces[place.t].some([i for i in place.judged if self._pieces[place.t].is_nucleus[i]])
        for voxel in voxels[place.counts_at(voxels)]:
            yield bool((judged.distances(voxel) < 1).any()) or place.label_at(voxel) in _BACKGROUND


def score_of(counts: Counts) -> HeldOutScore:
    """Return counts as a score for the provenance."""
    shares = {name: finite(getattr(counts, name)) for name in ("f1", "precision", "recall")}
    return HeldOutScore(n_nuclei=counts.n_true, **{k: None if v is None else round(v, 4) for k, v in shares.items()})
