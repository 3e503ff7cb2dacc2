"""The movies that models are taught on, and what is done to them to see whether it disturbs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from elephant.config import keep_axials_of
from elephant.simulation import Truth, preset, read_truth, simulate
from elephant.types import DetectedSpot, FloatArray, Spot, VoxelSize

N_HOT, TIMES_AS_BRIGHT = 10, 10
SATURATED = 65535
DATA = Path(__file__).parents[2] / "shared" / "data"
PLANE, _PLANE_SEED, _PLANE_TIMEPOINTS = "plane", 3, 8
Images = NDArray[np.uint16]


@dataclass(frozen=True)
class TaughtMovie:
    """A movie with its truth.

    Attributes
    ----------
    name
        Of the dataset.
    read
        Returns its images, (T, Z, Y, X).
    truth
        Its nuclei.
    distance
        Within which a found nucleus is the true one, physical.
    annotated, judged
        Timepoints.
    """

    name: str
    read: Callable[[], Images]
    truth: Truth
    distance: float
    annotated: int = 0
    judged: int = 0

    @classmethod
    def of(cls, text: str) -> "TaughtMovie":
        """Read ``NAME=MOVIE.h5,TRUTH.json,DISTANCE[,ANNOTATED,JUDGED]``."""
        name, _, rest = text.partition("=")
        path, truth, distance, *timepoints = rest.split(",")
        return cls.from_file(name, Path(path), Path(truth), float(distance), *map(int, timepoints))

    @classmethod
    def from_file(
        cls, name: str, path: Path, truth_path: Path, distance: float, annotated: int = 0, judged: int = 0
    ) -> "TaughtMovie":
        """Return a movie whose images are BigDataViewer HDF5."""
        truth = read_truth(truth_path)
        return cls(name, lambda: _read(path, len(truth.frames)), truth, distance, annotated, judged)

    @cached_property
    def images(self) -> Images:
        """All timepoints, (T, Z, Y, X)."""
        return self.read()

    @property
    def n_dims(self) -> int:
        """3, or 2 for a movie of planes."""
        return 2 if self.truth.is_2d else 3

    @property
    def n_timepoints(self) -> int:
        """How many there are."""
        return len(self.truth.frames)

    @property
    def voxel_size(self) -> tuple[float, ...]:
        """Physical, (Z), Y, X."""
        return self.truth.voxel[3 - self.n_dims :]

    @property
    def around_judged(self) -> range:
        """The judged timepoint and those beside it; it alone where there are only two, which are no real movie."""
        if self.n_timepoints <= 2:
            return range(self.judged, self.judged + 1)
        return range(max(self.judged - 1, 0), min(self.judged + 2, self.n_timepoints))

    def facts(self) -> dict[str, Any]:
        """Return what requests say of the movie, sizes in the order X, Y, Z."""
        voxel, shape = VoxelSize(*self.truth.voxel), self.truth.shape
        return {
            "dataset_name": self.name,
            "scales": list(voxel.zyx[::-1]),
            "input_size": list(shape[::-1]),
            "n_keep_axials": keep_axials_of(voxel, shape),
        }

    def spots(self, t: int) -> list[Spot]:
        """Return the true nuclei of a timepoint; Z is 0 in a movie of planes, as in answers."""
        spots = self.truth.spots(t)
        if self.n_dims == 3:
            return spots
        return [replace(spot, pos=np.array([0.0, *spot.pos[1:]])) for spot in spots]

    def earlier(self, t: int) -> Iterator[tuple[Spot, FloatArray]]:
        """Yield the nuclei of a timepoint that were there before, also as a parent's, and where."""
        was = {spot.id: spot.pos for spot in self.spots(t - 1)}
        for nucleus, spot in zip(self.truth.frames[t], self.spots(t), strict=True):
            name = spot.id if spot.id in was else nucleus.parent
            if name in was:
                yield spot, was[name]

    def in_quarter(self, spot: Spot | DetectedSpot) -> bool:
        """Tell whether a nucleus is in the quarter that may be saturated, or near to it."""
        halves = np.array(self.truth.shape[1:]) * self.truth.voxel[1:] / 2
        return bool((spot.pos[1:] < halves + self.distance).all())

    def spoilt(self, how: str) -> "TaughtMovie":
        """Return a copy with spoilt images, one of :data:`SPOILT`."""

        def read() -> Images:
            images = self.images.copy()
            SPOILT[how](images, self.judged)
            return images

        return replace(self, name=f"{self.name}-{how}", read=read)


def _hot(images: Images, judged: int) -> None:
    del judged
    for t, image in enumerate(images):
        image.flat[np.random.default_rng(t).choice(image.size, N_HOT, replace=False)] = SATURATED


def _quarter(images: Images, judged: int) -> None:
    del judged
    images[..., : images.shape[-2] // 2, : images.shape[-1] // 2] = SATURATED


def _bright(images: Images, judged: int) -> None:
    images[judged] = np.minimum(images[judged].astype(np.int64) * TIMES_AS_BRIGHT, SATURATED)


SPOILT: Mapping[str, Callable[[Images, int], None]] = {"hot": _hot, "quarter": _quarter, "bright": _bright}


def _read(path: Path, n_timepoints: int) -> Images:
    with h5py.File(path) as file:
        cells = [file[f"t{t:05d}/s00/0/cells"][:] for t in range(n_timepoints)]
    # Signed cells hold unsigned values.
    return np.stack([cell.view(np.uint16) if cell.dtype == np.int16 else cell.astype(np.uint16) for cell in cells])


def _plane() -> TaughtMovie:
    parameters = preset("flat", seed=_PLANE_SEED, timepoints=_PLANE_TIMEPOINTS)
    frames = list(simulate(parameters))
    truth = Truth(parameters.voxel, parameters.shape, tuple(frame.nuclei for frame in frames))
    return TaughtMovie(PLANE, lambda: np.stack([f.image for f in frames]), truth, distance=3.0, judged=6)


# Distance, and the timepoints that are annotated and judged.
_KNOWN: Mapping[str, tuple[float, int, int]] = {"nuclei3d": (5.0, 0, 0), "ovule": (0.9, 0, 0), "embryo": (2.5, 0, 6)}
NAMES = (*_KNOWN, PLANE)


def known_movie(name: str, data: Path) -> TaughtMovie | None:
    """Return a movie of the table; None where its files are not there. `plane` is simulated.

    Parameters
    ----------
    name
        Of :data:`NAMES`.
    data
        Folder of the files.
    """
    if name == PLANE:
        return _plane()
    path, truth = data / f"{name}.h5", data / f"{name}.truth.json"
    return TaughtMovie.from_file(name, path, truth, *_KNOWN[name]) if path.is_file() and truth.is_file() else None
