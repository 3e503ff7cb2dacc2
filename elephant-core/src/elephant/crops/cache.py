"""Keeping prepared timepoints in memory, up to a limit."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class _Sized(Protocol):
    @property
    def n_bytes(self) -> int: ...


V = TypeVar("V", bound=_Sized)


class TimepointCache(Generic[V]):
    """Calls `make` for a timepoint that it does not hold, and lets go of the one unused for longest when full.

    Parameters
    ----------
    make
        Makes what is kept of a timepoint.
    max_bytes
        Limit for all of them together; the one in use is kept in any case. 0: nothing is kept.
    """

    def __init__(self, make: Callable[[int], V], max_bytes: int) -> None:
        self._make = make
        self._max_bytes = max_bytes
        self._kept: OrderedDict[int, V] = OrderedDict()

    def __call__(self, t: int) -> V:
        """Return what belongs to timepoint `t`."""
        if t in self._kept:
            self._kept.move_to_end(t)
            return self._kept[t]
        value = self._make(t)
        if self._max_bytes == 0:
            return value
        self._kept[t] = value
        while len(self._kept) > 1 and sum(v.n_bytes for v in self._kept.values()) > self._max_bytes:
            self._kept.popitem(last=False)
        return value
