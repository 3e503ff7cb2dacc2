"""What is true of a movie: where its nuclei are, how large, and which of them came from which.

The file is JSON: ``voxel`` and ``shape`` in the order Z, Y, X, and ``frames``, per timepoint a list of ``t``,
``id``, ``parent`` (null, or the mother where the nucleus has just divided off), ``pos`` (X, Y, Z) and
``covariance`` (row-major over X, Y, Z), both physical. The one-sigma surface of the covariance is the surface
of the nucleus. In 2D ``shape`` is [1, Y, X], positions have Z = 0 and covariances ZZ = 1.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elephant.errors import InvalidInputError, NotFoundError
from elephant.types import Shape, Spot


@dataclass(frozen=True, slots=True)
class TrueNucleus:
    """A nucleus at one timepoint: its ellipsoid and, in its first timepoint, the id of its mother."""

    spot: Spot
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth of a whole movie.

    Attributes
    ----------
    voxel
        Physical edges of a voxel, Z, Y, X.
    shape
        Size of a timepoint, Z, Y, X; Z is 1 in 2D.
    frames
        The nuclei of each timepoint.
    """

    voxel: tuple[float, ...]
    shape: Shape
    frames: tuple[tuple[TrueNucleus, ...], ...]

    @property
    def is_2d(self) -> bool:
        """Whether the movie has one plane only."""
        return self.shape[0] == 1

    def spots(self, t: int) -> list[Spot]:
        """Return the ellipsoids of timepoint `t`."""
        return [nucleus.spot for nucleus in self.frames[t]]


def write_truth(path: Path, truth: Truth) -> None:
    """Write `truth` to `path`, beside it first: a reader never sees half a file."""
    content = {
        "voxel": list(truth.voxel),
        "shape": list(truth.shape),
        "frames": [[_to_json(nucleus) for nucleus in frame] for frame in truth.frames],
    }
    beside = path.with_name(path.name + ".partial")
    beside.write_text(json.dumps(content), encoding="utf-8")
    beside.replace(path)


def read_truth(path: Path) -> Truth:
    """Read a truth from `path`.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        It is not a truth: no JSON, a missing key, a number that is none.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no truth at {path}: give the .truth.json that belongs to the movie")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        voxel = tuple(float(edge) for edge in content["voxel"])
        shape = tuple(int(size) for size in content["shape"])
        frames = tuple(tuple(_from_json(item) for item in frame) for frame in content["frames"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInputError(f"{path} is not a truth with voxel, shape and frames: {error!r}") from error
    if len(voxel) != 3 or len(shape) not in (2, 3):
        raise InvalidInputError(f"{path} needs a voxel of 3 and a shape of 3 (or 2) numbers, not {voxel}, {shape}")
    return Truth(voxel, (1,) * (3 - len(shape)) + shape, frames)


def _to_json(nucleus: TrueNucleus) -> dict[str, Any]:
    spot = nucleus.spot
    return {
        "t": spot.t,
        "id": spot.id,
        "parent": nucleus.parent,
        "pos": spot.pos[::-1].tolist(),
        "covariance": spot.covariance[::-1, ::-1].ravel().tolist(),
    }


def _from_json(item: dict[str, Any]) -> TrueNucleus:
    pos = np.array(item["pos"], dtype=np.float64)[::-1]
    covariance = np.array(item["covariance"], dtype=np.float64).reshape(3, 3)[::-1, ::-1]
    parent = item.get("parent")
    spot = Spot(int(item["t"]), pos, covariance, id=int(item["id"]))
    return TrueNucleus(spot, None if parent is None else int(parent))
