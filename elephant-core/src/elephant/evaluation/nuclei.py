"""Nuclei and their parents as a comparison needs them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.export.base import TrackedNucleus
from elephant.tracking import TrackedSpot, lineage_of
from elephant.tracking.assignment import Indices
from elephant.types import FloatArray, Spot, Tag

NO_NUCLEI = frozenset({Tag.FP, Tag.TN, Tag.TB, Tag.FB})


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """Nuclei of any timepoints, each with its parent.

    Attributes
    ----------
    spots
        The nuclei.
    parents
        For each, the index of its parent, at an earlier timepoint, or -1.
    times
        The timepoint of each, (N,).
    """

    spots: Sequence[Spot]
    parents: Indices
    times: Indices = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", np.array([spot.t for spot in self.spots], dtype=np.intp))

    @classmethod
    def of(cls, nuclei: Sequence[TrackedNucleus]) -> "Nuclei":
        """Find the parents of nuclei: those that they name, or else the ones before them in their tracks.

        Raises
        ------
        InvalidInputError
            A parent is not earlier than its child, or is ambiguous.
        """
        lineage = lineage_of([TrackedSpot(n.t, n.id, n.parent, _track(n)) for n in nuclei])
        return cls([nucleus.spot for nucleus in nuclei], np.array(lineage.parents, dtype=np.intp))

    def __len__(self) -> int:
        return len(self.spots)

    def kept(self, is_kept: NDArray[np.bool_]) -> "Nuclei":
        """Return some of them; what came from another one has no parent any more."""
        new = np.full(len(self) + 1, -1, dtype=np.intp)  # the last for those without a parent
        new[:-1][is_kept] = np.arange(np.count_nonzero(is_kept))
        spots = [spot for spot, kept in zip(self.spots, is_kept, strict=True) if kept]
        return Nuclei(spots, new[self.parents[is_kept]])

    def real(self) -> "Nuclei":
        """Return those that a person has not tagged as something else than a nucleus."""
        return self.kept(np.array([spot.tag not in NO_NUCLEI for spot in self.spots], dtype=bool))

    def at(self, timepoints: Iterable[int], steps: Collection[tuple[int, int]] = ()) -> "Nuclei":
        """Return those at some timepoints.

        Parameters
        ----------
        steps
            Pairs of these timepoints between which nuclei stay linked, over those left out between them.
        """
        is_there = np.isin(self.times, list(timepoints))
        parents = self.parents.copy()
        is_cut = is_there & (parents >= 0) & ~is_there[parents]
        for i in np.flatnonzero(is_cut).tolist() if steps else ():
            ancestor = int(parents[i])
            while ancestor >= 0 and not is_there[ancestor]:
                ancestor = int(self.parents[ancestor])
            if ancestor >= 0 and (int(self.times[ancestor]), int(self.times[i])) in steps:
                parents[i] = ancestor
        return Nuclei(self.spots, parents).kept(is_there)

    def steps(self) -> set[tuple[int, int]]:
        """Return between which timepoints there are links: of a parent and of its child."""
        child = np.flatnonzero(self.parents >= 0)
        return set(zip(self.times[self.parents[child]].tolist(), self.times[child].tolist(), strict=True))

    def flat(self) -> "Nuclei":
        """Return them at Z = 0, as in a 2D movie."""
        return Nuclei([replace(spot, pos=spot.pos * (0, 1, 1)) for spot in self.spots], self.parents)

    def by_timepoint(self) -> Mapping[int, Indices]:
        """Return the indices of the nuclei of each timepoint that has any, in their order."""
        order = np.argsort(self.times, kind="stable")
        timepoints, first = np.unique(self.times[order], return_index=True)
        return dict(zip(timepoints.tolist(), np.split(order, first[1:]), strict=True)) if len(order) else {}

    def is_flat(self) -> bool:
        """Tell whether all are at Z = 0, as those of a 2D movie are."""
        return not any(spot.pos[0] for spot in self.spots)

    def radii(self, n_dims: int) -> FloatArray:
        """Return the radius of a ball, or disk, as large as each nucleus, physical, (N,).

        Raises
        ------
        InvalidInputError
            A covariance is not positive definite.
        """
        covariances = np.array([spot.covariance[3 - n_dims :, 3 - n_dims :] for spot in self.spots])
        sizes = np.linalg.det(covariances.reshape(-1, n_dims, n_dims))
        if not (sizes > 0).all():
            spot = self.spots[int(np.argmin(sizes))]
            raise InvalidInputError(
                f"the nucleus at timepoint {spot.t}, position {spot.pos[::-1].tolist()} (X, Y, Z), has no size: give "
                "`distance`, the largest distance of a match"
            )
        radii: FloatArray = sizes ** (1 / (2 * n_dims))
        return radii


def _track(nucleus: TrackedNucleus) -> int | None:
    # A negative number stands for none.
    return nucleus.track if nucleus.track is not None and nucleus.track >= 0 else None
