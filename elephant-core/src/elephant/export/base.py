"""What writes tracked nuclei in a form: the contract between the core and a package that adds an export.

A package adds a subclass of :class:`Exporter` under the entry-point group ``elephant.exporters``. It writes into a
place of its own; the core moves what was written to where the person wants it, once it is whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from elephant.config import TimeRange, Voxel
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import Spot, VoxelSize

A_FOLDER = ""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedNucleus:
    """A nucleus, and what the person's file says of its track.

    Attributes
    ----------
    spot
        Where and how large it is: physical, Z, Y, X.
    id
        The name by which `parent` refers to it.
    parent
        `id` of the nucleus at an earlier timepoint that it came from.
    track
        The number of its track, or of its lineage.
    value
        What its voxels hold in a mask, where the file asks for that.
    """

    spot: Spot
    id: int | None = None
    parent: int | None = None
    track: int | None = None
    value: int | None = None

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
    """What there is to export.

    Attributes
    ----------
    dataset
        The movie: its size, its images, what it was made from.
    nuclei
        All of the person's files, in their order, also those at other timepoints.
    params
        Which timepoints, the voxel size, Z, Y, X, if it is known, and whether timepoints are counted from 0 where the
        first is a later one.
    """

    dataset: Dataset
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
            It is unknown, which happens only to an exporter that says that it needs none.
        """
        if self.params.voxel_size is None:
            raise InvalidInputError(f"the voxel size of {self.dataset.name} is unknown")
        return self.params.voxel_size

    @property
    def first_number(self) -> int:
        """The number that the first timepoint gets in what is written, that of the movie or 0."""
        return 0 if self.params.from_zero else self.params.t_start


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes
    ----------
    words
        For a person, such as ``4 masks with 3 nuclei``.
    counts
        For a script, by name.
    """

    words: str
    counts: Mapping[str, int] = field(default_factory=dict)


class Exporter(ABC):
    """Writes tracked nuclei in a form.

    Attributes
    ----------
    endings
        Of the class: the endings, in lower case, that names of its files have, such as ``(".csv",)``;
        :data:`A_FOLDER` where it writes folders.
    needs_voxel_size
        Of the class: whether the voxel size must be known. Where it need not, nobody is asked for it.
    """

    endings: ClassVar[tuple[str, ...]]
    needs_voxel_size: ClassVar[bool] = True

    @abstractmethod
    def export(
        self, movie: TrackedMovie, place: Path, reporter: ProgressReporter, cancel: CancelToken
    ) -> Report | None:
        """Write the nuclei.

        Parameters
        ----------
        movie
            What to write.
        place
            Where: a file to make, whose name has one of the endings, or a folder to make, whose name has none. Other
            files may be made beside it; they are removed afterwards.
        reporter
            Is told how far it is.
        cancel
            Ask it now and then: it raises where the person wants to stop.

        Returns
        -------
        Report or None
            What was written.

        Raises
        ------
        InvalidInputError
            The nuclei cannot be written in this form; say which one, and what to do.
        """

    def other_content(self, output: Path) -> str | None:
        """Return what is at a place that no export wrote, and that must not be replaced; None where there is nothing.

        Asked where the person wants something to be replaced. By default a file may be, and of a folder nothing.
        """
        return next((path.name for path in sorted(output.iterdir())), None) if output.is_dir() else None
