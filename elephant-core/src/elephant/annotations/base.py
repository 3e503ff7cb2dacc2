"""What reads annotations and tracks in a format: the contract between the core and a package that adds one.

A package adds a subclass of :class:`AnnotationReader` under the entry-point group ``elephant.annotations``.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from elephant.annotations.records import SpotRecord
from elephant.config import AnnotationParams
from elephant.dataset import Dataset
from elephant.progress import CancelToken
from elephant.types import Shape, VoxelSize

A_FOLDER = ""
MOST_SPOTS = 20_000_000
HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class MovieFacts:
    """What is known of the movie that annotations belong to; None if it is not.

    Attributes
    ----------
    shape
        Size of a timepoint, voxels, (Z), Y, X.
    n_timepoints
        Number of timepoints.
    voxel_size, unit
        Physical size of a voxel, Z, Y, X, and its unit.
    t_start
        The timepoint of the movie at which the dataset begins.
    """

    shape: Shape | None = None
    n_timepoints: int | None = None
    voxel_size: VoxelSize | None = None
    unit: str | None = None
    t_start: int = 0

    @classmethod
    def of(cls, dataset: Dataset, voxel_size: VoxelSize | None = None) -> "MovieFacts":
        """Return the facts of a dataset, which may state its voxel size itself."""
        source = dataset.source
        if source is None:
            return cls(dataset.shape, dataset.n_timepoints, voxel_size)
        voxel = voxel_size or source.voxel_size
        return cls(dataset.shape, dataset.n_timepoints, voxel, source.unit, source.t_start or 0)

    @property
    def n_dims(self) -> int | None:
        """3 or 2."""
        return None if self.shape is None else len(self.shape)


class AnnotationReader(ABC):
    """Reads annotations or tracks in one format.

    Attributes
    ----------
    suffixes
        Class attribute: the endings, in lower case, of its files' names, such as ``(".xml",)``; :data:`A_FOLDER` if
        it reads folders.
    """

    suffixes: ClassVar[tuple[str, ...]]

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:  # noqa: ARG003 - for readers that look into the file
        """Tell whether a file or folder is of this format.

        Parameters
        ----------
        path
            What the person named.
        head
            The first 4096 bytes of the file; empty for a folder.
        """
        return (A_FOLDER if path.is_dir() else path.suffix.lower()) in cls.suffixes

    @abstractmethod
    def read(
        self, path: Path, params: AnnotationParams, movie: MovieFacts, cancel: CancelToken
    ) -> Sequence[SpotRecord]:
        """Read all spots.

        What was guessed is said in warnings of the module's logger. Positions, radii and covariances are returned in
        the unit of the movie's voxel size, X, Y, Z, from the middle of the first voxel; timepoints from 0.

        Parameters
        ----------
        path
            The file or folder.
        params
            What the person said about it.
        movie
            What is known of the movie.
        cancel
            To be asked now and then: it raises if the user wants to stop.

        Raises
        ------
        InvalidInputError
            The file is damaged, or lacks something; the message names the file, the place and the value, and says what
            to do.
        """
