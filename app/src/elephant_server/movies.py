"""Movies that requests may name: those in the datasets' folders, and in the folders that the settings allow."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from elephant.dataset.readers import reader_of_movie
from elephant.dataset.readers.base import Reader
from elephant.dataset.readers.file_patterns import is_pattern, members_of_pattern
from elephant.dataset.readers.listing import list_movies
from elephant.dataset.readers.movie import InstalledReader
from elephant.errors import InvalidInputError, NotFoundError
from elephant.io.paths import resolve_inside
from elephant.progress import CancelToken
from elephant_server.settings import Settings

_DEEPEST = 4
_MOST_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class MoviePlaces:
    """Where movies of requests may lie.

    Attributes
    ----------
    datasets
        The folder of the datasets, which requests name by an empty text.
    folders
        The other ones, which requests name by their paths.
    """

    datasets: Path
    folders: tuple[Path, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the places of a server."""
        return cls(settings.datasets_dir, settings.movie_folders)

    def find(self, cancel: CancelToken) -> Iterator[tuple[str, str]]:
        """Yield the folder and the name in it of each movie, as :meth:`resolve` takes them."""
        for folder in ("", *map(str, self.folders)):
            root = self._root(folder)
            for path in list_movies(root, _DEEPEST, cancel):
                yield folder, path.relative_to(root).as_posix()

    def resolve(self, folder: str, name: str) -> Path:
        """Return the path of a movie.

        Raises
        ------
        InvalidInputError
            The folder is not one of these, or the name, or a symbolic link in the movie, leads out of it.
        NotFoundError
            There is no such movie.
        """
        path = resolve_inside(self._root(folder), name)
        if is_pattern(path.name):
            self._check(members_of_pattern(path).files.values(), path)
        elif not path.exists():
            raise NotFoundError(f"the movie {name} does not exist any more: look again which ones there are")
        elif path.is_dir():
            self._check(_links_below(path), path)
        return path

    def place_of(self, path: Path) -> tuple[str, str] | None:
        """Return the folder and the name of a movie, which may be gone; None if it is in none of these folders."""
        for folder in ("", *map(str, self.folders)):
            root = self._root(folder)
            if path != root and path.is_relative_to(root):
                return folder, path.relative_to(root).as_posix()
        return None

    def inspect(
        self, path: Path, setup: int | None, cancel: CancelToken, *, fill_gaps: bool
    ) -> tuple[InstalledReader, Reader]:
        """Open a movie from :meth:`resolve`, and check that all its files lie in these folders.

        Raises
        ------
        InvalidInputError
            One of its files does not.
        elephant.errors.ElephantError
            It cannot be opened; see :meth:`elephant.dataset.readers.movie.InstalledReader.open`.
        """
        installed = reader_of_movie(path)
        reader = installed.inspect(path, setup, cancel, fill_gaps=fill_gaps)
        self._check(reader.files(), path)
        return installed, reader

    def _root(self, folder: str) -> Path:
        if not folder:
            return self.datasets
        if Path(folder) not in self.folders:
            raise InvalidInputError(
                f"the folder {folder[:200]} is none whose movies may be read: let the person who runs the server add "
                "it to ELEPHANT_MOVIES"
            )
        return Path(folder)

    def _check(self, files: Iterable[Path], movie: Path) -> None:
        roots = [root.resolve() for root in (self.datasets, *self.folders)]
        for file in files:
            real = Path(os.path.realpath(file))
            if not any(real.is_relative_to(root) for root in roots):
                raise InvalidInputError(
                    f"expected all files of {movie.name} in the folders whose movies may be read, but {file.name} is a "
                    "link that leads out of them: move the file there"
                )


def _links_below(folder: Path) -> Iterator[Path]:
    """Yield the symbolic links among the first files and folders below a folder."""
    return (path for path in islice(_below(folder), _MOST_LOOKED_AT) if path.is_symlink())


def _below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        yield from (Path(here, name) for name in (*folders, *files))
