"""Which movies lie in a folder and in those below it, found by names and beginnings of files within a time limit."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from elephant.dataset.layout import ARRAYS
from elephant.dataset.readers import FILE_SERIES, installed_readers, is_named_as_partition
from elephant.dataset.readers.hdf5 import is_hdf5_name
from elephant.dataset.readers.movie import InstalledReader
from elephant.dataset.source import SOURCE_FILE
from elephant.errors import ElephantError
from elephant.progress import CancelToken

_MOST_IN_A_FOLDER = 20_000
_MOST_ALONE = 50  # of TIFF or NumPy files in a folder that are no movie together
_TOGETHER = (".tif", ".tiff", ".npy")


def list_movies(root: Path, deepest: int, cancel: CancelToken) -> Iterator[Path]:
    """Yield the movies below a folder, one folder after the other, by name.

    Files that are timepoints of one movie are given as a pattern of names. Hidden files and folders, arrays of
    datasets, and partitions of a split movie are left out. So is what a symbolic link shows outside of `root`.

    Parameters
    ----------
    root
        The folder.
    deepest
        How many folders may lie between it and a movie.
    cancel
        Asked for every file and folder.
    """
    listing = _Listing(root.resolve(), installed_readers()[0], cancel)
    yield from listing.below(root, deepest)


@dataclass(frozen=True, slots=True)
class _Listing:
    root: Path
    readers: list[InstalledReader]
    cancel: CancelToken

    def below(self, folder: Path, deepest: int) -> Iterator[Path]:
        entries = self._entries(folder)
        movies = [path for path in entries if self._is_movie(path)]
        yield from sorted(_joined(folder, [path for path in movies if not _is_part(path, movies)]))
        known = set(movies)
        for path in entries:
            if deepest and path not in known and path.is_dir():
                yield from self.below(path, deepest - 1)

    def _entries(self, folder: Path) -> list[Path]:
        """Return what lies in a folder and may be a movie or hold one, sorted."""
        try:
            with os.scandir(folder) as found:
                entries = list(islice(found, _MOST_IN_A_FOLDER))
        except OSError:  # not allowed, or gone meanwhile
            return []
        names = sorted(e.name for e in entries if self._is_inside(e) and not e.name.startswith("."))
        return [folder / name for name in names if name not in ARRAYS and name != SOURCE_FILE]

    def _is_inside(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return True
        try:
            target = Path(entry.path).resolve()
        except (OSError, RuntimeError):  # circular
            return False
        # A link to a folder above would be followed for ever.
        return target.is_relative_to(self.root) and not Path(entry.path).is_relative_to(target)

    def _is_movie(self, path: Path) -> bool:
        self.cancel.check()
        # A folder with a file for each timepoint is looked into like every other one.
        is_folder = path.is_dir()
        return any(_claims(each, path) for each in self.readers if not (is_folder and each.plugin.name == FILE_SERIES))


def _claims(reader: InstalledReader, path: Path) -> bool:
    try:
        return reader.claims(path)
    except (ElephantError, OSError):  # of a package that fails, or of a file that may not be read
        return False


def _is_part(path: Path, movies: list[Path]) -> bool:
    """Return whether a movie is listed under the name of another one: a partition, or one of ``.xml`` and images."""
    if path.suffix.lower() == ".xml":
        return any(other.stem == path.stem and is_hdf5_name(other.name) for other in movies)
    if path.suffix.lower() == ".n5":
        return path.with_suffix(".xml") in movies
    return is_named_as_partition(path)


def _joined(folder: Path, movies: list[Path]) -> list[Path]:
    """Replace files that are timepoints of one movie by its pattern."""
    files = [path for path in movies if path.name.lower().endswith(_TOGETHER)]
    if len(files) < 2:
        return movies
    from elephant.dataset.readers.file_series import one_movie  # noqa: PLC0415 - loads tifffile

    together = one_movie(folder, files)
    others = [path for path in movies if path not in set(files)]
    return [*others, *(files[:_MOST_ALONE] if together is None else [together])]
