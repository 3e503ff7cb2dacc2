"""The list of tracks of the Cell Tracking Challenge: in a line a label, its first and last timepoint, its parent."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from elephant.errors import InvalidInputError
from elephant.tracking import Track

TABLES = ("man_track.txt", "res_track.txt")
_LARGEST_BYTES = 64 << 20
_FIELDS = 4


@dataclass(frozen=True, slots=True)
class TrackTable:
    """The tracks of a file, by their labels."""

    name: str
    tracks: Mapping[int, Track]

    @classmethod
    def read(cls, path: Path) -> "TrackTable":
        """Read a file.

        Raises
        ------
        InvalidInputError
            A line is not what it should be, or a parent is not in the file or not earlier than its child.
        """
        if path.stat().st_size > _LARGEST_BYTES:
            raise InvalidInputError(f"expected {path.name} to be a list of tracks, but it is too large: check the path")
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"expected {path.name} to be text, got other bytes: export it again") from error
        tracks: dict[int, Track] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            track = _track(line, f"{path.name}, line {number}")
            if track.number in tracks:
                raise InvalidInputError(
                    f"{path.name}, line {number}: expected each label once, got {track.number} again: number tracks "
                    "without repetition"
                )
            tracks[track.number] = track
        _check_parents(tracks, path.name)
        return cls(path.name, tracks)


def _track(line: str, where: str) -> Track:
    try:
        numbers = [int(field) for field in line.split()]
    except ValueError:
        numbers = []
    if len(numbers) != _FIELDS:
        raise InvalidInputError(
            f"{where}: expected four whole numbers (label, first and last timepoint, label of the parent or 0), got "
            f"{line.strip()[:80]!r}"
        )
    label, first, last, parent = numbers
    if label < 1 or not 0 <= first <= last or parent < 0 or parent == label:
        raise InvalidInputError(
            f"{where}: expected a label of at least 1, two timepoints in order, and another label or 0 as parent, got "
            f"{' '.join(map(str, numbers))}"
        )
    return Track(label, first, last, parent)


def _check_parents(tracks: Mapping[int, Track], name: str) -> None:
    for track in tracks.values():
        if not track.parent:
            continue
        parent = tracks.get(track.parent)
        if parent is None or parent.last >= track.first:
            found = "is not in it" if parent is None else f"lasts to timepoint {parent.last}"
            raise InvalidInputError(
                f"{name}: the track {track.number} begins at timepoint {track.first}, and its parent {track.parent} "
                f"{found}: expected a parent that ends before"
            )
