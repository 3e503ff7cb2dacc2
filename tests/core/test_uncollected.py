"""Imports without Python's collector of garbage."""

import gc
import weakref

import pytest

from elephant.memory import uncollected


class Part:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_imports_make_is_never_collected() -> None:
    before = gc.get_freeze_count()
    try:
        with uncollected():
            assert not gc.isenabled()
            kept = weakref.ref(Part())
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        gc.collect()
        assert kept() is not None
    finally:
        gc.unfreeze()
    gc.collect()
    assert kept() is None


def test_garbage_is_collected_again_after_an_import_that_fails() -> None:
    try:
        with pytest.raises(ImportError), uncollected():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
