"""Names that come from outside, turned into paths that stay inside their root."""

from pathlib import Path

from elephant.errors import InvalidInputError

_LONGEST_PART = 255  # bytes: what the usual file systems take


def resolve_inside(root: Path, name: str) -> Path:
    """Return the path that a relative name stands for, if it lies below a root folder.

    Parameters
    ----------
    root
        The folder that must not be left: of datasets, of models or of logs.
    name
        A relative name with ``/`` between its parts (``user/detection.pth``). It need not exist yet.

    Returns
    -------
    Path
        The absolute path, symbolic links resolved.

    Raises
    ------
    InvalidInputError
        The name is empty, absolute, too long, holds ``..``, a backslash or control characters, or leads out
        of the root through a symbolic link.
    """
    problem = _problem_of(name)
    if problem:
        raise InvalidInputError(
            f"a name must be a relative path of ordinary characters, but {name!r} {problem}: choose another"
        )
    try:
        base = root.resolve()
        path = (base / name).resolve()
    except (OSError, RuntimeError) as error:  # links that go round in circles
        raise InvalidInputError(f"the name {name!r} cannot be followed ({error}): choose another name") from error
    if path == base or not path.is_relative_to(base):
        raise InvalidInputError(
            f"the name {name!r} must stay inside its folder, but leads out of it: choose another name"
        )
    return path


def _problem_of(name: str) -> str:
    """Say what is wrong with a name by itself; empty where nothing is."""
    try:
        longest = max(len(part.encode()) for part in name.split("/"))
    except UnicodeEncodeError:
        return "holds characters that no file name can have"
    problems = {
        "is empty": not name.strip(),
        "is absolute": name.startswith("/"),
        "holds '..'": ".." in name.split("/"),
        "holds a backslash": "\\" in name,
        "holds control characters": any(ord(c) < 32 or ord(c) == 127 for c in name),
        f"has a part of more than {_LONGEST_PART} bytes": longest > _LONGEST_PART,
    }
    return next((words for words, is_so in problems.items() if is_so), "")
