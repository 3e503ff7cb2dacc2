"""What the metadata of an OME-Zarr image says: its arrays, axes, channels and the size of a voxel.

References
----------
Versions 0.1 to 0.5 of the specification, https://ngff.openmicroscopy.org.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elephant.dataset.readers.base import EXACT_DTYPES, ViewSetup, by
from elephant.dataset.readers.zarr_places import LARGEST_BLOCK_BYTES, METADATA, ZarrPlace
from elephant.errors import Cancelled, DatasetError, InvalidInputError
from elephant.types import Shape, VoxelSize
from elephant.units import factor_between, seconds_in

if TYPE_CHECKING:
    import zarr

SPACE = "zyx"
_ORDER = "tczyx"
_MOST_CHANNELS = 1000
_MOST_LEVELS = 100
_LEAST_BLOCK_BYTES = 1 << 10  # of a timepoint that is cut into many
_MANY_BLOCKS = 1 << 16
# Other numbers become floats that hold them exactly; the conversion says how it scales those.

logger = logging.getLogger(__name__)


class _Part(BaseModel):
    """A part of the metadata; what is not needed is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Transformation(_Part):
    type: str = ""
    scale: tuple[float, ...] | None = None


class _Level(_Part):
    path: str
    transformations: tuple[_Transformation, ...] = Field((), alias="coordinateTransformations")


class _Axis(_Part):
    name: str
    type: str | None = None
    unit: str | None = None


class _Multiscale(_Part):
    axes: tuple[_Axis | str, ...] = ()
    datasets: tuple[_Level, ...] = Field(min_length=1)
    transformations: tuple[_Transformation, ...] = Field((), alias="coordinateTransformations")


@dataclass(frozen=True, slots=True)
class OmeImage:
    """An image of one resolution, its key, its axes, and the size of a voxel along each."""

    key: str
    array: "zarr.Array[Any]"
    axes: tuple[_Axis, ...]
    scale: tuple[float, ...] | None

    def size(self, name: str) -> int:
        """Return the length of an axis; 1 if there is none."""
        return next((n for axis, n in zip(self.axes, self.array.shape, strict=True) if axis.name == name), 1)

    def of_space(self, values: Sequence[int]) -> Shape:
        """Return what is known of each axis of the array, of Z, Y, X alone."""
        known = {axis.name: int(value) for axis, value in zip(self.axes, values, strict=True)}
        return tuple(known.get(name, 1) for name in SPACE)


def image_of(place: ZarrPlace, series: str = "") -> tuple[str, dict[str, Any]]:
    """Return the key of a movie's image and its attributes: those at the top, or of its only series.

    Raises
    ------
    DatasetError
        There is no image, or are several.
    """
    found = attributes_of(place, series)
    if "plate" in found:
        raise DatasetError(
            f"{place.name} is a plate of many wells: choose one of its images, such as {place.name}/A/1/0"
        )
    if "multiscales" in found:
        return series, found
    if "bioformats2raw.layout" not in found or series:
        raise DatasetError(
            f"expected {place.name} to be an OME-Zarr image, but it has no `multiscales`: choose the folder within it "
            "that has them, or export the movie as OME-Zarr again"
        )
    numbers = sorted((name for name in place.folders() if name.isdigit()), key=int)
    if len(numbers) != 1:
        names = ", ".join(f"{place.name}/{name}" for name in numbers[:5])
        raise DatasetError(f"{place.name} holds {len(numbers)} images: choose one of them ({names})")
    return image_of(place, f"{numbers[0]}/")


def attributes_of(place: ZarrPlace, folder: str = "") -> dict[str, Any]:
    """Return the attributes of a group of Zarr format 2 or 3; those of OME, where they are apart.

    Parameters
    ----------
    place
        Where the movie is.
    folder
        Path of the group in it, with ``/`` at its end; empty for the top.

    Raises
    ------
    DatasetError
        It has none, or they are damaged.
    """
    title = f"{place.name}/{folder}".rstrip("/")
    for name in METADATA:
        try:
            content = place.read(folder + name)
            if content is None:
                continue
            found = json.loads(content)
            found = found.get("attributes", {}) if name == "zarr.json" else found
            found = found.get("ome", found)
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise DatasetError(f"{name} of {title} cannot be read ({in_a_line(error)}): {place.advice}") from error
        if not isinstance(found, dict):
            raise DatasetError(f"expected {name} of {title} to hold attributes: {place.advice}")
        return found
    raise DatasetError(f"expected {title} to be a Zarr group with attributes, got none: {place.advice}")


def pyramid_of(place: ZarrPlace, folder: str, attributes: Mapping[str, Any]) -> tuple[OmeImage, ...]:
    """Return a movie's images, that of full resolution first.

    Parameters
    ----------
    place
        Where the movie is.
    folder, attributes
        Where its image is, from :func:`image_of`.

    Raises
    ------
    DatasetError
        That of full resolution is damaged, or cannot be a movie. Levels from the first damaged one on are left out,
        with a warning.
    """
    found = attributes["multiscales"]
    try:
        multiscale = _Multiscale.model_validate(found[0])
    except (ValidationError, LookupError, TypeError) as error:
        raise DatasetError(
            f"the `multiscales` of {place.name} are not those of an OME-Zarr image ({in_a_line(error)}): export the "
            "movie again"
        ) from error
    if len(found) > 1:
        logger.warning("%s has %d multiscale images, and the first is used", place.name, len(found))
    images = [_image(place, folder, multiscale, multiscale.datasets[0])]
    for n, level in enumerate(multiscale.datasets[1:_MOST_LEVELS], start=1):
        try:
            image = _image(place, folder, multiscale, level)
            if any(image.size(axis) != images[0].size(axis) for axis in "tc"):
                raise DatasetError("it has other timepoints or channels")
            images.append(image)
        except DatasetError as error:
            logger.warning("%s has no level %d and above: %s", place.name, n, error)
            break
    return tuple(images)


def _image(place: ZarrPlace, folder: str, multiscale: _Multiscale, level: _Level) -> OmeImage:
    parts = PurePosixPath(level.path).parts
    if not parts or ".." in parts or level.path.startswith("/") or "\\" in level.path or ":" in level.path:
        raise DatasetError(
            f"expected the images of {place.name} to be in its folder, got the path {level.path!r}: export it again"
        )
    key = folder + "/".join(parts)
    array = open_array(place, key)
    axes = _axes(multiscale, array.ndim, place.name)
    image = OmeImage(key, array, axes, _scale((*level.transformations, *multiscale.transformations), array.ndim))
    _check(image, place.name)
    return image


def open_array(place: ZarrPlace, key: str) -> "zarr.Array[Any]":
    """Open an array of a movie for reading.

    Raises
    ------
    DatasetError
        It is not there, is damaged, or needs a codec that is not installed.
    """
    try:
        return place.array(key)
    except (Cancelled, DatasetError, InvalidInputError):
        raise
    except Exception as error:  # each store, format and codec raises errors of its own
        raise DatasetError(
            f"the image {key} of {place.name} cannot be opened ({in_a_line(error)}): {place.advice}"
        ) from error


def _axes(multiscale: _Multiscale, n: int, movie: str) -> tuple[_Axis, ...]:
    """Return the axes of an array of `n`: before version 0.3 always T, C, Z, Y, X."""
    given = multiscale.axes or tuple(_ORDER)
    axes = tuple(_Axis(name=axis) if isinstance(axis, str) else axis for axis in given)
    axes = tuple(axis.model_copy(update={"name": _letter(axis)}) for axis in axes)
    names = [axis.name for axis in axes]
    if len(axes) != n or len(set(names)) != n or not set("yx") <= set(names) <= set(_ORDER):
        said = ", ".join(axis if isinstance(axis, str) else axis.name for axis in given)
        raise DatasetError(
            f"expected the axes of {movie} to be some of t, c, z, y and x, y and x among them, got {said} of an "
            f"array with {n}: export the movie again"
        )
    return axes


def _letter(axis: _Axis) -> str:
    by_type = {"time": "t", "channel": "c"}
    return by_type.get(axis.type or "", axis.name.lower())


def _scale(given: Sequence[_Transformation], n: int) -> tuple[float, ...] | None:
    """Return the size of a voxel along each axis of an array of `n`, in all; None if it is not known."""
    scales = [each.scale for each in given if each.type == "scale" and each.scale is not None and len(each.scale) == n]
    return tuple(math.prod(each) for each in zip(*scales, strict=True)) if scales else None


def _check(image: OmeImage, movie: str) -> None:
    array = image.array
    if array.dtype.name not in EXACT_DTYPES:
        raise DatasetError(
            f"expected images of {movie} to be {', '.join(EXACT_DTYPES)}, got {array.dtype}: convert the movie to "
            "uint16"
        )
    if min(array.shape) < 1 or image.size("c") > _MOST_CHANNELS:
        raise DatasetError(
            f"expected {movie} to have voxels and at most {_MOST_CHANNELS} channels, got the shape {array.shape}: "
            "export it again"
        )
    block = math.prod(array.chunks) * array.dtype.itemsize
    if block > LARGEST_BLOCK_BYTES:
        raise DatasetError(
            f"expected {movie} to be stored in blocks of at most {LARGEST_BLOCK_BYTES >> 30} GiB, got blocks of "
            f"{by(array.chunks)}: export it with smaller chunks"
        )
    shape, chunks = image.of_space(array.shape), image.of_space(array.chunks)
    count = math.prod(-(-size // step) for size, step in zip(shape, chunks, strict=True))
    if count > _MANY_BLOCKS and block < _LEAST_BLOCK_BYTES:  # each of them takes as long as a larger one
        raise DatasetError(
            f"expected {movie} to be stored in blocks of at least {_LEAST_BLOCK_BYTES} bytes, got {count} for each "
            f"timepoint, of {by(chunks)} voxels (Z, Y, X): reading would never end; export it with larger chunks"
        )


def setups_of(images: Sequence[OmeImage], level: int, attributes: Mapping[str, Any]) -> Iterator[ViewSetup]:
    """Yield a source for each channel, as it is at a level."""
    image, (size, unit) = images[level], voxel_sizes_of(images)[level]
    shape, names = image.of_space(image.array.shape), _channel_names(attributes)
    for i in range(image.size("c")):
        name = names[i] if i < len(names) else ""
        yield ViewSetup(i, name, shape, size, unit, {"channel": name or str(i)})


def _channel_names(attributes: Mapping[str, Any]) -> list[str]:
    try:
        return [str(channel.get("label", "")) for channel in attributes["omero"]["channels"]]
    except (LookupError, TypeError, AttributeError):
        return []


def voxel_sizes_of(images: Sequence[OmeImage]) -> list[tuple[VoxelSize | None, str]]:
    """Return the size of a voxel and its unit at each level; where it is not known at full resolution, it never is."""
    if _voxel_size(images[0])[0] is None:
        return [(None, "")] * len(images)
    return [_voxel_size(image) for image in images]


def _voxel_size(image: OmeImage) -> tuple[VoxelSize | None, str]:
    """Return the size of a voxel and its unit, that of X; units that differ are converted."""
    units = {axis.name: (axis.unit or "").lower() for axis in image.axes}
    if image.scale is None:
        return None, ""
    edges = {axis.name: edge for axis, edge in zip(image.axes, image.scale, strict=True) if axis.name in SPACE}
    unit = units["x"]
    for name in edges:
        factor = factor_between(units[name], unit)
        if factor is None:
            logger.warning("The voxel size is not used: its units are %s", ", ".join(units[n] or "none" for n in edges))
            return None, ""
        edges[name] *= factor
    lengths = [edges.get(name, 1.0) for name in SPACE]
    is_set = bool(unit) or set(lengths) != {1.0}  # without a unit, what is written where nothing is known
    is_possible = all(math.isfinite(edge) and edge > 0 for edge in lengths)
    return (VoxelSize(*lengths), unit) if is_set and is_possible else (None, "")


def interval_of(image: OmeImage) -> float | None:
    """Return the seconds between timepoints; None if they are not known."""
    for n, axis in enumerate(image.axes):
        if axis.name == "t" and image.scale is not None:
            seconds = image.scale[n] * (seconds_in(axis.unit) or math.nan)
            return seconds if math.isfinite(seconds) and seconds > 0 else None
    return None


def in_a_line(error: BaseException) -> str:
    """Return the start of an error's text; of what is wrong with metadata, the first thing and where it is."""
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        return f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].lower()}"
    words = " ".join(str(error).split())
    return words[:200] or type(error).__name__
