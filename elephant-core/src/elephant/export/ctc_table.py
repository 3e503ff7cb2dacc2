"""The tracks in a table of nuclei, and sentences about what the masks show of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from elephant.export.base import TrackedNucleus
from elephant.tracking import Change, Lineage, Reason, Track, TrackedSpot, TrackLabels, lineage_of
from elephant.types import Spot
from elephant.words import counted, in_ranges

_EXAMPLES = 3
_BECAUSE = {
    Reason.GAP: "a gap ends a track, which continues as a child",
    Reason.DIVISION: "daughters are separate tracks",
    Reason.HIDDEN: "a track ends where its nucleus is in no mask, and continues as a child",
    Reason.TAKEN: "another track has this number",
    Reason.RANGE: "labels are 1 to 65535",
    Reason.MIXED: "their track has another number",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What the masks of an export show.

    Attributes
    ----------
    tracks
        The tracks, by label.
    n_nuclei
        Number of nuclei in the masks.
    covered, outside
        Indices of nuclei that are in no mask: entirely covered by others, or outside of the image.
    """

    tracks: Sequence[Track]
    n_nuclei: int
    covered: Sequence[int]
    outside: Sequence[int]


@dataclass(frozen=True, slots=True)
class MaskTable:
    """The nuclei of a file that are painted into masks, and their tracks.

    Attributes
    ----------
    records
        The nuclei at the exported timepoints.
    tracked
        The track of each.
    numbers
        The requested label of each, if the file gives one.
    shift
        Number that was added to each number of the file.
    lineage
        The parent of each.
    n_left_out
        Number of nuclei at other timepoints.
    """

    records: Sequence[TrackedNucleus]
    tracked: Sequence[TrackedSpot]
    numbers: Sequence[int | None]
    shift: int
    lineage: Lineage
    n_left_out: int

    @classmethod
    def of(cls, records: Sequence[TrackedNucleus], timepoints: range) -> "MaskTable":
        """Return the table of the nuclei at some timepoints.

        Raises
        ------
        InvalidInputError
            A parent is not earlier than its child, or a track has several nuclei that could be the parent.
        """
        # Determined from the whole file, so that parts of a movie get the same labels.
        shift = int(0 in {_number(record) for record in records})
        inside = [record for record in records if record.t in timepoints]
        others = {record.id for record in records if record.id is not None and record.t not in timepoints}
        tracked = [TrackedSpot(r.t, r.id, r.parent, _track(r)) for r in inside]
        numbers = [None if n is None else n + shift for n in map(_number, inside)]
        return cls(inside, tracked, numbers, shift, lineage_of(tracked, others), len(records) - len(inside))

    def spots(self) -> list[Spot]:
        """Return the nuclei."""
        return [record.spot for record in self.records]

    def labels(self) -> TrackLabels:
        """Return the assignment of labels to these nuclei."""
        return TrackLabels(self.tracked, self.lineage.parents, self.numbers)

    def guesses(self) -> Iterator[str]:
        """Yield a sentence for each thing that was guessed."""
        if self.shift:
            yield "tracks are counted from 0, which is the background of a mask: each label is its number plus 1"
        n_untracked = sum(number is None for number in self.numbers)
        has_links = any(parent >= 0 for parent in self.lineage.parents)
        if n_untracked == len(self.numbers) and not has_links and self.numbers:
            yield (
                "the nuclei have neither a track nor a parent: each becomes a separate track (elephant link --join "
                "makes "
                "tracks)"
            )
        elif 0 < n_untracked < len(self.numbers):
            yield f"{_nuclei(n_untracked)} without a number: their tracks got unused labels"
        if self.lineage.n_by_track and any(spot.parent is not None for spot in self.tracked):
            yield f"{_nuclei(self.lineage.n_by_track)} without a parent: treated as the next ones of their tracks"
        if self.lineage.unknown:
            unknown = self.lineage.unknown
            names = _some(map(str, dict.fromkeys(unknown)))
            yield f"{_nuclei(len(unknown))} with a parent that is not in the file ({names}): treated as having none"

    def losses(self, shown: Shown) -> Iterator[str]:
        """Yield sentences that say which nuclei are in no mask."""
        if shown.outside:
            yield f"{_nuclei(len(shown.outside))} outside of the image, in no mask: {self._which(shown.outside)}"
        if shown.covered:
            yield f"{_nuclei(len(shown.covered))} in no mask, since others cover them: {self._which(shown.covered)}"

    def changes(self, changes: Sequence[Change]) -> Iterator[str]:
        """Yield sentences that say which labels differ from the numbers in the file, and why."""
        for reason, members in groupby(sorted(changes, key=lambda c: c.reason), key=lambda c: c.reason):
            of_reason = list(members)
            firsts: dict[tuple[int, int], int] = {}
            for change in of_reason:
                firsts.setdefault((change.number - self.shift, change.label), change.t)
            examples = _some(f"{number} is {label} from timepoint {t}" for (number, label), t in firsts.items())
            because = _BECAUSE[reason]
            yield f"{_nuclei(len(of_reason))} with a different label from the file's, since {because}: {examples}"

    def _which(self, indices: Sequence[int]) -> str:
        at = Counter(self.records[i].t for i in indices)
        names = _some(str(self.records[i].id) for i in indices if self.records[i].id is not None)
        return f"timepoint{'s' if len(at) > 1 else ''} {in_ranges(sorted(at))}" + (f" (id {names})" if names else "")


def _track(record: TrackedNucleus) -> int | None:
    return _natural(record.track if record.track is not None else record.value)


def _number(record: TrackedNucleus) -> int | None:
    return _natural(record.value if record.value is not None else record.track)


def _natural(number: int | None) -> int | None:
    """Return a number of at least 0; negative ones mean "none" in other programs' tables."""
    return None if number is None or number < 0 else number


def _nuclei(count: int) -> str:
    return counted(count, "nucleus", "nuclei")


def _some(words: Iterable[str]) -> str:
    """Join the first few, and say how many more there are."""
    found = list(words)
    more = len(found) - _EXAMPLES
    return ", ".join(found[:_EXAMPLES]) + (f" and {more} more" if more > 0 else "")
