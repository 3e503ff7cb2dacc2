"""What a dataset was made from: ``source.json`` in its folder.

It is put in place in the same step as the arrays, so it always belongs to them. Datasets of the original server have
none.
"""

import logging
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from elephant.config import Voxel
from elephant.errors import ElephantError

SOURCE_FILE = "source.json"
_LARGEST_BYTES = 16 << 20

_StoredVoxel = Annotated[Voxel, PlainSerializer(lambda voxel: list(voxel.zyx))]
_Factor = Annotated[float, Field(gt=0)]

logger = logging.getLogger(__name__)


class _Stored(BaseModel):
    """What is kept in the file: frozen, finite; a later version may have written more."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, arbitrary_types_allowed=True)


class FileStamp(_Stored):
    """What the file system says of a file: another content comes with another stamp.

    Attributes
    ----------
    name
        Path relative to the movie's folder.
    size
        Bytes.
    mtime_ns, ctime_ns, inode
        As :func:`os.stat` gives them.
    """

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Fingerprint(_Stored):
    """What a movie is known by.

    Attributes
    ----------
    files
        The stamps of the movie's file and of its partitions.
    method
        How `digest` was made; what another version made cannot be compared.
    digest
        Of sizes, type, and sampled values of the images.
    """

    files: tuple[FileStamp, ...]
    method: int
    digest: str


class DatasetSource(_Stored):
    """What a dataset was made from.

    Attributes
    ----------
    movie
        Name of the movie's file.
    reader
        Name of the reader that read it, where another package brought it; None for that of BigDataViewer.
    folder
        Absolute path of the movie's folder; None where that is the dataset's own.
    setup, setup_name, n_setups
        Number and name of the source (channel, angle) that was taken, and how many the movie has. None where nobody
        can tell.
    blank_timepoints
        Timepoints that the movie lacks, which are black.
    voxel_size, unit
        Physical size of a voxel, Z, Y, X, and its unit, such as ``micrometer``.
    divisor
        What values were divided by: ``stored = floor(value / divisor)``.
    offset, factor
        How a movie of floats was scaled instead: ``stored = round((value - offset) * factor)``; else None.
    fingerprint
        What the movie is known by.
    """

    movie: str
    reader: str | None = None
    folder: str | None = None
    setup: int | None = None
    setup_name: str | None = None
    n_setups: int | None = None
    blank_timepoints: tuple[int, ...] = ()
    voxel_size: _StoredVoxel | None = None
    unit: str | None = None
    divisor: _Factor = 1.0
    offset: float | None = None
    factor: _Factor | None = None
    fingerprint: Fingerprint | None = None

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what a dataset was made from; None where its folder does not tell.

        Parameters
        ----------
        folder
            The dataset's folder.
        """
        try:
            with (folder / SOURCE_FILE).open("rb") as file:
                return cls.model_validate_json(file.read(_LARGEST_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError, ElephantError) as error:
            logger.warning("%s of %s cannot be read and is left out: %s", SOURCE_FILE, folder.name, _short(error))
            return None

    def write(self, folder: Path) -> None:
        """Write it into a folder; the folder of a running conversion, which puts it in place."""
        (folder / SOURCE_FILE).write_text(self.model_dump_json(indent=1, exclude_defaults=True), encoding="utf-8")

    @property
    def title(self) -> str:
        """What a person knows it by, such as ``m.h5, source 1 (GFP) of 2``."""
        if self.setup is None or self.n_setups == 1:
            return self.movie
        name = f" ({self.setup_name})" if self.setup_name else ""
        count = f" of {self.n_setups}" if self.n_setups else ""
        return f"{self.movie}, source {self.setup}{name}{count}"

    def movie_path(self, folder: Path) -> Path:
        """Return where the movie of the dataset in `folder` lies, or lay."""
        return (folder if self.folder is None else Path(self.folder)) / self.movie


def _short(error: Any) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
