"""Simulated movies, and what a person who annotates them draws."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from elephant.simulation import SimulationParameters, TrueNucleus, preset, read_truth, write_movie

# In 2D three numbers are sent all the same, and what stands at Z means nothing.
ANY_Z = -7.5
ANY_SIZE_Z = -3

# What is simulated, and the n_keep_axials that the client derives for it.
KINDS = {
    "volume": (preset("demo", shape=(12, 48, 48), timepoints=6, nuclei=8), 2),
    "plane": (preset("flat", shape=(1, 64, 64), timepoints=6, nuclei=8, radius=3.0), -1),
}

Drawn = dict[str, Any]


@dataclass(frozen=True)
class Movie:
    """A movie on the client's disk.

    Attributes
    ----------
    shape
        Z, Y, X; Z is 1 in 2D.
    scales
        Physical voxel size, X, Y, Z.
    frames
        The true nuclei of each timepoint.
    stretch
        By how much voxels and nuclei are longer along Z than they were simulated.
    """

    file: Path
    shape: tuple[int, int, int]
    scales: tuple[float, float, float]
    frames: tuple[tuple[TrueNucleus, ...], ...]
    is_3d: bool
    n_keep_axials: int
    stretch: float = 1.0

    @classmethod
    def of_kind(cls, kind: str, file: Path) -> "Movie":
        """Simulate a movie of a kind, one of `KINDS`, into a file."""
        parameters, n_keep_axials = KINDS[kind]
        return cls.simulated(parameters, file, n_keep_axials)

    @classmethod
    def simulated(cls, parameters: SimulationParameters, file: Path, n_keep_axials: int) -> "Movie":
        """Simulate a movie into a file."""
        paths = write_movie(parameters, file)
        is_3d = parameters.n_dims == 3
        x, y, z = parameters.voxel[::-1]
        frames = read_truth(paths.truth).frames
        return cls(file, parameters.shape, (x, y, z if is_3d else ANY_Z), frames, is_3d, n_keep_axials)

    @property
    def n_timepoints(self) -> int:
        return len(self.frames)

    def lengthen(self, n_bytes: int) -> None:
        """Make the file longer by something that no reader of movies looks at."""
        with h5py.File(self.file, "a") as file:
            file["thumbnail"] = np.random.default_rng(0).integers(0, 256, n_bytes, dtype=np.uint8)

    def sizes(self, x: int, y: int, z: int) -> list[int]:
        """Return numbers of voxels as the client sends them."""
        return [x, y, z if self.is_3d else ANY_SIZE_Z]

    def drawn(self, t: int) -> list[Drawn]:
        """Return the nuclei of a timepoint as spots of Mastodon: id, pos and covariance."""
        return [self._drawn(nucleus) for nucleus in self.frames[t]]

    def holds(self, spot: Drawn) -> bool:
        """Return whether the centre of a spot lies in the image."""
        voxel = np.divide(spot["pos"], self.scales).round()
        n = 3 if self.is_3d else 2
        return bool((voxel[:n] >= 0).all() and (voxel[:n] < self.shape[::-1][:n]).all())

    def links(self, t: int) -> list[Drawn]:
        """Return the links from `t` to the timepoint after it."""
        before = {spot["id"]: np.array(spot["pos"]) for spot in self.drawn(t)}
        return [
            {
                "t": t,
                "pos": spot["pos"],
                "covariance": spot["covariance"],
                "displacement": (before[spot["id"]] - spot["pos"]).tolist(),
            }
            for spot in self.drawn(t + 1)
            if spot["id"] in before
        ]

    def _drawn(self, nucleus: TrueNucleus) -> Drawn:
        pos = nucleus.spot.pos[::-1] * [1, 1, self.stretch]
        covariance = nucleus.spot.covariance[::-1, ::-1] * np.outer([1, 1, self.stretch], [1, 1, self.stretch])
        if not self.is_3d:
            pos[2] = ANY_Z
            covariance[2], covariance[:, 2] = 0, 0
        return {"id": nucleus.spot.id, "pos": pos.tolist(), "covariance": covariance.ravel().tolist()}


def distances(spots: list[Drawn], others: list[Drawn]) -> np.ndarray:
    """Return the physical distance in the plane of each spot to each other one."""
    first, second = (np.array([s["pos"][:2] for s in some]).reshape(-1, 2) for some in (spots, others))
    return np.linalg.norm(first[:, None] - second[None], axis=-1)
