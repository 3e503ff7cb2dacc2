"""An image of N5: a folder with ``attributes.json``, and a file for each block whose values are not all 0.

References
----------
The N5 file-system specification, version 4, https://github.com/saalfeldlab/n5.
"""

import errno
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from elephant.dataset.readers.base import EXACT_DTYPES, by
from elephant.dataset.readers.blocks import BlockImage
from elephant.dataset.readers.n5_blocks import codec_of, decode_block, most_stored_bytes
from elephant.errors import DatasetError, reason_of
from elephant.types import Shape

ATTRIBUTES = "attributes.json"
# Other numbers become floats that hold them exactly; the conversion says how it scales those.
DTYPES = {name: held for name, held in EXACT_DTYPES.items() if name != "float16"}  # which N5 does not have
_LARGEST_METADATA_BYTES = 16 << 20
_LARGEST_BLOCK_BYTES = 2**30
_MOST_BLOCKS = 1 << 22  # of an image: each is a file
NOT_THERE = (errno.ENOENT, errno.ENOTDIR)

_Sizes = Annotated[tuple[Annotated[int, Field(ge=1, lt=2**63, strict=True)], ...], Field(min_length=1, max_length=8)]


class _Attributes(BaseModel):
    """The attributes of an image; what is not needed is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    dimensions: _Sizes
    blocks: _Sizes = Field(alias="blockSize")
    dtype: str = Field(alias="dataType", max_length=40)
    codec: str = Field("raw", max_length=40)

    @model_validator(mode="before")
    @classmethod
    def _name_the_codec(cls, found: Any) -> Any:
        """Take the name from ``compression``, or from ``compressionType`` of N5 before version 1.2."""
        if not isinstance(found, dict):
            return found
        given = found.get("compression", found.get("compressionType", "raw"))
        return {**found, "codec": given.get("type") if isinstance(given, dict) else given}


@dataclass(frozen=True, slots=True)
class N5Image:
    """What the attributes of an image say of it.

    Attributes
    ----------
    folder
        Its folder.
    shape, chunks
        (Z, Y, X) of the image and of its blocks, in voxels.
    stored
        NumPy name of the type of the stored values.
    codec
        Name of the compression.
    """

    folder: Path
    shape: Shape
    chunks: Shape
    stored: str
    codec: str

    @property
    def dtype(self) -> str:
        """NumPy name of the type as which values are read."""
        return DTYPES[self.stored]

    def is_like(self, other: "N5Image") -> bool:
        """Return whether another image has the same size and type."""
        return (self.shape, self.stored) == (other.shape, other.stored)


def attributes_of(folder: Path) -> dict[str, Any]:
    """Return the attributes of a folder of N5; none if it has no ``attributes.json``.

    Raises
    ------
    DatasetError
        They are damaged, or cannot be read.
    """
    place = folder / ATTRIBUTES
    where = f"{ATTRIBUTES} of {folder.parent.name}/{folder.name}"
    try:
        with place.open("rb") as file:
            content = file.read(_LARGEST_METADATA_BYTES + 1)
        if len(content) > _LARGEST_METADATA_BYTES:
            raise ValueError("it is too large")
        found = json.loads(content)
        if not isinstance(found, dict):
            raise TypeError("it has no attributes")
    except OSError as error:
        if error.errno in NOT_THERE:
            return {}
        raise DatasetError(f"{where} cannot be read ({reason_of(error)}): copy the movie again") from error
    except (ValueError, TypeError, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise DatasetError(f"{where} is damaged ({why}): copy or export the movie again") from error
    return found


def open_image(folder: Path, movie: str) -> N5Image | None:
    """Return what is known of an image; None if there is none in this folder.

    Parameters
    ----------
    folder
        The image's folder.
    movie
        The movie's name, for messages.

    Raises
    ------
    DatasetError
        Its attributes are damaged, or no movie has such an image.
    """
    attributes = attributes_of(folder)
    if "dimensions" not in attributes:
        return None
    name = _name(folder)
    try:
        found = _Attributes.model_validate(attributes)
    except ValidationError as error:
        problem = error.errors()[0]
        raise DatasetError(
            f"the attributes of {name} of {movie} are not those of an image ({'.'.join(map(str, problem['loc']))}: "
            f"{problem['msg'].lower()}): export the movie again"
        ) from error
    _check(found, name, movie)
    return N5Image(folder, found.dimensions[::-1], found.blocks[::-1], found.dtype, found.codec)


def _check(found: _Attributes, name: str, movie: str) -> None:
    if len(found.dimensions) != 3 or len(found.blocks) != 3:
        raise DatasetError(
            f"expected images of {movie} to be volumes (X, Y, Z), got {name} of {by(found.dimensions)} voxels in "
            f"blocks of {by(found.blocks)}: export the movie from BigDataViewer or BigStitcher again"
        )
    if found.dtype not in DTYPES:
        raise DatasetError(
            f"expected images of {movie} to be {', '.join(DTYPES)}, got {found.dtype}: convert the movie to uint16"
        )
    if codec_of(found.codec) is None:
        raise DatasetError(
            f"the images of {movie} are compressed with {found.codec}, which is not known here: save the movie again "
            "with gzip, or without compression"
        )
    if math.prod(found.blocks) * np.dtype(found.dtype).itemsize > _LARGEST_BLOCK_BYTES:
        raise DatasetError(
            f"expected {movie} to be stored in blocks of at most {_LARGEST_BLOCK_BYTES >> 30} GiB, got blocks of "
            f"{by(found.blocks)} voxels (X, Y, Z): export it with smaller blocks"
        )


def check_count(image: N5Image, movie: str) -> None:
    """Check that an image is not cut into so many files that reading it would never end.

    Raises
    ------
    DatasetError
        It is.
    """
    count = math.prod(-(-size // step) for size, step in zip(image.shape, image.chunks, strict=True))
    if count > _MOST_BLOCKS:
        raise DatasetError(
            f"expected a timepoint of {movie} to be stored in at most {_MOST_BLOCKS} blocks, got {count} of "
            f"{by(image.chunks)} voxels (Z, Y, X): export it with larger blocks"
        )


class N5Blocks(BlockImage):
    """The values of an image, read by boxes.

    Parameters
    ----------
    image
        The image.
    is_read_once
        As of :class:`BlockImage`.
    """

    def __init__(self, image: N5Image, *, is_read_once: bool) -> None:
        super().__init__(image.shape, image.chunks, np.dtype(image.dtype), is_read_once=is_read_once)
        codec = codec_of(image.codec)
        if codec is None:
            raise ValueError(f"unknown compression {image.codec}")
        self._image = image
        self._codec = codec
        self._stored = np.dtype(image.stored)

    def _content(self, corner: tuple[int, ...]) -> NDArray[Any] | None:
        """Return the values of a block; None if it has no file.

        Raises
        ------
        ValueError
            It is damaged; the message names it.
        """
        place = [str(at // step) for at, step in zip(corner, self._chunks, strict=True)][::-1]
        most = most_stored_bytes(math.prod(self._chunks) * self._stored.itemsize)
        try:
            with self._image.folder.joinpath(*place).open("rb") as file:
                stored = file.read(most + 1)
            if len(stored) > most:
                raise ValueError(f"it has more than {most} bytes")
            content = decode_block(stored, self._codec, self._stored, self._chunks)
            self._check_whole(content, corner)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NOT_THERE:
                return None
            why = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(f"the file {_name(self._image.folder)}/{'/'.join(place)}: {why}") from error
        return content

    def _check_whole(self, content: NDArray[Any], corner: tuple[int, ...]) -> None:
        there_is = zip(self._shape, corner, self._chunks, strict=True)
        needed = tuple(min(size - at, step) for size, at, step in there_is)
        if any(n < least for n, least in zip(content.shape, needed, strict=True)):
            raise ValueError(f"expected {by(needed)} voxels (Z, Y, X), got {by(content.shape)}")

    def _otherwise(self, region: tuple[slice, ...]) -> int:  # noqa: ARG002 - the same for all
        """Return the value of a block without a file."""
        return 0


def _name(folder: Path) -> str:
    """Return the last parts of a folder's path: ``setup0/timepoint0/s0``."""
    return "/".join(folder.parts[-3:])
