"""Whether a movie's file that came in pieces is whole."""

from pathlib import Path

from elephant.dataset.bigdataviewer import leads_out, opened
from elephant.dataset.finding import external_links
from elephant.errors import DatasetError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Where the superblock of a version says how long addresses are, and where the file ends.
_ADDRESS_LENGTH_AT = {0: 13, 1: 13, 2: 9, 3: 9}
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}
_USUAL_LENGTH = 8


def check_arrived(path: Path, folder: Path, longest_padding: int) -> None:
    """Check that a file can take its place: it opens, ends where it should, and what it links to is there.

    Parameters
    ----------
    path
        The file, wherever it lies.
    folder
        Where it is going to be, and where the partitions of a movie are that is split.
    longest_padding
        How many bytes may follow the end of the file. More of them come from a piece that was sent twice.

    Raises
    ------
    DatasetError
        Something is wrong with it.

    References
    ----------
    HDF5 File Format Specification Version 3.0, section II.A, "Disk Format: Level 0A - Format Signature and Superblock".
    """
    with opened(path) as file:
        named = set(external_links(file))
    leaving = sorted(name for name in named if leads_out(name, folder / path.name))
    if leaving:
        raise DatasetError(
            f"{path.name} should have its partitions beside it, but one of them is {leaving[0]!r}, outside of its "
            "folder: export the movie again, with its partitions in the same folder"
        )
    linked = sorted({Path(name).name for name in named})
    missing = [name for name in linked if not (folder / name).is_file()]
    if missing:
        raise DatasetError(
            f"{path.name} is split into {len(linked)} partitions, but {missing[0]} is not there: "
            f"upload all partitions first, then {path.name} again"
        )
    size, end = path.stat().st_size, _end_of(path)
    if end is not None and size - end > longest_padding:
        raise DatasetError(
            f"{path.name} should end after {end} bytes, but {size} came: some of it came twice, for instance from two "
            "uploads at the same time; upload it again"
        )


def _end_of(path: Path) -> int | None:
    """Return how long an HDF5 file is by its own account; None where it does not begin in the usual way."""
    with path.open("rb") as file:
        head = file.read(64)
    version = head[8] if head.startswith(_SIGNATURE) else None
    if version not in _END_AT or head[_ADDRESS_LENGTH_AT[version]] != _USUAL_LENGTH:
        return None
    at = _END_AT[version]
    return int.from_bytes(head[at : at + _USUAL_LENGTH], "little")
