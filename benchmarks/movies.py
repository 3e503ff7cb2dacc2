"""What is measured on: simulated movies, the same each time, or one that is given."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from elephant.config import kept_poolings, n_keep_axials
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.simulation import BigDataViewerWriter, SimulationParameters, Truth, preset, read_truth, simulate
from elephant.simulation import write_movie as simulate_into
from elephant.types import Link, Spot, Tag, VoxelSize

SEED = 1
RADII = (6.0, 3.0, 3.0)  # voxels; of nuclei where nothing is known of them
_CELL = (13, 19, 19)  # room of one blob of a map


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes
    ----------
    movie
        The movie that is predicted, trained on and stored.
    rounds
        How often each thing is timed.
    n_taught
        Steps of the training of the server's detection model: enough that it finds nuclei rather than noise.
    n_learnt
        Steps of trainings whose predictions are kept on disk.
    crops
        Of trainings, Z, Y, X; the first is the client's default.
    n_spots
        Of a label update.
    map_shape, map_cells
        A probability map, and how many cells it has.
    n_painted
        Nuclei of a mask.
    long_shape, lengths
        Movies to convert: one timepoint, Z, Y, X, and how many of them.
    gpu_shape, n_large
        A timepoint for a GPU, and how many of half of it are a movie.
    n_steps
        Of a training over HTTP whose steps are timed.
    n_polls
        Requests whose processor time is measured.
    n_worked
        Requests of each kind that a server has answered when it has worked for a while.
    idle_s
        How long memory may be kept that nobody uses.
    """

    movie: SimulationParameters
    rounds: int
    n_taught: int
    n_learnt: int
    crops: tuple[tuple[int, int, int], ...]
    n_spots: int
    map_shape: tuple[int, int, int]
    map_cells: int
    n_painted: int
    long_shape: tuple[int, int, int]
    lengths: tuple[int, ...]
    gpu_shape: tuple[int, int, int]
    n_large: int
    n_steps: int
    n_polls: int
    n_worked: int
    idle_s: float


FULL = Sizes(
    preset("embryo", seed=SEED),
    rounds=5,
    n_taught=30,
    n_learnt=200,
    crops=((16, 96, 96), (16, 48, 48)),
    n_spots=150,
    map_shape=(64, 512, 512),
    map_cells=2300,
    n_painted=50_000,
    long_shape=(64, 512, 512),
    lengths=(9, 16, 24, 32),
    gpu_shape=(128, 512, 1024),
    n_large=8,
    n_steps=14,
    n_polls=1000,
    n_worked=40,
    idle_s=60,
)
QUICK = Sizes(
    preset("embryo", seed=SEED, shape=(8, 64, 64), timepoints=3, nuclei=6),
    rounds=2,
    n_taught=2,
    n_learnt=2,
    crops=((8, 32, 32), (8, 16, 16)),
    n_spots=20,
    map_shape=(16, 64, 64),
    map_cells=6,
    n_painted=60,
    long_shape=(8, 64, 64),
    lengths=(2, 4, 6),
    gpu_shape=(8, 64, 128),
    n_large=3,
    n_steps=10,
    n_polls=50,
    n_worked=2,
    idle_s=2,
)


@dataclass(frozen=True)
class BenchMovie:
    """A movie on disk and what is known of it."""

    h5: Path
    truth: Truth
    n_timepoints: int

    @property
    def voxel(self) -> VoxelSize:
        """Physical size of a voxel."""
        z, y, x = self.truth.voxel
        return VoxelSize(z, y, x)

    @property
    def n_keep_axials(self) -> int:
        """How many poolings leave Z alone."""
        return kept_poolings(n_keep_axials(self.voxel, 3))

    def spots(self, t: int, n: int | None = None) -> list[Spot]:
        """Return the nuclei of a timepoint, confirmed; with `n`, as many, made up where there are too few."""
        frame = self.truth.spots(t) if t < len(self.truth.frames) else []
        known = [replace(spot, tag=Tag.TP) for spot in frame]
        if n is None and known:
            return known
        wanted = n or 100
        return (known + list(self._made_up(t, wanted - len(known))))[:wanted]

    def links(self, t: int) -> Iterator[Link]:
        """Yield a link to each nucleus of a timepoint that was there before."""
        before = {spot.id: spot.pos for spot in self.spots(t - 1)}
        for spot in self.spots(t):
            if spot.id in before:
                yield Link(t - 1, spot.pos, spot.covariance, before[spot.id] - spot.pos)

    def _made_up(self, t: int, n: int) -> Iterator[Spot]:
        rng = np.random.default_rng(t)
        edges = np.array(self.truth.voxel)
        for i in range(n):
            pos = rng.uniform(0, self.truth.shape) * edges
            yield Spot(t, pos, np.diag((np.array(RADII) * edges) ** 2), Tag.TP, 10_000 + i)


def provide(given: Path | None, sizes: Sizes, folder: Path) -> BenchMovie:
    """Return the movie that was given, with its truth where that lies beside it, or simulate one into a folder."""
    if given is None:
        paths = simulate_into(sizes.movie, folder / "movie.h5")
        return BenchMovie(paths.h5, read_truth(paths.truth), sizes.movie.timepoints)
    movie = BigDataViewerReader.open(given)
    truth = given.with_suffix(".truth.json")
    known = read_truth(truth) if truth.is_file() else Truth((2.0, 0.5, 0.5), movie.shape, ())
    return BenchMovie(given, known, movie.n_timepoints)


def write_long(path: Path, shape: tuple[int, int, int], n_timepoints: int) -> None:
    """Write a movie of one simulated timepoint again and again, compressed and with levels as BigDataViewer does."""
    n_nuclei = max(4, int(np.prod(shape)) // 7300)
    parameters = preset("embryo", seed=SEED, shape=shape, timepoints=1, nuclei=n_nuclei, max_nuclei=10 * n_nuclei)
    with BigDataViewerWriter(path, shape, parameters.voxel) as writer:
        for frame in simulate(parameters):
            writer.append(frame.image)
    path.with_suffix(".xml").unlink()  # it lists one timepoint, whatever follows
    lengthen(path, n_timepoints)


def lengthen(path: Path, n_timepoints: int) -> None:
    """Repeat the first timepoint of a movie."""
    with h5py.File(path, "a") as file:
        for t in range(1, n_timepoints):
            if f"t{t:05d}" not in file:
                file.copy("t00000", f"t{t:05d}")


def probability_map(shape: tuple[int, int, int], n_cells: int) -> NDArray[np.float32]:
    """Return smooth blobs, (Z, Y, X), each above one half at its middle and apart from the others."""
    rng = np.random.default_rng(SEED)
    grid = [s // c for s, c in zip(shape, _CELL, strict=True)]
    chosen = np.stack(np.unravel_index(rng.permutation(int(np.prod(grid)))[:n_cells], grid), axis=1)
    assert len(chosen) == n_cells, f"{shape} has no room for {n_cells} cells"
    offsets = np.meshgrid(*(np.arange(c) - c // 2 for c in _CELL), indexing="ij")
    found = np.zeros(shape, np.float32)
    for origin in chosen * np.array(_CELL):
        radii = rng.uniform(0.8, 1.2, 3) * (3.2, 4.8, 4.8)
        distance = sum((o / r) ** 2 for o, r in zip(offsets, radii, strict=True))
        found[tuple(slice(o, o + c) for o, c in zip(origin, _CELL, strict=True))] = np.exp(-0.7 * distance)
    return found
