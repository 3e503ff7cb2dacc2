"""What joins the detections of a whole movie to lineages: the contract with a package that adds a linker.

A package adds a subclass of :class:`Linker` under the entry-point group ``elephant.linkers``.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.geometry import mean_radii
from elephant.progress import CancelToken, ProgressReporter
from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.timepoints import check_counted
from elephant.tracking.suspected import Pair, SuspectedDivisions
from elephant.types import FloatArray, Spot

NONE = -1
_SAME = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The spots of a movie, in the order of their timepoints.

    Attributes
    ----------
    timepoints
        Of each of the N spots, ascending, (N,).
    positions
        Physical, (N, 3), Z, Y, X.
    radii
        Physical, (N,); None where they are unknown.
    intensities
        Mean intensity of each, (N,), above 0; None where it is unknown.
    earlier
        Where each was at the timepoint before, from a flow model, physical, (N, 3); NaN where it is not known.

    Raises
    ------
    InvalidInputError
        Lengths differ, a number is not finite, a radius or an intensity is not above 0, or the timepoints do not
        ascend or are not counted.
    """

    timepoints: NDArray[np.int64]
    positions: FloatArray
    radii: FloatArray | None = None
    intensities: FloatArray | None = None
    earlier: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.timepoints)
        if self.positions.shape != (n, 3) or (self.earlier is not None and self.earlier.shape != (n, 3)):
            raise InvalidInputError(f"expected positions of shape ({n}, 3), one for each timepoint given, Z, Y, X")
        if not np.isfinite(self.positions).all():
            raise InvalidInputError("expected positions that are finite numbers: remove the spots that have none")
        if n and np.any(np.diff(self.timepoints) < 0):
            raise InvalidInputError("expected spots in the order of their timepoints: sort them")
        check_counted(self.timepoints)
        for name, values in (("radii", self.radii), ("intensities", self.intensities)):
            if values is not None and not (values.shape == (n,) and np.all(values > 0) and np.isfinite(values).all()):
                raise InvalidInputError(f"expected {n} {name} above 0, one for each spot, or none at all")

    def __len__(self) -> int:
        return len(self.timepoints)

    @classmethod
    def of(cls, spots: Sequence[Spot], earlier: FloatArray | None = None) -> Self:
        """Return those of spots, which are in the order of their timepoints."""
        covariances = np.array([spot.covariance for spot in spots]).reshape(-1, 3, 3)
        return cls(
            np.array([spot.t for spot in spots], dtype=np.int64),
            np.array([spot.pos for spot in spots], dtype=np.float64).reshape(-1, 3),
            useful_radii(mean_radii(covariances)),
            earlier=earlier,
        )


def useful_radii(radii: FloatArray) -> FloatArray | None:
    """Return the radii of spots, (N,); None where some are not known (NaN), or one for all says nothing."""
    says_something = len(radii) > 0 and np.isfinite(radii).all() and np.ptp(radii) > _SAME * radii.max()
    return radii if says_something else None


@dataclass(frozen=True, slots=True)
class Corrections:
    """What a person decided; spots are given by their indices.

    Attributes
    ----------
    links
        Confirmed links, (parent, child).
    cuts
        Links that are not there, (parent, child).
    starts
        Spots that have no parent.
    ends
        Spots that have no child.
    wrong
        Spots that are not nuclei: nothing is joined to them.
    undivided
        Spots that do not divide: they have one child at most.
    """

    links: frozenset[Pair] = frozenset()
    cuts: frozenset[Pair] = frozenset()
    starts: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()
    wrong: frozenset[int] = frozenset()
    undivided: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.links or self.cuts or self.starts or self.ends or self.wrong or self.undivided)

    def spots(self) -> set[int]:
        """Return all spots that something is decided of."""
        linked = {spot for pair in self.links | self.cuts for spot in pair}
        return {*self.starts, *self.ends, *self.wrong, *self.undivided, *linked}

    def check(self, timepoints: NDArray[np.int64], ids: NDArray[np.int64] | None = None) -> None:
        """Refuse what cannot be kept all at once.

        Parameters
        ----------
        timepoints
            Of the spots, (N,).
        ids
            What the spots are called in messages, (N,); by default their indices.

        Raises
        ------
        InvalidInputError
            A spot is not there, a link does not go forward in time, or two corrections contradict each other.
        """
        spots = self.spots()
        if spots and not 0 <= min(spots) <= max(spots) < len(timepoints):
            raise InvalidInputError(f"expected corrections of the {len(timepoints)} spots, got one of another spot")
        names = np.arange(len(timepoints)) if ids is None else ids
        children: dict[int, int] = {}
        parents: set[int] = set()
        for parent, child in self.links:
            if timepoints[parent] >= timepoints[child]:
                raise InvalidInputError(
                    f"the confirmed link of spot {names[parent]} (timepoint {timepoints[parent]}) to {names[child]} "
                    f"(timepoint {timepoints[child]}) does not go forward in time: give the earlier spot first"
                )
            if child in parents:
                raise InvalidInputError(
                    f"spot {names[child]} has two confirmed parents: expected one at most; remove one of these links"
                )
            parents.add(child)
            children[parent] = children.get(parent, 0) + 1
        self._check_contradictions(children, parents, names)

    def _check_contradictions(self, children: dict[int, int], parents: set[int], names: NDArray[np.int64]) -> None:
        crowded = [spot for spot, n in children.items() if n > 2]
        if crowded:
            raise InvalidInputError(
                f"spot {names[crowded[0]]} has more than two confirmed children: expected two at most; remove links"
            )
        for closed, linked, words in (
            (self.starts, parents, "start with a confirmed parent"),
            (self.ends, set(children), "end with a confirmed child"),
            (self.wrong, parents | set(children), "wrong spot with a confirmed link"),
            (self.undivided, {i for i, n in children.items() if n > 1}, "spot that does not divide, with two children"),
        ):
            both = closed & linked
            if both:
                raise InvalidInputError(f"spot {names[min(both)]} is a {words}: remove one of the two corrections")
        if self.links & self.cuts:
            parent, child = min(self.links & self.cuts)
            raise InvalidInputError(
                f"the link of spot {names[parent]} to {names[child]} is both confirmed and cut: remove one"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The lineages of a movie.

    Attributes
    ----------
    parents
        For each spot, the index of its parent at an earlier timepoint, or -1, (N,).
    probability
        That the parent, or that there is none, is right, (N,), 0 to 1; NaN where the linker does not tell.
    divisions
        Those that are found or suspected, the least certain first.
    ends
        For each spot, the probability that it has no child, (N,); None where the linker does not tell.
    """

    parents: Indices
    probability: FloatArray
    divisions: SuspectedDivisions = field(default_factory=SuspectedDivisions.none)
    ends: FloatArray | None = None


class Linker(ABC):
    """Joins detections to lineages; its constructor takes its parameters by name."""

    @abstractmethod
    def link(
        self,
        detections: Detections,
        corrections: Corrections,
        reporter: ProgressReporter,
        cancel: CancelToken,
    ) -> Solution:
        """Join the detections of a movie.

        Parameters
        ----------
        corrections
            Which the solution has to keep.

        Raises
        ------
        elephant.errors.Cancelled
            `cancel` asked for the end.
        elephant.errors.InvalidInputError
            The corrections contradict one another.
        """
