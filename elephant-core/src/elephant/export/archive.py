"""Masks into a .zip, one at a time, so that what is written of it already can be read meanwhile."""

import shutil
import tempfile
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import tifffile

from elephant.export.masks import Mask
from elephant.files import IS_POSIX
from elephant.reporting import CancelToken

_BLOCK = 4 * 2**20
_LARGEST_PLAIN = 2**30  # larger entries need other headers, which come first


def write_mask(archive: ZipFile, name: str, mask: Mask, folder: Path, cancel: CancelToken) -> None:
    """Add a mask to an archive, as a TIFF that ImageJ opens; all of it is in the archive's file afterwards.

    Parameters
    ----------
    archive
        Open for writing.
    name
        Name of the TIFF.
    mask
        uint16, (Z), Y, X.
    folder
        Where the TIFF lies while it is compressed, without a name, so that nothing of it can stay.
    cancel
        Asked before each block.

    Raises
    ------
    OSError
        It cannot be written, for instance because the disk is full.
    elephant.errors.Cancelled
        `cancel` asked for the end; what was written of the mask is no part of a whole archive.
    """
    # Windows removes nothing that is open, but lets go of it by itself, whatever ends the process.
    with tempfile.NamedTemporaryFile(dir=folder, delete=not IS_POSIX) as tiff:
        if IS_POSIX:
            Path(tiff.name).unlink()
        axes = "ZYX"[-mask.ndim :]
        tifffile.imwrite(tiff, mask, imagej=True, photometric="minisblack", metadata={"axes": axes})
        size = tiff.seek(0, 2)
        tiff.seek(0)
        with archive.open(name, "w", force_zip64=size > _LARGEST_PLAIN) as into:
            shutil.copyfileobj(_Watched(tiff, cancel), into, _BLOCK)
    if archive.fp is not None:
        archive.fp.flush()


class _Watched:
    """A file that ends with the work that reads it."""

    def __init__(self, file: IO[bytes], cancel: CancelToken) -> None:
        self._file = file
        self._cancel = cancel

    def read(self, size: int = -1, /) -> bytes:
        self._cancel.check()
        return self._file.read(size)
