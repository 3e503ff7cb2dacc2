"""The bodies of the requests, as the client sends them: vectors in X, Y, Z, lengths in physical units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.config import n_keep_axials
from elephant.simulation import Truth
from elephant.types import Spot, VoxelSize
from elephant_server.demo.options import DemoOptions

Body = dict[str, Any]

C_RATIO = 0.5
P_THRESH = 0.4
LARGEST_PATCH = (512, 512, 64)  # X, Y, Z: what a network takes at once on an ordinary machine


@dataclass(frozen=True, slots=True)
class MovieFacts:
    """What the requests need to know of a movie.

    Attributes
    ----------
    timepoints
        Its length.
    truth
        Voxel size, shape and true nuclei.
    threshold
        Normalised intensity (0 to 1) below which there is no nucleus.
    """

    timepoints: int
    truth: Truth
    threshold: float

    @property
    def size(self) -> list[int]:
        """Voxels of a timepoint, X, Y, Z."""
        return list(self.truth.shape[::-1])


def check(options: DemoOptions, facts: MovieFacts) -> Body:
    """Body of ``dataset/check``."""
    shape = facts.truth.shape[1 if facts.truth.is_2d else 0 :]
    return {"dataset_name": options.dataset, "shape": [facts.timepoints, *shape]}


def generate(options: DemoOptions, facts: MovieFacts) -> Body:
    """Body of ``dataset/generate``."""
    return {"dataset_name": options.dataset, "is_2d": facts.truth.is_2d, "setup": options.setup}


def clear_labels(options: DemoOptions) -> Body:
    """Body of ``seg/update`` that forgets the labels of an earlier demonstration."""
    return {"dataset_name": options.dataset, "reset": True}


def reset(options: DemoOptions, facts: MovieFacts) -> Body:
    """Body of ``seg/reset`` that starts from the images alone."""
    return _common(options, facts) | {
        "crop_size": _crop_size(options, facts),
        "n_crops": 5,
        "url": None,
        "seed": options.seed,
    }


def train(options: DemoOptions, facts: MovieFacts) -> Body:
    """Body of ``seg/train`` with every true nucleus of the timepoint confirmed."""
    return _common(options, facts) | {
        "spots": [_spot(spot) for spot in facts.truth.spots(options.timepoint)],
        "timepoint": options.timepoint,
        "crop_size": _crop_size(options, facts),
        "lr": options.lr,
        "batch_size": options.batch_size,
        "n_crops": options.crops,
        "n_epochs": options.epochs,
        "is_livemode": False,
        "aug_scale_factor_base": 0.1,
        "aug_rotation_angle": 90,
        # Nuclei reach past their ellipsoids: dimming what is labelled alone would teach the ellipsoid's edge.
        "aug_contrast": 0,
        "class_weights": [1, 10, 10],
        "false_weight": 10,
        "auto_bg_thresh": facts.threshold,
        "c_ratio": C_RATIO,
        "log_interval": 1,
        "log_dir": options.dataset,
        "debug": False,
        "seed": options.seed,
    }


def predict(options: DemoOptions, facts: MovieFacts) -> Body:
    """Body of ``seg/predict`` for the timepoint after the one that was trained on."""
    smallest, largest = radius_range(facts.truth.spots(options.timepoint), 2 if facts.truth.is_2d else 3)
    body = _common(options, facts) | {
        "timepoint": options.timepoint + 1,
        "c_ratio": C_RATIO,
        "p_thresh": P_THRESH,
        "r_min": smallest,
        "r_max": largest,
        "output_prediction": True,
        "use_median": False,
        "is_pad": True,
        "use_2d": False,
        "batch_size": 1,
        "debug": False,
    }
    if any(n > limit for n, limit in zip(facts.size, LARGEST_PATCH, strict=True)):
        body["patch"] = [min(n, limit) for n, limit in zip(facts.size, LARGEST_PATCH, strict=True)]
    return body


def radius_range(spots: Sequence[Spot], n_dims: int) -> tuple[float, float]:
    """Return `r_min` and `r_max` that let pass what looks like `spots`, and daughters half their size."""
    axes = [np.sqrt(np.linalg.eigvalsh(spot.covariance[3 - n_dims :, 3 - n_dims :])) for spot in spots]
    return round(0.5 * float(np.min(axes)), 3), round(1.25 * float(np.max(axes)), 3)


def background_threshold(image: NDArray[np.integer]) -> float:
    """Return a normalised intensity (0 to 1) that hardly any voxel between the nuclei exceeds.

    Most of a movie is background, so its median and its robust deviation are those of the background. What a nucleus
    covers is annotated and counts as such even below the threshold.
    """
    low, high = float(image.min()), float(image.max())
    if low == high:
        return 0.0
    median = float(np.median(image))
    deviation = 1.4826 * float(np.median(np.abs(image - median)))
    return round(min((median + 4 * deviation - low) / (high - low), 1.0), 4)


def _common(options: DemoOptions, facts: MovieFacts) -> Body:
    return {
        "dataset_name": options.dataset,
        "model_name": f"{options.dataset}.pth",
        "scales": list(facts.truth.voxel[::-1]),
        "n_keep_axials": n_keep_axials(VoxelSize(*facts.truth.voxel), 2 if facts.truth.is_2d else 3),
        "is_3d": not facts.truth.is_2d,
        "use_memmap": True,
        "cache_maxbytes": 2**30,
        "input_size": facts.size,
    }


def _crop_size(options: DemoOptions, facts: MovieFacts) -> list[int]:
    return [min(n, size) for n, size in zip(options.crop_size[::-1], facts.size, strict=True)]


def _spot(spot: Spot) -> Body:
    return {
        "t": spot.t,
        "id": spot.id,
        "pos": spot.pos[::-1].tolist(),
        "covariance": spot.covariance[::-1, ::-1].ravel().tolist(),
        "tag": "tp",
        "label": str(spot.id),
    }
