"""What the suite of bad inputs and faults is made of: cases, each of them one thing that must not break the server."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# A bad input is answered, and after a fault the server works again, within so many seconds.
INPUT_LIMIT_S = 10.0
RECOVERY_LIMIT_S = 30.0
_SPIN_S = 0.2


def recovery_limit_s() -> float:
    """Return the seconds in which the server must work again: more where this process gets a part of a core only.

    A worker that starts again imports PyTorch, which takes seconds of a core; while other tests run beside this one,
    that is several times as long.
    """
    began, used = time.monotonic(), time.process_time()
    while (spun := time.process_time() - used) < _SPIN_S:
        pass
    return RECOVERY_LIMIT_S * max(1.0, (time.monotonic() - began) / spun)


class NotPossibleError(Exception):
    """A case cannot be played on this machine; it says what is missing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One bad input or one fault.

    Attributes
    ----------
    name
        What is done, in words that make a line of the report: ``"seg/train: n_crops is 0"``.
    play
        Does it to a running server and asserts what has to hold; takes the ground that its module provides.
    is_short
        Whether it is part of ``make test``; the whole suite plays all of them.
    """

    name: str
    play: Callable[[Any], None]
    is_short: bool = False
