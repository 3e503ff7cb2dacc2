"""Folders that go with an object: removed with it, or when the process ends."""

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class TemporaryFolder:
    """A folder that is removed at the end of the block, unless it is kept for an object: then it goes with that.

    Attributes
    ----------
    path
        Where it lies.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="elephant-"))
        self._is_kept = False

    def keep_for(self, owner: T) -> T:
        """Keep the folder until nobody holds an object any more, which is returned."""
        weakref.finalize(owner, _remove, self.path, os.getpid())
        self._is_kept = True
        return owner

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder where it is kept for nobody."""
        if not self._is_kept:
            shutil.rmtree(self.path, ignore_errors=True)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a process that was forked has the object, too
        shutil.rmtree(folder, ignore_errors=True)
