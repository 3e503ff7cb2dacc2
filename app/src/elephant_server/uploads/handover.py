"""Files that pass from the HTTP processes to the workers: they lie in folders for them, and travel by name alone.

A message contains no path: a worker reads, writes and removes files in its own folders only, whatever a message says.
"""

import re
from pathlib import Path

from elephant.errors import InvalidInputError

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,100}")


def passing_place(folder: Path, name: str) -> Path:
    """Return the path of a file that is passed to a worker.

    Raises
    ------
    InvalidInputError
        The name is not one of a file in the folder.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"expected the name of a file in {folder.name}, got {name[:80]!r}: send the request again"
        )
    return folder / name
