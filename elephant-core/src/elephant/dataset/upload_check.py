"""Whether a movie's file that came in pieces is whole."""

from pathlib import Path

from elephant.dataset.hdf5 import external_links, leads_out, opened, stated_end
from elephant.errors import DatasetError


def check_upload(path: Path, folder: Path, longest_padding: int) -> None:
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
    size, end = path.stat().st_size, stated_end(path)
    if end is not None and size - end > longest_padding:
        raise DatasetError(
            f"{path.name} should end after {end} bytes, but {size} came: some of it came twice, for instance from two "
            "uploads at the same time; upload it again"
        )
