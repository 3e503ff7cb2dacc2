"""Masks and tracks of the Cell Tracking Challenge: reference data (01_GT) and results (01_RES).

References
----------
Naming and file content conventions of the Cell Tracking Challenge, https://celltrackingchallenge.net/datasets.
"""

import logging
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from elephant.annotations.base import A_FOLDER, AnnotationReader, MovieFacts
from elephant.annotations.ctc_archive import is_archive, unpacked
from elephant.annotations.ctc_shapes import MARKERS, Shapes
from elephant.annotations.ctc_table import TABLES, TrackTable
from elephant.annotations.ellipsoids import LabelledNuclei
from elephant.annotations.label_files import NumberedFiles, numbered
from elephant.annotations.label_images import is_flat, record_of_label, voxel_size_of
from elephant.annotations.records import SpotRecord
from elephant.annotations.units import timepoints_of_files
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.progress import CancelToken
from elephant.tracking import Track
from elephant.words import counted

_MASK = re.compile(r"(?:man_track|mask)(\d+)\.tiff?", re.IGNORECASE)
_EXAMPLES = 3

logger = logging.getLogger(__name__)


class CtcReader(AnnotationReader):
    """Reads a nucleus for each label of a mask, and tracks and parents from the list of tracks."""

    suffixes: ClassVar[tuple[str, ...]] = (A_FOLDER, ".zip")

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Tell whether a folder or an archive holds a list of tracks."""
        if path.is_dir():
            return _folder_of_masks(path) is not None
        return is_archive(path, head)

    def read(
        self, path: Path, params: AnnotationParams, movie: MovieFacts, cancel: CancelToken
    ) -> Sequence[SpotRecord]:
        """Read all nuclei and their tracks."""
        voxel = voxel_size_of(path.name, movie)
        with _opened(path, cancel) as folder:
            masks = _folder_of_masks(folder)
            if masks is None:
                raise InvalidInputError(
                    f"expected {path.name} to hold a list of tracks ({' or '.join(TABLES)}), got none: choose the "
                    "folder that does, such as 01_GT or 01_RES"
                )
            table = TrackTable.read(next(masks / name for name in TABLES if (masks / name).is_file()))
            files = NumberedFiles(path.name, numbered(masks, _MASK))
            if not files.files:
                raise InvalidInputError(
                    f"expected masks such as man_track000.tif or mask000.tif beside {table.name} in {path.name}, got "
                    "none: copy them too"
                )
            numbers = list(files.files)
            times = timepoints_of_files(path.name, numbers, params, movie).tolist()
            tracks, shapes = _Tracks(path.name, table), Shapes.of(masks, voxel, params)
            found = list[SpotRecord]()
            for t, (number, labels) in zip(times, files.images(movie, cancel), strict=True):
                nuclei = shapes.measured(number, labels, is_flat(labels, movie), movie, cancel)
                found += tracks.records(t, number, nuclei, len(found))
            shapes.say(path.name)
            tracks.say(numbers)
            return found


@contextmanager
def _opened(path: Path, cancel: CancelToken) -> Iterator[Path]:
    if path.is_dir():
        yield path
        return
    with unpacked(path, cancel) as folder:
        yield folder


def _folder_of_masks(folder: Path) -> Path | None:
    """Return where the list of tracks is: in a folder, or in its folder TRA."""
    for place in (folder, folder / MARKERS):
        if any((place / name).is_file() for name in TABLES):
            return place
    return None


@dataclass(slots=True)
class _Tracks:
    """Joins the nuclei of masks to tracks.

    Attributes
    ----------
    name, table
        Of the folder, and its list of tracks.
    latest
        The id of the last nucleus of each track so far.
    """

    name: str
    table: TrackTable
    latest: dict[int, int] = field(default_factory=dict)
    strangers: set[int] = field(default_factory=set)
    beyond: set[int] = field(default_factory=set)

    def records(self, t: int, number: int, nuclei: LabelledNuclei, first_id: int) -> Iterator[SpotRecord]:
        """Yield the nuclei of a timepoint, which is numbered so in the list of tracks."""
        before = dict(self.latest)
        for i, label in enumerate(nuclei.labels.tolist()):
            track = self.table.tracks.get(label)
            if track is None:
                self.strangers.add(label)
                yield record_of_label(t, first_id + i, nuclei, i)
                continue
            if not track.first <= number <= track.last:
                self.beyond.add(label)
            parent = before.get(label, before.get(track.parent))
            self.latest[label] = first_id + i
            yield record_of_label(t, first_id + i, nuclei, i, track=label, parent=parent)

    def say(self, numbers: Sequence[int]) -> None:
        """Warn of what the list of tracks and the masks say differently.

        Parameters
        ----------
        numbers
            Numbers of the masks, ascending.
        """
        lacking = {n for n, track in self.table.tracks.items() if n not in self.latest and _is_in(track, numbers)}
        sentences = (
            (self.strangers, "that the list does not have: read as nuclei without a track"),
            (self.beyond, "at timepoints at which the list says that it is not there: read all the same"),
            (lacking, "that the list has and no mask shows: left out"),
        )
        for labels, sentence in sentences:
            if labels:
                some = ", ".join(map(str, sorted(labels)[:_EXAMPLES]))
                what = counted(len(labels), "track")
                logger.warning("%s, %s: %s (%s) %s", self.name, self.table.name, what, some, sentence)


def _is_in(track: Track, numbers: Sequence[int]) -> bool:
    place = bisect_left(numbers, track.first)
    return place < len(numbers) and numbers[place] <= track.last
