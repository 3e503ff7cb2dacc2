"""Tracked nuclei as a label image of the whole movie: an OME-TIFF, or an OME-Zarr folder.

References
----------
Version 0.4 of the specification of OME-Zarr, https://ngff.openmicroscopy.org/0.4.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from elephant.export.base import A_FOLDER, Exporter, Report, TrackedMovie
from elephant.export.ctc_table import MaskTable
from elephant.export.masks import Mask
from elephant.export.track_masks import shown_in_masks, track_masks, warn
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import Shape
from elephant.units import METRES, unit_named
from elephant.words import counted

_TIFF = (".tif", ".tiff")
_CLASSIC_BYTES = 1 << 32
_BLOCK = (16, 256, 256)
_ATTRIBUTES = ".zattrs"
_LARGEST_ATTRIBUTES = 1 << 20
_NAME = "elephant labels"
_PARTS = frozenset({_ATTRIBUTES, ".zgroup", "0"})
_SHORT = {"angstrom": "Å", "nanometer": "nm", "micrometer": "µm", "millimeter": "mm", "centimeter": "cm", "meter": "m"}


class LabelImageExporter(Exporter):
    """An image of T, (Z), Y, X, whose voxels hold the label of the track of their nucleus, as in the masks of ctc."""

    endings = (*_TIFF, A_FOLDER)
    folder_endings = (".zarr",)

    def export(self, movie: TrackedMovie, place: Path, reporter: ProgressReporter, cancel: CancelToken) -> Report:
        """Write the image; warn of what was guessed or changed in the tracks."""
        table = MaskTable.of(movie.nuclei, movie.params.timepoints)
        labels = table.labels()
        warn(_of_counting(movie))
        warn(table.guesses())
        masks = (mask for _, mask in track_masks(movie, table.spots(), labels, reporter, cancel))
        (_write_tiff if place.suffix.lower() in _TIFF else _write_zarr)(place, movie, masks, cancel)
        shown = shown_in_masks(movie, table.spots(), labels)
        warn(table.losses(shown))
        warn(table.changes(labels.changes))
        n, nuclei = len(movie.params.timepoints), counted(shown.n_nuclei, "nucleus", "nuclei")
        words = f"labels of {counted(n, 'timepoint')} with {nuclei} in {counted(len(shown.tracks), 'track')}"
        return Report(words, {"timepoints": n, "cells": shown.n_nuclei, "tracks": len(shown.tracks)})

    def other_content(self, output: Path) -> str | None:
        """Return the name of something that an export does not write; None if nothing is."""
        if not output.is_dir():
            return None if _is_written_here(output) else "an image"
        names = {path.name for path in output.iterdir()}
        if names - _PARTS or not names:
            return min(names - _PARTS, default=None)
        try:
            attributes = output / _ATTRIBUTES
            is_small = attributes.stat().st_size <= _LARGEST_ATTRIBUTES
            return None if is_small and "image-label" in json.loads(attributes.read_bytes()) else "an image"
        except (OSError, ValueError, RecursionError):
            return "an image"


def _is_written_here(tiff: Path) -> bool:
    """Return whether a file is a TIFF of an export, and not, for instance, the movie."""
    with tiff.open("rb") as file:
        file.seek(max(0, tiff.stat().st_size - _LARGEST_ATTRIBUTES))
        end = file.read()
        file.seek(0)
        return f'Name="{_NAME}"'.encode() in file.read(_LARGEST_ATTRIBUTES) + end


def _of_counting(movie: TrackedMovie) -> Iterator[str]:
    if movie.params.t_start:
        yield f"the first timepoint of the image is timepoint {movie.params.t_start} of the movie"


def _shape(movie: TrackedMovie) -> Shape:
    return (len(movie.params.timepoints), *movie.dataset.shape)


def _unit(movie: TrackedMovie) -> str:
    source = movie.dataset.source
    return "" if source is None else unit_named(source.unit)


def _write_tiff(place: Path, movie: TrackedMovie, masks: Iterator[Mask], cancel: CancelToken) -> None:
    shape = _shape(movie)
    metadata: dict[str, Any] = {"axes": "TZYX" if len(shape) == 4 else "TYX", "Name": _NAME}
    short = _SHORT.get(_unit(movie))
    for axis, edge in zip("ZYX"[-movie.dataset.n_dims :], movie.voxel_size.last(movie.dataset.n_dims), strict=True):
        metadata[f"PhysicalSize{axis}"] = edge
        if short is not None:
            metadata[f"PhysicalSize{axis}Unit"] = short
    tifffile.imwrite(
        place,
        _planes(masks, cancel),
        shape=shape,
        dtype=np.uint16,
        ome=True,
        bigtiff=np.prod(shape, dtype=object) * 2 >= _CLASSIC_BYTES,
        compression="zlib",
        compressionargs={"level": 1},
        photometric="minisblack",
        metadata=metadata,
    )


def _planes(masks: Iterator[Mask], cancel: CancelToken) -> Iterator[Mask]:
    for mask in masks:
        for plane in mask.reshape(-1, *mask.shape[-2:]):
            cancel.check()
            yield np.ascontiguousarray(plane)


def _write_zarr(place: Path, movie: TrackedMovie, masks: Iterator[Mask], cancel: CancelToken) -> None:
    shape = _shape(movie)
    blocks = (1, *(min(block, size) for block, size in zip(_BLOCK[-len(shape) + 1 :], shape[1:], strict=True)))
    group = zarr.create_group(place, zarr_format=2, attributes=_attributes(movie))
    array = group.create_array(
        "0", shape=shape, dtype=np.uint16, chunks=blocks, chunk_key_encoding={"name": "v2", "separator": "/"}
    )
    for i, mask in enumerate(masks):
        cancel.check()
        array[i] = mask


def _attributes(movie: TrackedMovie) -> dict[str, Any]:
    n_dims, unit = movie.dataset.n_dims, _unit(movie)
    stated = {"unit": unit} if unit in METRES else {}
    axes: list[Mapping[str, str]] = [{"name": "t", "type": "time"}]
    axes += [{"name": name, "type": "space", **stated} for name in "zyx"[-n_dims:]]
    scale = [1.0, *movie.voxel_size.last(n_dims)]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    return {
        "multiscales": [{"version": "0.4", "name": "labels", "axes": axes, "datasets": levels}],
        "image-label": {"version": "0.4"},
    }
