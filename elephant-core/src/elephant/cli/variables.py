"""Variables that begin with ``ELEPHANT_``: those that the commands read, and unknown ones.

The rules are those of the server's settings, so that both find the same workspace: a variable wins over a line of a
file ``.env``, that of the current folder over that of the checkout, and an empty value means the default.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from elephant.errors import InvalidInputError

# Functions of other packages: each returns sentences about the variables that have no meaning, given all packages.
GROUP = "elephant.settings"
PREFIX = "ELEPHANT_"
PRECISION = "ELEPHANT_PRECISION"
REMOTE_CACHE = "ELEPHANT_REMOTE_CACHE_GIB"
S3_ENDPOINT = "ELEPHANT_S3_ENDPOINT"
KEEP_PREDICTIONS = "ELEPHANT_KEEP_PREDICTIONS_GIB"
OWN = ("ELEPHANT_WORKSPACE", "ELEPHANT_HOME", PRECISION, REMOTE_CACHE, S3_ENDPOINT, KEEP_PREDICTIONS)
_LIKE = 0.7


def value_of(name: str) -> str | None:
    """Return the value of a variable from the environment or a ``.env`` file; None if it is empty or missing.

    Raises
    ------
    InvalidInputError
        A ``.env`` file cannot be read.
    """
    found: dict[str, str | None] = {}
    layers: list[Mapping[str, str | None]] = [*map(_lines_of, env_files()), os.environ]
    for values in layers:  # the later one wins, in whatever case it is written
        found |= {key.upper(): value for key, value in values.items()}
    return found.get(name) or None


def gibibytes(name: str, default: float) -> int:
    """Return the bytes of a variable that is a number of GiB.

    Raises
    ------
    InvalidInputError
        It is no number.
    """
    given = value_of(name) or f"{default:g}"
    if not given.replace(".", "", 1).isdecimal():
        raise InvalidInputError(f"expected {name} to be a number of GiB, got {given!r}")
    return int(float(given) * 2**30)


def env_files() -> tuple[Path, ...]:
    """Return the ``.env`` files to read if they exist; the later one takes precedence."""
    home = os.environ.get("ELEPHANT_HOME") or _checkout_root()
    here = Path(".env")
    if home is None or (Path(home) / ".env").resolve() == here.resolve():
        return (here,)
    return Path(home) / ".env", here


def unknown_variables() -> list[str]:
    """Name the variables and lines that begin as settings do and have no meaning; a sentence each.

    Only who knows all names can tell. Where no other package does, those that look like the commands' own are named.
    """
    suspects = list(_suspects())
    if not suspects:
        return []
    packages = knowing_packages()
    if packages:
        return [words for entry in packages for words in entry.load()()]
    meant = ((name, place, _own_like(name)) for name, place in suspects)
    return [
        f"{name}{place} is not a setting and has no effect: did you mean {own}?" for name, place, own in meant if own
    ]


def knowing_packages() -> list[EntryPoint]:
    """Return the functions of other packages that know which variables have a meaning."""
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def _own_like(name: str) -> str | None:
    plain = {own.removeprefix(PREFIX): own for own in OWN}
    near = get_close_matches(name.upper().removeprefix(PREFIX), plain, n=1, cutoff=_LIKE)
    return plain[near[0]] if near else None


def _suspects() -> Iterator[tuple[str, str]]:
    """Yield the names that the commands do not know, and where they are set."""
    places: list[tuple[Iterable[str], str]] = [(os.environ, "")]
    places += [(_lines_of(file), f" in {file}") for file in env_files()]
    for names, place in places:
        for name in sorted(names):
            if name.upper().startswith(PREFIX) and name.upper() not in OWN:
                yield name, place


def _lines_of(file: Path) -> dict[str, str | None]:
    if not file.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return dict(dotenv_values(file, encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"cannot read {file}: {error}; make it a readable text file in UTF-8") from None


def _checkout_root() -> Path | None:
    """Return the checkout that this package is in, which holds the server's configuration; None if it is in none."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "supervisord.conf").is_file() and (folder / "nginx.conf").is_file():
            return folder
    return None
