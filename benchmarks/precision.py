"""Computing in float32, or in bfloat16 where the processor can."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from elephant.device import choose_precision, cpu_has_bfloat16

PRECISIONS = FLOAT32, BFLOAT16 = "float32", "bfloat16"
_NAMES = {FLOAT32: "float32", BFLOAT16: "auto"}


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Compute in a precision while the block runs."""
    choose_precision(_NAMES[precision])
    try:
        yield
    finally:
        choose_precision("auto")


def environment(precision: str) -> Mapping[str, str]:
    """Return the variables with which a server computes in a precision."""
    return {"ELEPHANT_PRECISION": _NAMES[precision]}


def has_both() -> bool:
    """Return whether there are two ways to compute."""
    return cpu_has_bfloat16()
