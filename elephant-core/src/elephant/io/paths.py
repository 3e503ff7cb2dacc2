"""Resolving untrusted names to paths that stay inside their root."""

import os
import re
import unicodedata
from pathlib import Path
from typing import BinaryIO

from elephant.errors import InvalidInputError

_LONGEST_PART = 255  # bytes: what the usual file systems take
_LONGEST_SHOWN = 80
_LONGEST_PATH = 3800  # bytes: Linux takes 4096, and arrays have files below
# On Windows, which may share the workspace, these open devices, whatever follows their first dot.
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", *(f"{kind}{n}" for kind in ("COM", "LPT") for n in range(1, 10))})
_DRIVE = re.compile(r"[A-Za-z]:")
# Some programs end a line at them, or show the name in another order.
_MISLEADING = frozenset({"\u2028", "\u2029", *(chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))})


def resolve_inside(root: Path, name: str) -> Path:
    """Return the path of a relative name, if it is below a root folder.

    Parameters
    ----------
    root
        The folder to stay in: of datasets, of models or of logs.
    name
        A relative name with ``/`` between its parts (``user/detection.pth``). It need not exist yet.

    Returns
    -------
    Path
        The absolute path, symbolic links resolved.

    Raises
    ------
    InvalidInputError
        The name is empty, absolute, too long, holds ``..``, a backslash or control characters, has a part that begins
        with a dot (as the server's internal folders do) or is a device name on Windows, or leads out of the root, or to
        an internal folder, through a symbolic link.
    """
    problem = _problem_of(name)
    if problem:
        raise InvalidInputError(
            f"a name must be a relative path of ordinary characters, but {_shown(name)} {problem}: choose another"
        )
    try:
        base = root.resolve()
        path = (base / name).resolve()
    except (OSError, RuntimeError) as error:  # circular links
        raise InvalidInputError(f"the name {name!r} cannot be resolved ({error}): choose another name") from error
    if path == base:
        raise InvalidInputError(f"the name {name!r} is the folder that holds all of them: choose another name")
    if not path.is_relative_to(base):
        raise InvalidInputError(
            f"the name {name!r} must stay inside its folder, but leads out of it: choose another name"
        )
    if any(part.startswith(".") for part in path.relative_to(base).parts):
        raise InvalidInputError(
            f"the name {name!r} leads to a folder that the server uses internally: choose another name"
        )
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise InvalidInputError(f"the name {name[:40]!r}... is too long, together with its folder: choose another name")
    return path


def open_inside(root: Path, name: str) -> BinaryIO:
    """Open the file of a relative name, if it is below a root folder.

    The opened file is checked, so a link that appears after the name was resolved makes no difference.

    Raises
    ------
    InvalidInputError
        As for :func:`resolve_inside`.
    OSError
        There is no such file, or it cannot be read.
    """
    file = resolve_inside(root, name).open("rb")
    opened = Path(f"/proc/self/fd/{file.fileno()}")
    try:
        place = opened.readlink()
    except OSError:  # only Linux has such names
        return file
    # A file that was replaced since has its old name here, and a suffix.
    if not place.is_relative_to(root.resolve()):
        file.close()
        raise InvalidInputError(f"the name {name!r} must stay inside its folder, but leads out of it: choose another")
    return file


def _problem_of(name: str) -> str:
    """Return what is wrong with a name by itself; empty if nothing is."""
    try:
        longest = max(len(part.encode()) for part in name.split("/"))
    except UnicodeEncodeError:
        return "contains characters that are not allowed in file names"
    parts = name.split("/")
    problems = {
        "is empty": not name.strip(),
        "is absolute": name.startswith("/"),
        "holds '..'": ".." in parts,
        "has a part that begins with a dot": any(part.startswith(".") and part != "." for part in parts),
        "has a part that is a device name on Windows": any(
            part.split(".")[0].strip().upper() in _DEVICES for part in parts
        ),
        "begins with a drive": bool(_DRIVE.match(name)),
        "contains a backslash": "\\" in name,
        "contains control characters": any(unicodedata.category(c) == "Cc" or c in _MISLEADING for c in name),
        f"has a part of more than {_LONGEST_PART} bytes": longest > _LONGEST_PART,
    }
    return next((words for words, is_so in problems.items() if is_so), "")


def _shown(name: str) -> str:
    return repr(name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}...")
