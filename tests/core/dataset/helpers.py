"""What the tests of this room share."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from elephant.config import ConversionParams
from elephant.dataset import Dataset, convert
from elephant.dataset.layout import array_specs
from elephant.errors import Cancelled
from elephant.progress import CancelToken, NeverCancelled, NoReporter, ProgressReporter


class Recorder:
    """Records its calls."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Take note."""
        self.told.append((stage, done, total))


class CancelAfter:
    """Ends work once it was asked `n` times."""

    def __init__(self, n: int) -> None:
        self.asked = 0
        self._n = n

    def check(self) -> None:
        """Count, and end."""
        self.asked += 1
        if self.asked > self._n:
            raise Cancelled


def make(
    source: Path,
    destination: Path,
    reporter: ProgressReporter | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> None:
    """Convert with parameters by name."""
    convert(source, destination, ConversionParams(**params), reporter or NoReporter(), cancel or NeverCancelled())


def images_of(folder: Path) -> np.ndarray:
    """Return all timepoints of a dataset, read through it."""
    dataset = Dataset(folder)
    return np.stack([dataset.read_image(t) for t in range(dataset.n_timepoints)])


def content_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, locks aside, with what it holds."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".lock")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def make_as_the_original_did(folder: Path, images: np.ndarray, compressor: Any = "auto") -> None:
    """Write a dataset of Zarr format 2 with chunks of one plane, as the original server did."""
    n_dims = images.ndim - 1
    for spec in array_specs(len(images), images.shape[1:], images.dtype.name).values():
        plane = (1,) * (n_dims - 2) + tuple(min(1024, size) for size in spec.spatial[-2:])
        chunks = (1, *spec.with_channels(plane)) if spec.channel_axis == "last" else (1, 1, *plane)
        array = zarr.create_array(
            folder / spec.name,
            shape=spec.shape,
            dtype=spec.dtype,
            chunks=chunks[: len(spec.shape)] if spec.spatial else (1,),
            zarr_format=2,
            compressors=compressor,
            fill_value=b"" if spec.dtype == "S16" else 0,
        )
        if spec.name == "imgs.zarr":
            array[:] = images
