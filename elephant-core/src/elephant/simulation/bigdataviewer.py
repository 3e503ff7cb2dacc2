"""Writing movies that BigDataViewer opens: an HDF5 file with several levels of resolution, and its XML.

The format follows files that BigDataViewer itself writes. ``/tTTTTT/sSS/L/cells`` holds timepoint T of setup S at
level L in the order Z, Y, X, unsigned 16-bit values in signed storage. ``/sSS/resolutions`` and ``/sSS/subdivisions``
hold each level's reduction factors and chunk size, in the order X, Y, Z.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.etree import ElementTree as ET

import h5py
import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError

Factors = tuple[int, int, int]
CELL = (4, 32, 32)
SMALLEST_LEVEL = 64  # a level no larger than this in Y and X needs no smaller one


class BigDataViewerWriter:
    """Writes a movie of one setup timepoint by timepoint; a context manager.

    The files get their names when the context ends without an error. After an exception nothing remains.

    Parameters
    ----------
    path
        The ``.h5`` to write; the ``.xml`` goes beside it.
    shape
        Size of a timepoint, Z, Y, X.
    voxel
        Physical edges of a voxel, micrometres, Z, Y, X.

    Raises
    ------
    InvalidInputError
        The shape or the voxel does not have three values, or the path does not end in ``.h5``.
    """

    def __init__(self, path: Path, shape: Sequence[int], voxel: Sequence[float]) -> None:
        if len(shape) != 3 or len(voxel) != 3 or path.suffix != ".h5":
            raise InvalidInputError(
                f"expected the path of an .h5, and a shape and voxel edges of 3 values, got {path}, {shape}, {voxel}"
            )
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._shape = tuple(shape)
        self._voxel = tuple(voxel)
        self._timepoints = 0
        self.levels = choose_levels(self._shape, self._voxel)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = h5py.File(self._partial, "w")
        sizes = [_level_shape(self._shape, factors) for factors in self.levels]
        cells = [_cell(size)[::-1] for size in sizes]
        setup = self._file.create_group("s00")
        setup["resolutions"] = np.array([factors[::-1] for factors in self.levels], np.float64)
        setup["subdivisions"] = np.array(cells, np.int32)
        return self

    def append(self, image: NDArray[np.uint16]) -> None:
        """Write the next timepoint, (Z, Y, X) uint16, and its smaller levels.

        Raises
        ------
        InvalidInputError
            It has another shape or type.
        """
        if image.shape != self._shape or image.dtype != np.uint16:
            raise InvalidInputError(
                f"expected uint16 of {self._shape} for timepoint {self._timepoints}, got {image.dtype} of {image.shape}"
            )
        for level, factors in enumerate(self.levels):
            reduced = block_mean(image, factors)
            self._file.create_dataset(
                f"t{self._timepoints:05d}/s00/{level}/cells",
                data=reduced.view(np.int16),
                chunks=_cell(reduced.shape),
                compression="gzip",
                compression_opts=4,
            )
        self._timepoints += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is not None:
            self._partial.unlink()
            return
        self._partial.replace(self._path)
        tree = ET.ElementTree(describe(self._path.name, self._shape, self._voxel, self._timepoints))
        ET.indent(tree)
        tree.write(self._path.with_suffix(".xml"), encoding="UTF-8", xml_declaration=True)


def choose_levels(shape: Sequence[int], voxel: Sequence[float]) -> list[Factors]:
    """Return each level's reduction factors, Z, Y, X: each level halves the axes with the finest voxels."""
    factors = np.ones(3, int)
    levels: list[Factors] = [(1, 1, 1)]
    while max(np.array(shape[1:]) / factors[1:]) > SMALLEST_LEVEL:
        edges = np.array(voxel) * factors
        finest = edges[np.array(shape) > factors].min()
        halved = (edges < 1.5 * finest) & (np.array(shape) >= 2 * factors)
        if not halved.any():
            break
        factors = np.where(halved, 2 * factors, factors)
        levels.append((int(factors[0]), int(factors[1]), int(factors[2])))
    return levels


def block_mean(image: NDArray[np.uint16], factors: Factors) -> NDArray[np.uint16]:
    """Return the rounded means of blocks of `factors` voxels (Z, Y, X), without an incomplete last block."""
    if prod(factors) == 1:
        return np.ascontiguousarray(image)
    size = _level_shape(image.shape, factors)
    kept = image[tuple(slice(n * f) for n, f in zip(size, factors, strict=True))]
    blocks = kept.reshape([n for pair in zip(size, factors, strict=True) for n in pair])
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3, 5), dtype=np.float64)
    return np.rint(means).astype(np.uint16)


def _level_shape(shape: Sequence[int], factors: Factors) -> tuple[int, ...]:
    return tuple(max(n // f, 1) for n, f in zip(shape, factors, strict=True))


def _cell(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(min(n, cell) for n, cell in zip(shape, CELL, strict=True))


def describe(name: str, shape: Sequence[int], voxel: Sequence[float], timepoints: int) -> ET.Element:
    """Return the XML that goes with an ``.h5`` called `name`; `shape` and `voxel` are Z, Y, X."""
    root = ET.Element("SpimData", version="0.2")
    ET.SubElement(root, "BasePath", type="relative").text = "."
    sequence = ET.SubElement(root, "SequenceDescription")
    loader = ET.SubElement(sequence, "ImageLoader", format="bdv.hdf5")
    ET.SubElement(loader, "hdf5", type="relative").text = name
    setups = ET.SubElement(sequence, "ViewSetups")
    setup = ET.SubElement(setups, "ViewSetup")
    ET.SubElement(setup, "id").text = "0"
    ET.SubElement(setup, "name").text = "channel 1"
    ET.SubElement(setup, "size").text = " ".join(str(n) for n in reversed(shape))
    size = ET.SubElement(setup, "voxelSize")
    ET.SubElement(size, "unit").text = "micrometer"
    ET.SubElement(size, "size").text = " ".join(str(float(edge)) for edge in reversed(voxel))
    ET.SubElement(ET.SubElement(setup, "attributes"), "channel").text = "1"
    channel = ET.SubElement(ET.SubElement(setups, "Attributes", name="channel"), "Channel")
    ET.SubElement(channel, "id").text = "1"
    ET.SubElement(channel, "name").text = "1"
    span = ET.SubElement(sequence, "Timepoints", type="range")
    ET.SubElement(span, "first").text = "0"
    ET.SubElement(span, "last").text = str(timepoints - 1)
    root.append(_registrations(voxel, timepoints))
    return root


def _registrations(voxel: Sequence[float], timepoints: int) -> ET.Element:
    """Return the transformations from voxels to physical space: the same scaling for every timepoint."""
    z, y, x = (float(edge) for edge in voxel)
    scaling = f"{x} 0.0 0.0 0.0 0.0 {y} 0.0 0.0 0.0 0.0 {z} 0.0"
    registrations = ET.Element("ViewRegistrations")
    for t in range(timepoints):
        view = ET.SubElement(registrations, "ViewRegistration", timepoint=str(t), setup="0")
        ET.SubElement(ET.SubElement(view, "ViewTransform", type="affine"), "affine").text = scaling
    return registrations
