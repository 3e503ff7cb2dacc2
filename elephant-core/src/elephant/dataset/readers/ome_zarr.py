"""OME-Zarr movies (NGFF): multiscale images in folders of Zarr format 2 or 3, sharded or not.

References
----------
Moore et al., Histochemistry and Cell Biology 2023, doi:10.1007/s00418-023-02209-1.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.base import EXACT_DTYPES, Level, Reader, Region, choose
from elephant.dataset.readers.ome_metadata import (
    SPACE,
    attributes_of,
    image_of,
    in_a_line,
    interval_of,
    open_array,
    pyramid_of,
    setups_of,
    voxel_sizes_of,
)
from elephant.dataset.readers.zarr_places import ZIP, ZIPS_OF_ZARR, ZarrPlace, begins_as_zip, place_of
from elephant.errors import Cancelled, DatasetError, InvalidInputError, NotFoundError
from elephant.io.addresses import address_of
from elephant.progress import CancelToken, NeverCancelled, cancelled_by

if TYPE_CHECKING:
    import zarr

_LARGEST_SHARD_BYTES = 32 << 20


@dataclass(frozen=True, kw_only=True)
class OmeZarrReader(Reader):
    """Reads an OME-Zarr image, of which each channel is a source.

    Attributes
    ----------
    place
        Where its files are.
    image, full
        The keys of the array that is read, and of that of full resolution, within the movie.
    array_axes
        Names of the array's axes in their order, of t, c, z, y and x.
    """

    place: ZarrPlace
    image: str
    full: str
    array_axes: str

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether a folder or zip has the metadata of an OME-Zarr image, plate or series of images.

        A zip with a name of OME-Zarr is claimed whatever is in it.
        """
        if path.is_file():
            name = path.name.lower()
            if not name.endswith((ZIP, *ZIPS_OF_ZARR)) or not begins_as_zip(path):
                return False
            if name.endswith(ZIPS_OF_ZARR):
                return True
        try:
            found = attributes_of(place_of(path))
        except DatasetError:
            return False
        return bool({"multiscales", "plate", "bioformats2raw.layout"} & set(found))

    @classmethod
    def open(
        cls,
        path: Path,
        setup: int | None = None,
        *,
        fill_gaps: bool = False,
        cancel: CancelToken = NeverCancelled(),  # noqa: B008 - has no state
    ) -> "OmeZarrReader":
        """Inspect a movie without reading its images.

        Parameters
        ----------
        path
            The folder.
        setup
            Number of the channel to read; None for the first.
        fill_gaps
            Blocks without a file are the fill value, as Zarr has it: there are no gaps.
        cancel
            Asked while another machine answers; the rest takes no time.

        Raises
        ------
        NotFoundError
            There is no such folder.
        InvalidInputError
            There is no such channel.
        DatasetError
            It is not an OME-Zarr image, or none that can be a movie.
        """
        del fill_gaps
        with cancelled_by(cancel):
            return cls._open(path, setup, 0)

    def at_level(self, level: int) -> "OmeZarrReader":
        """Return a reader of another resolution of this movie."""
        return self._of(self.place, self.path, self.setup.id, level)

    @classmethod
    def _open(cls, path: Path, setup: int | None, level: int) -> "OmeZarrReader":
        if address_of(path) is None and not path.exists():
            raise NotFoundError(f"the movie {path} does not exist: check its name, or copy it")
        return cls._of(place_of(path), path, setup, level)

    @classmethod
    def _of(cls, place: ZarrPlace, path: Path, setup: int | None, level: int) -> "OmeZarrReader":
        folder, attributes = image_of(place)
        images = pyramid_of(place, folder, attributes)
        image = images[level]
        shape, chunks = image.of_space(image.array.shape), image.of_space(_blocks(image.array))
        setups = tuple(setups_of(images, level, attributes))
        sizes = [size for size, _ in voxel_sizes_of(images)]
        chosen = choose(setups, setup, path)
        return cls(
            path=path,
            place=place,
            image=image.key,
            full=images[0].key,
            array_axes="".join(axis.name for axis in image.axes),
            shape=shape,
            dtype=EXACT_DTYPES[image.array.dtype.name],
            n_timepoints=image.size("t"),
            setup=chosen,
            others=tuple(each for each in setups if each != chosen),
            chunks=tuple(min(c, s) for c, s in zip(chunks, shape, strict=True)),
            levels=tuple(
                Level(each.of_space(each.array.shape), size) for each, size in zip(images, sizes, strict=True)
            ),
            level=level,
            interval=interval_of(image),
        )

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading blocks of it."""
        yield Timepoint(self, open_array(self.place, self.image), t)

    def files(self) -> tuple[Path, ...]:
        """Return the files with the metadata, and the first ones with voxels."""
        return self.place.files(self.full)

    @classmethod
    def digest(cls, path: Path, setup: int | None, cancel: CancelToken) -> str:
        """Return a digest of sampled values, or, on another machine, of the metadata and their versions there."""
        if address_of(path) is not None:
            movie = cls.open(path, setup, cancel=cancel)
            digest = movie.place.digest(movie.full)
            if digest is not None:
                return digest
        return super().digest(path, setup, cancel)


def _blocks(array: "zarr.Array[Any]") -> tuple[int, ...]:
    """Return the shape of what is best read at once: whole shards, of which each part costs a look at its index."""
    shards = array.shards
    is_small = shards is not None and math.prod(shards) * array.dtype.itemsize <= _LARGEST_SHARD_BYTES
    return shards if shards is not None and is_small else array.chunks


class Timepoint:
    """An open timepoint of a movie."""

    def __init__(self, movie: OmeZarrReader, array: "zarr.Array[Any]", t: int) -> None:
        self._movie = movie
        self._array = array
        self._t = t

    def __getitem__(self, region: Region) -> NDArray[Any]:
        """Return a block of the values, (Z, Y, X), of the movie's type.

        Raises
        ------
        DatasetError
            The block is damaged.
        """
        movie = self._movie
        wanted: dict[str, int | slice] = dict(zip(SPACE, region, strict=True))
        wanted |= {"t": self._t, "c": movie.setup.id}
        try:
            values = np.asarray(movie.place.values(self._array, tuple(wanted[name] for name in movie.array_axes)))
        except (Cancelled, DatasetError, InvalidInputError):
            raise
        except Exception as error:  # codecs raise errors of their own
            where = ", ".join(f"{s.start}-{s.stop - 1}" for s in region)
            raise DatasetError(
                f"expected every block of {movie.path.name} to be readable, but timepoint {self._t} is damaged within "
                f"Z, Y, X = {where} ({in_a_line(error)}): {movie.place.advice}"
            ) from error
        left = [name for name in movie.array_axes if name in SPACE]
        values = values.transpose([left.index(name) for name in SPACE if name in left])
        missing = tuple(axis for axis, name in enumerate(SPACE) if name not in left)
        return np.expand_dims(values, missing).astype(movie.dtype, copy=False)
