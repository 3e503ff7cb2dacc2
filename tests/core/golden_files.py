"""Reading the numbers made with the method's published implementation."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from elephant.types import Spot, Tag

FOLDER = Path(__file__).parent / "golden"


def load(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what was asked (`meta`) and the arrays of a golden file."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return json.loads(str(file["meta"])), {key: file[key] for key in file.files if key != "meta"}


def names(pattern: str) -> list[str]:
    found = sorted(path.stem for path in FOLDER.glob(pattern))
    assert found, f"no golden file matches {pattern}"
    return found


def spot(entry: dict[str, Any]) -> Spot:
    return Spot(
        t=entry.get("t", 0),
        pos=np.array(entry["pos"][::-1]),
        covariance=np.array(entry["covariance"][::-1]).reshape(3, 3),
        tag=Tag(entry.get("tag", "unlabeled")),
    )


def voxel_size(scales_zyx: list[float]) -> tuple[float, float, float]:
    return tuple([1.0] * (3 - len(scales_zyx)) + scales_zyx)
