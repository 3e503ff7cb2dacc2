"""Resolving model names to files, and suggesting a model for a misspelt name."""

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

SUFFIX = ".pth"
_LIKE = 0.75  # of difflib's ratio: `detecton` for `detection` has 0.94, `run1` for `run2` 0.75
_MOST_FILES = 1000
_DEEPEST = 3


def model_named(path: Path) -> Path:
    """Return the file of a model's path.

    A name without ``.pth`` means the one with it, unless there is a file, or a folder, of the very name.
    """
    if path.name.lower().endswith(SUFFIX):
        return path
    completed = path.with_name(path.name + SUFFIX)
    return path if path.is_file() or (path.is_dir() and not completed.is_file()) else completed


def possible_names(name: str) -> list[str]:
    """Return the possible file names of a model; the first that exists counts."""
    return [name] if name.lower().endswith(SUFFIX) else [name, name + SUFFIX]


def nearest(name: str, others: Iterable[str]) -> str | None:
    """Return the most similar of some names; none if all differ a lot.

    Capitals and ``.pth`` are ignored.
    """
    plain = {_plain(other): other for other in others if other != name}
    found = get_close_matches(_plain(name), plain, n=1, cutoff=_LIKE)
    return plain[found[0]] if found else None


def nearest_model(path: Path, models: Path) -> str | None:
    """Return the existing model, as a name below the folder of all models, that was probably meant by a missing one."""
    return nearest(shown_name(path, models), islice(_names_below(models), _MOST_FILES))


def shown_name(path: Path, models: Path) -> str:
    """Return the display name of a model file: below the folder of all models, if it is in there."""
    try:
        return path.resolve().relative_to(models.resolve()).as_posix()
    except ValueError:
        return path.name


def _names_below(models: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(models):
        inner = Path(folder).relative_to(models)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if len(inner.parts) < _DEEPEST else []
        yield from ((inner / name).as_posix() for name in sorted(names) if name.endswith(SUFFIX) and name[0] != ".")


def _plain(name: str) -> str:
    return name.casefold().removesuffix(SUFFIX)
