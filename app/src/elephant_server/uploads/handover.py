"""Files that pass from the HTTP processes to the workers: they lie in folders for them, and travel by name alone.

A message names no path: what a worker reads, writes or removes lies in its own folders, whoever put the message there.
"""

import re
from pathlib import Path

from elephant.errors import InvalidInputError

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,100}")


def passing_place(folder: Path, name: str) -> Path:
    """Return where a file that passes to a worker lies.

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
