"""What writes tracked nuclei in a format: the contract between the core and a package that adds an export.

A package adds a subclass of :class:`Exporter` under the entry-point group ``elephant.exporters``. It writes to a
temporary path; once that is complete, the core moves it to the user's path.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from elephant.config import TimeRange, Voxel
from elephant.errors import InvalidInputError
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import FloatArray, Spot, Tag, VoxelSize

if TYPE_CHECKING:  # what only hands on tracks needs no library of arrays on disk
    import elephant.dataset

A_FOLDER = ""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedNucleus:
    """A nucleus, and its track in the user's file.

    Attributes
    ----------
    spot
        Its position and shape: physical, Z, Y, X.
    id
        The number by which `parent` refers to it.
    parent
        `id` of its parent at an earlier timepoint.
    track
        The number of its track, or of its lineage.
    value
        The value of its voxels in a mask, if the file gives one.
    quality
        How sure its detection is, 0 to 1, if the file says so.
    earlier
        Its position at the timepoint before, as a flow model or another tracker expected it: physical, (3,), Z, Y, X.
    is_tagged
        Whether the file gives it a tag, which may be ``unlabeled``: training ignores such a nucleus, but takes one
        without a tag for a true positive.
    """

    spot: Spot
    id: int | None = None
    parent: int | None = None
    track: int | None = None
    value: int | None = None
    quality: float | None = None
    earlier: FloatArray | None = None
    is_tagged: bool = False

    @property
    def tag(self) -> Tag | None:
        """The verdict of a person, which may be that it is unlabeled; None if none is known."""
        return self.spot.tag if self.is_tagged or self.spot.tag is not Tag.UNLABELED else None

    @property
    def t(self) -> int:
        """Its timepoint, counted from 0."""
        return self.spot.t


class ExportParams(TimeRange):
    """What is exported: the first and the last timepoint, and the physical voxel size, Z, Y, X, if it is known."""

    voxel_size: Voxel | None = None
    from_zero: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TrackedMovie:
    """The data to export.

    Attributes
    ----------
    dataset
        The dataset: its size, its images, and what it was made from.
    nuclei
        All of the person's files, in their order, also those at other timepoints.
    params
        Which timepoints, the voxel size, Z, Y, X, if it is known, and whether timepoints are counted from 0 where the
        first is a later one.
    """

    dataset: "elephant.dataset.Dataset"
    nuclei: Sequence[TrackedNucleus]
    params: ExportParams

    def chosen(self) -> list[TrackedNucleus]:
        """Return the nuclei at the timepoints that are exported."""
        return [nucleus for nucleus in self.nuclei if nucleus.t in self.params.timepoints]

    @property
    def voxel_size(self) -> VoxelSize:
        """The physical size of a voxel, Z, Y, X.

        Raises
        ------
        InvalidInputError
            It is unknown, which is possible only for an exporter that does not need it.
        """
        if self.params.voxel_size is None:
            raise InvalidInputError(f"the voxel size of {self.dataset.name} is unknown")
        return self.params.voxel_size

    @property
    def first_number(self) -> int:
        """The number of the first timepoint in the exported files, which is that in the movie, or 0."""
        return 0 if self.params.from_zero else self.params.t_start


@dataclass(frozen=True, slots=True)
class Report:
    """What an export wrote.

    Attributes
    ----------
    words
        Summary for people, such as ``4 masks with 3 nuclei``.
    counts
        Numbers for scripts, by name.
    """

    words: str
    counts: Mapping[str, int] = field(default_factory=dict)


class Exporter(ABC):
    """Writes tracked nuclei in one format.

    Attributes
    ----------
    endings
        Class attribute: the endings, in lower case, of its files' names, such as ``(".csv",)``; :data:`A_FOLDER` if it
        writes folders.
    folder_endings
        Class attribute: the endings, in lower case, that the names of its folders may have, such as ``(".geff",)``;
        any other ending that looks like a file's is refused.
    needs_voxel_size
        Class attribute: whether the voxel size must be known. If not, it is never asked for.
    """

    endings: ClassVar[tuple[str, ...]]
    folder_endings: ClassVar[tuple[str, ...]] = ()
    needs_voxel_size: ClassVar[bool] = True

    @abstractmethod
    def export(
        self, movie: TrackedMovie, place: Path, reporter: ProgressReporter, cancel: CancelToken
    ) -> Report | None:
        """Write the nuclei.

        Parameters
        ----------
        movie
            The data to write.
        place
            Path of a file to create, whose name has one of the endings, or of a folder to create, whose name has none.
            Other files may be created beside it; they are removed afterwards.
        reporter
            Receives the progress.
        cancel
            To be asked now and then: it raises if the user wants to stop.

        Returns
        -------
        Report or None
            What was written.

        Raises
        ------
        InvalidInputError
            The nuclei cannot be written in this format; the message should say which one, and what to do.
        """

    def other_content(self, output: Path) -> str | None:
        """Return the name of something that no export wrote, and that must not be replaced; None if there is nothing.

        It is called before an export replaces something. By default a file may be replaced, and a folder only if it is
        empty.
        """
        return next((path.name for path in sorted(output.iterdir())), None) if output.is_dir() else None
