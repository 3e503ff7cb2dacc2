"""How good a flow model is on linked nuclei: how much of their motion it does not explain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from elephant.config import FlowTrainingParams
from elephant.methods.judging import Judge, Judgement, Place
from elephant.methods.linked_pieces import LinkedPieces
from elephant.models.ensemble import Ensemble
from elephant.models.provenance import HeldOutScore
from elephant.progress import CancelToken
from elephant.types import FloatArray

_LEAST_MOTION = 1e-3  # of a voxel, on average: what moves less stands still


@dataclass(frozen=True, slots=True, eq=False)
class LinkPlace(Place):
    """A box around linked nuclei, seen at both timepoints.

    Attributes
    ----------
    voxels
        For each that is judged its voxels in the box, (M, n), (Z), Y, X.
    """

    voxels: Sequence[NDArray[np.int64]]


class LinkJudge(Judge[LinkPlace, LinkedPieces]):
    """Judges a flow model by links: the distance that is left from where it says that nuclei were to where they were.

    It is given over the distance without a flow, both summed over the links: 0 is right, 1 is no flow.

    Parameters
    ----------
    places, pieces, earlier, params, every
        As of :class:`.Judge`.
    """

    def __init__(
        self,
        places: Sequence[LinkPlace],
        pieces: Mapping[int, LinkedPieces],
        earlier: frozenset[int],
        params: FlowTrainingParams,
        every: int,
    ) -> None:
        super().__init__(places, pieces, earlier, params, every)
        n_dims = places[0].images.ndim - 1
        self._norm = np.array(params.displacement.norm(n_dims))
        self._voxel_size = np.array(params.displacement.voxel_size.last(n_dims))

    @property
    def is_possible(self) -> bool:
        """Whether the nuclei move at all."""
        moved = [abs(self._pieces[place.t].displacement[list(place.judged)]).max(axis=1) for place in self._places]
        return float(np.concatenate(moved).mean()) > _LEAST_MOTION

    @override
    def judge(self, model: Ensemble, cancel: CancelToken) -> Judgement:
        found = [(place.t in self._earlier, self._distances(place, flow)) for place, flow in self._seen(model, cancel)]
        earlier = [distances for is_earlier, distances in found if is_earlier]
        return Judgement(score_of([d for _, d in found]), score_of(earlier) if earlier else None)

    @override
    def _wanted(self, output: Tensor) -> Tensor:
        return output

    def _distances(self, place: LinkPlace, flow: NDArray[np.float32]) -> FloatArray:
        """Return how far each nucleus is from where it was with the flow, (n, (Z), Y, X), and without it, (N, 2)."""
        true = self._pieces[place.t].displacement[list(place.judged)] * self._voxel_size
        said = [flow[(slice(None), *voxels.T)].mean(axis=1, dtype=np.float64) for voxels in place.voxels]
        left = (np.array(said).reshape(true.shape) * self._norm)[:, ::-1] * self._voxel_size - true
        return np.stack([np.linalg.norm(left, axis=1), np.linalg.norm(true, axis=1)], axis=1)


def score_of(distances: Sequence[FloatArray]) -> HeldOutScore:
    """Return distances with and without a flow as a score for the provenance."""
    every = np.concatenate(distances)
    left, without = every.sum(axis=0).tolist()
    return HeldOutScore(n_nuclei=len(every), distance_left=round(left / without, 4) if without > 0 else None)
