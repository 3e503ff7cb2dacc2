"""One array of a dataset on disk: creating it, and reading and writing its timepoints."""

import asyncio
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec
from zarr.core.sync import sync

from elephant.dataset.layout import FLOW_HASHES, ArraySpec, regions
from elephant.dataset.transaction import Changes
from elephant.errors import DatasetError, InvalidInputError
from elephant.types import Box

_BLOSC_HEADER = 16  # bytes; the last four are the length of the whole, little-endian
_METADATA = ("zarr.json", ".zarray")
# Parsing the metadata of a dataset's arrays takes longer than drawing the labels of a hundred spots.
_opened: dict[tuple[Path, bool], tuple[bytes, zarr.Array[Any]]] = {}
_MOST_OPENED = 64
_LARGEST_METADATA = 1 << 20
_LONGEST_AXIS = 2**31 - 1
_MOST_FILES = 1_000_000
_AGAIN = "generate the dataset again from its movie"
_FIRST = "generate the dataset from its movie"
_CHUNK_FILE = re.compile(r"(?:c[./])?(\d+)(?:[./]\d+)*")


def create_array(path: Path, spec: ArraySpec) -> None:
    """Create an empty array, every value 0.

    Parameters
    ----------
    path
        Its folder, which must not exist yet.
    spec
        Its shape, type and chunks.
    """
    if spec.name == FLOW_HASHES:  # format 3 has no settled way to write fixed-length bytes
        zarr.create_array(path, shape=spec.shape, chunks=(1,), dtype=spec.dtype, zarr_format=2, fill_value=b"")
        return
    chunks, files = spec.chunks, spec.files
    zarr.create_array(
        path,
        shape=spec.shape,
        dtype=spec.dtype,
        chunks=chunks,
        shards=None if chunks == files else files,
        compressors=BloscCodec(cname=spec.codec.name, clevel=spec.codec.level, shuffle=spec.codec.shuffle),
        chunk_key_encoding={
            "name": "default",
            "separator": ".",
        },  # flat: a file per timepoint, and no folders
        fill_value=0,
        zarr_format=3,
    )


def open_array(path: Path, *, writable: bool = False) -> zarr.Array[Any]:
    """Open an array of format 2 or 3; one that was opened before is reused while its metadata are the same.

    Whatever the libraries raise for invalid metadata or chunks becomes one kind of error.

    Raises
    ------
    DatasetError
        There is no array, or its metadata cannot be read.
    """
    metadata, key = metadata_of(path), (path, writable)
    kept, array = _opened.get(key, (b"", None))
    if array is not None and kept == metadata:
        return array
    try:
        array = zarr.open_array(path, mode="r+" if writable else "r")
    except FileNotFoundError as error:
        raise DatasetError(f"{path.name} is missing in {path.parent}: {_way_to_make(path.parent)}") from error
    except Exception as error:
        raise DatasetError(f"{path.name} in {path.parent} cannot be read ({error}): {_AGAIN}") from error
    _judge(array, path)
    if metadata and metadata == metadata_of(path):  # it was not replaced meanwhile
        for oldest in list(_opened)[: -_MOST_OPENED + 1]:
            _opened.pop(oldest, None)
        _opened[key] = (metadata, array)
    return array


def _way_to_make(folder: Path) -> str:
    """Return advice, depending on whether the folder holds a dataset or only its movie."""
    return _AGAIN if any(folder.glob("*.zarr")) else _FIRST


def metadata_of(path: Path) -> bytes:
    """Return the content of an array's metadata file; empty if there is none."""
    for name in _METADATA:
        with suppress(OSError), (path / name).open("rb") as file:
            content = file.read(_LARGEST_METADATA + 1)
            if len(content) > _LARGEST_METADATA:
                raise DatasetError(f"{path / name} is too long for an array's metadata: {_AGAIN}")
            return content
    return b""


def _judge(array: zarr.Array[Any], path: Path) -> None:
    """Refuse metadata for which loops over the parts of a timepoint would never end."""
    files = array.shards or array.chunks
    per_timepoint = math.prod(-(-size // max(most, 1)) for size, most in zip(array.shape[1:], files[1:], strict=True))
    is_large = max((*array.shape, *files), default=0) > _LONGEST_AXIS or per_timepoint > _MOST_FILES
    if is_large or (files and files[0] > _MOST_FILES):
        raise DatasetError(
            f"{path.name} in {path.parent} has the shape {array.shape} in parts of {files}, expected at most "
            f"{_MOST_FILES:,} parts a timepoint: {_AGAIN}"
        )


def for_values(array: zarr.Array[Any], values: NDArray[Any]) -> zarr.Array[Any]:
    """Return an array opened in the fastest way to store some values.

    By default each chunk is compared with 0, so that an empty one is not stored. That takes ten times as long as
    compressing it, so it is done only for values that are all 0.
    """
    return array.with_config({"write_empty_chunks": True}) if np.any(values) else array


class TimeSeries:
    """An array of a dataset, read and written by timepoint.

    Parameters
    ----------
    path
        The array's folder.
    spec
        What it holds.

    Raises
    ------
    DatasetError
        The array cannot be opened.
    """

    def __init__(self, path: Path, spec: ArraySpec) -> None:
        self._path = path
        self._spec = spec
        self._array = open_array(path, writable=True)

    @property
    def name(self) -> str:
        """The array's folder name."""
        return self._path.name

    def read(self, t: int, box: Box | None = None) -> NDArray[Any]:
        """Return a timepoint, or a box of it, with its channels where the array has them.

        Raises
        ------
        InvalidInputError
            The timepoint or the box is outside of the array.
        DatasetError
            The stored values are damaged.
        """
        selection = self._selection(t, box)
        try:
            self._check_whole(selection)
            return np.asarray(self._array[selection], dtype=self._spec.dtype)
        except MemoryError:
            raise
        except Exception as error:
            raise DatasetError(
                f"timepoint {t} of {self._path} is damaged and cannot be read ({error}): {_AGAIN}"
            ) from error

    def stamps(self, t: int) -> list[tuple[str, int, int, int, int] | tuple[str]]:
        """Return what the file system says of the files of a timepoint, which differs if their content does.

        Returns
        -------
        list of tuple
            Name, size, time of the last change of the content and of the file, and inode; of a file that is not there,
            whose values are 0, the name alone.
        """
        found: list[tuple[str, int, int, int, int] | tuple[str]] = []
        for name in self._names_at(t):
            try:
                stat = os.stat(f"{self._path}/{name}")  # noqa: PTH116 - of a thousand files, a Path takes most of the time
            except FileNotFoundError:
                found.append((name,))
            else:
                found.append((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))
        return found

    def stage(self, changes: Changes, t: int, values: NDArray[Any], box: Box | None = None) -> None:
        """Add new values of a timepoint, or of a box of it, to the changes of a transaction.

        Raises
        ------
        InvalidInputError
            The timepoint or the box is outside of the array, or the values have another shape.
        DatasetError
            The array was replaced by another one meanwhile.
        """
        selection = self._selection(t, box)
        expected = self._spec.with_channels(self._spec.spatial if box is None else box.size)
        if values.shape != expected:
            raise InvalidInputError(
                f"expected values of shape {expected} for {self._path.name}, got {values.shape}: "
                "give the values of the box, or of the whole timepoint"
            )
        names = self._names_at(t)
        is_whole = box is None and self._file_shape[0] == 1
        _assign(for_values(self._staged(changes, () if is_whole else names), values), selection, values)
        changes.names.extend(f"{self._path.name}/{name}" for name in names)

    def stage_clear(self, changes: Changes) -> None:
        """Set every value to 0 in the changes of a transaction."""
        if self._array.fill_value not in (0, None):
            array = self._staged(changes, ())
            for t in range(self._spec.n_timepoints):
                _assign(array, (t,), 0)
        stored = {path.relative_to(self._path.parent).as_posix() for path, _ in self._files()}
        new = changes.folder / self._path.name
        written = {path.relative_to(changes.folder).as_posix() for path, _ in _chunk_files(new)}
        changes.names.extend(sorted(stored | written))

    def _staged(self, changes: Changes, names: Iterable[str]) -> zarr.Array[Any]:
        """Return an array like this one in the folder of new files, with some of its files in it."""
        folder = changes.folder / self._path.name
        folder.mkdir(exist_ok=True)
        for name in _METADATA:
            if (self._path / name).is_file():
                shutil.copyfile(self._path / name, folder / name)
        for name in names:
            if (self._path / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                _name_again(self._path / name, folder / name)
        array = open_array(folder, writable=True)
        if array.metadata != self._array.metadata:
            raise DatasetError(f"{self._path} was replaced meanwhile: try again")
        return array

    def _names_at(self, t: int, region: Sequence[slice] = ()) -> list[str]:
        """Return the names, in the array's folder, of the files that can hold values of a region of a timepoint.

        Parameters
        ----------
        region
            Along the axes after the first; missing ones are taken whole.
        """
        shape, files = self._array.shape[1:], self._file_shape[1:]
        parts = [*region, *[slice(None)] * (len(shape) - len(region))]
        bounds = [part.indices(size) for part, size in zip(parts, shape, strict=True)]
        per_axis = (range(a // most, -(-b // most)) for (a, b, _), most in zip(bounds, files, strict=True))
        first = t // self._file_shape[0]
        return [self._array.metadata.encode_chunk_key((first, *rest)) for rest in product(*per_axis)]

    def _check_whole(self, selection: tuple[int | slice, ...]) -> None:
        """Refuse truncated files: Blosc would decode memory behind their end, and an empty file would count as 0.

        Missing files hold zeros.

        Raises
        ------
        EOFError
            One is shorter than its header says.
        """
        t, *region = selection
        is_sharded = self._array.shards is not None
        is_blosc = any("blosc" in type(codec).__name__.lower() for codec in self._array.compressors)
        for name in self._names_at(cast("int", t), cast("list[slice]", region)):
            with suppress(FileNotFoundError), (self._path / name).open("rb", buffering=0) as file:
                header, n_bytes = file.read(_BLOSC_HEADER), os.fstat(file.fileno()).st_size
                stated = int.from_bytes(header[12:16], "little") if is_blosc and not is_sharded else 1
                if n_bytes < max(stated, 1):
                    raise EOFError(f"{name} is truncated: it has {n_bytes} bytes of {stated}")

    @property
    def is_atomic(self) -> bool:
        """Whether each timepoint is in one file, which is replaced in one step."""
        per_t = zip(self._file_shape[1:], self._array.shape[1:], strict=True)
        return self._file_shape[0] == 1 and all(f >= s for f, s in per_t)

    def is_read_at_once(self, box: Box | None) -> bool:
        """Return whether a read sees either none or all of what a concurrent write changes.

        A box of a file of several chunks is read piece by piece, its table of contents first.
        """
        return self.is_atomic and (box is None or self._array.shards is None)

    @property
    def _file_shape(self) -> tuple[int, ...]:
        return tuple(self._array.shards or self._array.chunks)

    def filled_timepoints(self) -> list[int]:
        """Return the timepoints that have a value other than 0, in order."""
        per_file = self._file_shape[0]
        n = self._spec.n_timepoints
        stored = {t for _, i in self._files() for t in range(min(i * per_file, n), min((i + 1) * per_file, n))}
        return [t for t in sorted(stored) if self._has_content(t)]

    def _has_content(self, t: int) -> bool:
        for region in regions(self._array.shape[1:], self._file_shape[1:]):
            selection: tuple[int | slice, ...] = (t, *region)
            if np.any(self._array[selection]):
                return True
        return False

    def _files(self) -> Iterator[tuple[Path, int]]:
        return _chunk_files(self._path)

    def _selection(self, t: int, box: Box | None) -> tuple[int | slice, ...]:
        spec = self._spec
        check_place(spec, t, box)
        if box is None:
            return (t,)
        channels = (slice(None),) if spec.channels and spec.channel_axis == "first" else ()
        return (t, *channels, *box.slices)


def check_place(spec: ArraySpec, t: int, box: Box | None) -> None:
    """Check that a timepoint, or a box of it, is in an array.

    Raises
    ------
    InvalidInputError
        It is not.
    """
    if not 0 <= t < spec.n_timepoints:
        raise InvalidInputError(
            f"expected one of the {spec.n_timepoints} timepoints of {spec.name}, counted from 0, got {t}: "
            "choose the dataset that was made from this movie"
        )
    if box is not None and not box.fits(spec.spatial):
        raise InvalidInputError(
            f"expected a box inside the image of {spec.spatial}, got origin {box.origin} and size {box.size}: "
            "choose a smaller one"
        )


def _assign(array: zarr.Array[Any], selection: tuple[int | slice, ...], values: NDArray[Any] | int) -> None:
    """Store values; after a failure, nothing more of them is written."""
    try:
        array[selection] = values
    except BaseException:
        # Files are written concurrently, and the first failure is reported while the others go on.
        sync(_all_else())
        raise


async def _all_else() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)


def _chunk_files(array: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files of an array's folder that hold values, each with its index along the first axis."""
    for folder, _, names in os.walk(array):
        for name in names:
            path = Path(folder, name)
            match = _CHUNK_FILE.fullmatch(path.relative_to(array).as_posix())
            if match:
                yield path, int(match[1])


def _name_again(path: Path, other: Path) -> None:
    """Hard-link a file, or copy it if the file system has no hard links; files are never changed in place."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)
