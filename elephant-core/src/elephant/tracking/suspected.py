"""Divisions that may be there, as a linker tells them and as they are kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

from elephant.tracking.assignment import Indices
from elephant.types import FloatArray

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SuspectedDivision:
    """A division that may be there, for a person to confirm.

    Attributes
    ----------
    mother, daughters
        Indices of the spots.
    probability
        That it is one.
    is_chosen
        Whether it is part of the solution.
    """

    mother: int
    daughters: Pair
    probability: float
    is_chosen: bool


@dataclass(frozen=True, slots=True, eq=False)
class SuspectedDivisions(Sequence[SuspectedDivision]):
    """Divisions that may be there, as arrays: a large movie has many.

    Attributes
    ----------
    spots
        Indices of the mother and the daughters of each, (k, 3).
    probability
        Of each, (k,).
    is_chosen
        Which are part of the solution, (k,).
    """

    spots: Indices
    probability: FloatArray
    is_chosen: NDArray[np.bool_]

    @classmethod
    def none(cls) -> Self:
        """Return no divisions."""
        return cls(np.empty((0, 3), dtype=np.intp), np.empty(0), np.empty(0, dtype=bool))

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Return those of parts, in their order."""
        listed = [cls.none(), *parts]
        spots, probability, is_chosen = (
            np.concatenate([getattr(part, name) for part in listed]) for name in ("spots", "probability", "is_chosen")
        )
        return cls(spots, probability, is_chosen)

    def take(self, which: Indices | NDArray[np.bool_]) -> Self:
        """Return some of them."""
        return type(self)(self.spots[which], self.probability[which], self.is_chosen[which])

    def __len__(self) -> int:
        return len(self.probability)

    @overload
    def __getitem__(self, k: int) -> SuspectedDivision: ...
    @overload
    def __getitem__(self, k: slice) -> Self: ...
    def __getitem__(self, k: int | slice) -> SuspectedDivision | Self:
        if isinstance(k, slice):
            return self.take(np.arange(len(self))[k])
        mother, one, other = self.spots[k].tolist()
        return SuspectedDivision(mother, (one, other), float(self.probability[k]), bool(self.is_chosen[k]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SuspectedDivisions) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in ("spots", "probability", "is_chosen")
        )

    __hash__ = None  # type: ignore[assignment]
