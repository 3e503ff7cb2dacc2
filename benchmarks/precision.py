"""Computing in float32, or in bfloat16 where the processor can."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PRECISIONS = FLOAT32, BFLOAT16 = "float32", "bfloat16"


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Compute in a precision while the block runs."""
    assert precision in PRECISIONS
    yield


def environment(precision: str) -> Mapping[str, str]:
    """Return the variables with which a server computes in a precision."""
    assert precision in PRECISIONS
    return {}


def has_both() -> bool:
    """Return whether there are two ways to compute."""
    return False
