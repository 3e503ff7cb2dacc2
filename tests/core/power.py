"""What a disk may hold after a power cut: recorded changes, replayed to every prefix without what was not forced.

A file system keeps changes of names (new, renamed, removed files and folders) in their order, and has all of those
before a folder was forced to the disk. What was written into a file is there when the file was forced; otherwise the
file may be empty, as on XFS or on ext4 with delayed allocation. See Pillai et al., *All File Systems Are Not Created
Equal*, OSDI 2014.
"""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_CHANGES = ("replace", "rename", "link", "unlink", "remove", "mkdir", "rmdir", "truncate", "ftruncate", "symlink")

Names = dict[str, int | None]  # a number for each file, by its path; None for a folder


@dataclass
class Recorded:
    """The states of a folder over time.

    Attributes
    ----------
    names
        What it held after each change, from before the first one on.
    contents
        What had been forced of each file by then.
    first_possible
        For each of them, the oldest change whose names may be all that is left.
    """

    names: list[Names] = field(default_factory=list)
    contents: list[dict[int, bytes]] = field(default_factory=list)
    first_possible: list[int] = field(default_factory=list)

    def after_a_cut(self, at: int) -> Iterator[dict[str, bytes | None]]:
        """Yield each possible state of the disk at a power cut after a change: contents by path."""
        for names in self.names[self.first_possible[at] : at + 1]:
            known = self.contents[at]
            yield {name: None if file is None else known.get(file, b"") for name, file in names.items()}

    def all_cuts(self) -> Iterator[tuple[int, dict[str, bytes | None]]]:
        """Yield every different state after a cut at any moment, with the number of changes before."""
        seen = []
        for at in range(len(self.names)):
            for state in self.after_a_cut(at):
                if state not in seen:
                    seen.append(state)
                    yield at, state


class _Recorder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.recorded = Recorded()
        self._files: dict[int, int] = {}  # by inode; inodes are used again, numbers are not
        self._n_files = 0
        self._contents: dict[int, bytes] = {}
        self._last_forced = 0
        self._lock = threading.RLock()
        self.look()
        for path in folder.rglob("*"):
            if path.is_file():
                self._contents[self._files[path.stat().st_ino]] = path.read_bytes()
        self.recorded.contents[0] |= self._contents

    def changing(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                done = change(*args, **kwargs)
                self.look()
                return done

        return wrapper

    def forcing(self, fsync: Callable[[Any], None]) -> Callable[[Any], None]:
        def wrapper(handle: Any) -> None:
            number = handle if isinstance(handle, int) else handle.fileno()
            with self._lock:
                fsync(number)
                self.look(forced=stat.S_ISDIR(os.fstat(number).st_mode))
                file = self._files.get(os.fstat(number).st_ino)
                if file is not None:
                    self._contents[file] = Path(f"/proc/self/fd/{number}").read_bytes()
                    self.look()

        return wrapper

    def look(self, *, forced: bool = False) -> None:
        """Take down what the folder holds."""
        names: Names = {}
        inodes = set()
        for parent, folders, files in os.walk(self._folder):
            place = Path(parent).relative_to(self._folder)
            names |= {(place / name).as_posix(): None for name in folders}
            for name in files:
                inode = Path(parent, name).lstat().st_ino
                inodes.add(inode)
                names[(place / name).as_posix()] = self._number_of(inode)
        self._files = {inode: file for inode, file in self._files.items() if inode in inodes}
        self.recorded.names.append(names)
        self.recorded.contents.append(dict(self._contents))
        if forced:
            self._last_forced = len(self.recorded.names) - 1
        self.recorded.first_possible.append(self._last_forced)

    def _number_of(self, inode: int) -> int:
        if inode not in self._files:
            self._n_files += 1
            self._files[inode] = self._n_files
        return self._files[inode]


@contextmanager
def recording(folder: Path) -> Iterator[Recorded]:
    """Record what happens to a folder within the block; what it holds before counts as being on the disk."""
    recorder = _Recorder(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in _CHANGES:
            patch.setattr(os, name, recorder.changing(getattr(os, name)))
        patch.setattr(os, "fsync", recorder.forcing(os.fsync))
        patch.setattr(os, "fdatasync", recorder.forcing(os.fdatasync))
        yield recorder.recorded
    recorder.look()


def lay_out(state: dict[str, bytes | None], folder: Path) -> Path:
    """Make a folder hold what the disk holds after a cut."""
    folder.mkdir(parents=True)
    for name, content in sorted(state.items()):
        if content is None:
            (folder / name).mkdir(parents=True, exist_ok=True)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return folder
