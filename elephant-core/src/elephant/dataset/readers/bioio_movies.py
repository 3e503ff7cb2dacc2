"""Files of microscopes (CZI, LIF, ND2 and others), which the package bioio reads with a plug-in for each format.

References
----------
Brown et al., *BioIO*, https://bioio-devs.github.io/bioio.
"""

import importlib
import importlib.util
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.base import Reader, Region, ViewSetup, choose
from elephant.dataset.readers.bdv_xml import MOST_TIMEPOINTS
from elephant.dataset.readers.foreign import BIOIO, how_to_install, plugin_for
from elephant.dataset.readers.tiff import DTYPES
from elephant.errors import DatasetError, ElephantError, NotFoundError
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import Shape, VoxelSize

_AXES = "TCZYXS"
_MOST_SOURCES = 10_000


@dataclass(frozen=True, slots=True)
class _Part:
    """Where a source is: its scene, channel and colour."""

    scene: int
    channel: int
    colour: int


@dataclass(frozen=True, kw_only=True)
class BioioReader(Reader):
    """Reads what bioio reads, of which each channel of each scene is a source.

    Attributes
    ----------
    part
        Where the source is.
    """

    in_place: bool = False  # a plug-in may read whole volumes

    part: _Part

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether a file has the ending of a format whose plug-in is installed."""
        plugin = plugin_for(path)
        return plugin is not None and path.is_file() and how_to_install(path) is None

    @classmethod
    def open(
        cls,
        path: Path,
        setup: int | None = None,
        *,
        fill_gaps: bool = False,
        cancel: CancelToken = NeverCancelled(),  # noqa: B008 - has no state
    ) -> Self:
        """Inspect a movie without reading its images.

        Parameters
        ----------
        path
            The file.
        setup
            Number of the channel to read; None for the first.
        fill_gaps
            Not used: bioio knows no gaps.
        cancel
            Asked for every scene.

        Raises
        ------
        NotFoundError
            There is no such file.
        InvalidInputError
            There is no such channel.
        DatasetError
            A package is missing, the file cannot be read, or it has axes of which no dataset can be made.
        """
        del fill_gaps
        if not path.is_file():
            raise NotFoundError(f"the movie {path} does not exist: check its name, or copy it")
        with _explained(path):
            image = _image(path)
            sources = list(_sources(image, path, cancel))
            chosen = choose(tuple(each for each, _ in sources), setup, path)
            part = next(part for each, part in sources if each is chosen)
            image.set_scene(part.scene)
            dtype, n_timepoints = np.dtype(image.dtype).name, int(getattr(image.dims, "T", 1))
        if dtype not in DTYPES or n_timepoints > MOST_TIMEPOINTS:
            raise DatasetError(
                f"expected {path.name} to hold at most {MOST_TIMEPOINTS} timepoints of {', '.join(DTYPES)}, got "
                f"{n_timepoints} of {dtype}: export it as OME-TIFF of 16 bits"
            )
        size = chosen.size
        assert size is not None  # noqa: S101 - of all sources it is set
        return cls(
            path=path,
            shape=size,
            dtype=DTYPES[dtype],
            n_timepoints=n_timepoints,
            setup=chosen,
            others=tuple(each for each, _ in sources if each is not chosen),
            chunks=(1, size[1], size[2]),
            stored_bytes=path.stat().st_size // len(sources),
            part=part,
        )

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading blocks of it."""
        with _explained(self.path):
            image = _image(self.path)
            image.set_scene(self.part.scene)
            more = {"S": self.part.colour} if "S" in image.dims.order else {}
            voxels = image.get_image_dask_data("ZYX", T=t, C=self.part.channel, **more)
        yield Timepoint(self, voxels)


class Timepoint:
    """An open timepoint of a movie."""

    def __init__(self, movie: BioioReader, voxels: Any) -> None:
        self._movie = movie
        self._voxels = voxels

    def __getitem__(self, region: Region) -> NDArray[Any]:
        """Return a block of the values, (Z, Y, X), of the movie's type.

        Raises
        ------
        DatasetError
            The block is damaged.
        """
        with _explained(self._movie.path):
            values = self._voxels[region].compute(scheduler="synchronous")
        return np.asarray(values).astype(self._movie.dtype, copy=False)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # plug-ins warn of what their own authors should know
            yield
    except (ElephantError, MemoryError):
        raise
    except Exception as error:  # plug-ins raise errors of any kind
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise DatasetError(
            f"{BIOIO} cannot read {path.name} ({words}): copy it again, or export it as OME-TIFF from Fiji"
        ) from error


def _image(path: Path) -> Any:
    if importlib.util.find_spec(BIOIO) is None:
        raise DatasetError(how_to_install(path) or f'{path.name} needs {BIOIO}: pip install "elephant-core[bioio]"')
    return importlib.import_module(BIOIO).BioImage(path)


def _sources(image: Any, path: Path, cancel: CancelToken) -> Iterator[tuple[ViewSetup, _Part]]:
    number = 0
    for scene, name in enumerate(image.scenes):
        cancel.check()
        image.set_scene(scene)
        shape, n_channels, n_colours = _sizes(image, path)
        channels = [str(channel) for channel in image.channel_names or ()]
        size, unit = _voxel_size(image, shape)
        for channel in range(n_channels):
            for colour in range(n_colours):
                own = channels[channel] if channel < len(channels) else ""
                own += f" {['red', 'green', 'blue', 'alpha'][colour] if n_colours < 5 else colour}" * (n_colours > 1)
                title = f"{name}, {own}".strip(", ") if len(image.scenes) > 1 else own
                attributes = {"channel": own or str(channel), "scene": str(name)}
                yield ViewSetup(number, title, shape, size, unit, attributes), _Part(scene, channel, colour)
                number += 1
        if number > _MOST_SOURCES:
            raise DatasetError(f"expected {path.name} to have at most {_MOST_SOURCES} channels, got more: export one")


def _sizes(image: Any, path: Path) -> tuple[Shape, int, int]:
    """Return (Z, Y, X) and the numbers of channels and colours of a scene."""
    lengths = {axis: int(n) for axis, n in zip(image.dims.order, image.dims.shape, strict=True)}
    others = [axis for axis, n in lengths.items() if axis not in _AXES and n > 1]
    if others:
        raise DatasetError(
            f"expected {path.name} to be a movie of T, C, Z, Y and X, got the axis {others[0]} of "
            f"{lengths[others[0]]}, such as tiles or angles: export one of them as OME-TIFF"
        )
    if min(lengths.values()) < 1:
        raise DatasetError(
            f"expected {path.name} to have voxels, got the shape {tuple(lengths.values())}: export it again"
        )
    return (lengths.get("Z", 1), lengths["Y"], lengths["X"]), lengths.get("C", 1), lengths.get("S", 1)


def _voxel_size(image: Any, shape: Shape) -> tuple[VoxelSize | None, str]:
    """Return the voxel size, in micrometres unless the file says otherwise; None if an edge is not known."""
    sizes = image.physical_pixel_sizes
    edges = [sizes.Z if shape[0] > 1 or sizes.Z else 1.0, sizes.Y, sizes.X]
    if not all(edge is not None and math.isfinite(edge) and edge > 0 for edge in edges):
        return None, ""
    unit = getattr(getattr(getattr(image, "dimension_properties", None), "X", None), "unit", None)
    return VoxelSize(*(float(edge) for edge in edges)), str(unit or "micrometer")
