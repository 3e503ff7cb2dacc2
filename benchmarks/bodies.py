"""Bodies of requests with the client's defaults: vectors in X, Y, Z, lengths in physical units."""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.movies import BenchMovie
from elephant.types import Spot

Body = dict[str, Any]
PATCH = (384, 384, 24)
DETECTION, FLOW = "bench/detection.pth", "bench/flow.pth"
AUGMENTATIONS = {"aug_scale_factor_base": 0.2, "aug_rotation_angle": 180.0, "aug_contrast": 0.5}


def common(dataset: str, movie: BenchMovie) -> Body:
    """Return what every request about a dataset says."""
    return {
        "dataset_name": dataset,
        "scales": list(movie.truth.voxel[::-1]),
        "n_keep_axials": movie.n_keep_axials,
        "is_3d": True,
        "input_size": list(movie.truth.shape[::-1]),
        "cache_maxbytes": 2**30,
        "use_memmap": False,
        "debug": False,
        "batch_size": 1,
    }


def seg_predict(dataset: str, movie: BenchMovie, t: int, **changes: Any) -> Body:
    """Body of ``seg/predict``."""
    return {
        **common(dataset, movie),
        "model_name": DETECTION,
        "timepoint": t,
        "c_ratio": 0.4,
        "p_thresh": 0.5,
        "r_min": 1.0,
        "r_max": 10.0,
        "output_prediction": False,
        "use_median": False,
        "use_2d": False,
        "is_pad": True,
        "patch": PATCH,
        **changes,
    }


def seg_update(dataset: str, movie: BenchMovie, spots: Sequence[Spot], **changes: Any) -> Body:
    """Body of ``seg/update``."""
    annotated = {"spots": [annotation(s) for s in spots], "c_ratio": 0.4, "auto_bg_thresh": 0.0}
    return {**common(dataset, movie), **annotated, "is_livemode": False, "reset": False, **changes}


def seg_reset(dataset: str, movie: BenchMovie, crop: Sequence[int]) -> Body:
    """Body of ``seg/reset`` that starts from the images alone."""
    start = {"crop_size": crop[::-1], "n_crops": 5, "url": None, "seed": 0}
    return {**common(dataset, movie), "model_name": DETECTION, **start}


def seg_train(dataset: str, movie: BenchMovie, spots: Sequence[Spot], crop: Sequence[int], **changes: Any) -> Body:
    """Body of ``seg/train`` with all augmentations on."""
    return {
        **seg_update(dataset, movie, spots),
        **AUGMENTATIONS,
        "model_name": DETECTION,
        "timepoint": 0,
        "crop_size": crop[::-1],
        "lr": 1e-3,
        "n_crops": 5,
        "n_epochs": 1,
        "class_weights": [1, 10, 10],
        "false_weight": 3,
        "log_interval": 1,
        "log_dir": "bench",
        "seed": 0,
        **changes,
    }


def flow_predict(dataset: str, movie: BenchMovie, t: int, **changes: Any) -> Body:
    """Body of ``flow/predict`` for the nuclei of a timepoint."""
    linked = [{k: v for k, v in annotation(s).items() if k in {"id", "pos", "covariance"}} for s in movie.spots(t)]
    flow = {"model_name": FLOW, "timepoint": t, "spots": linked, "max_displacement": 6.0, "patch": PATCH}
    return {**common(dataset, movie), **flow, "output_prediction": False, **changes}


def flow_update(dataset: str, movie: BenchMovie) -> Body:
    """Body of ``flow/update`` with a link to each nucleus that was there before."""
    links = [link for t in range(1, movie.n_timepoints) for link in _links(movie, t)]
    return {**common(dataset, movie), "spots": links, "max_displacement": 6.0, "reset": False}


def flow_train(dataset: str, movie: BenchMovie, crop: Sequence[int], n_steps: int) -> Body:
    """Body of ``flow/train`` on all links, with about so many steps."""
    return {
        **flow_update(dataset, movie),
        "model_name": FLOW,
        "crop_size": crop[::-1],
        "lr": 1e-3,
        "n_crops": max(1, n_steps // (movie.n_timepoints - 1)),
        "n_epochs": 1,
        "dim_weights": [1, 1, 1],
        "aug_scale_factor_base": 0.0,
        "aug_rotation_angle": 0.0,
        "log_interval": 10,
        "log_dir": "bench",
        "seed": 0,
    }


def _links(movie: BenchMovie, t: int) -> Iterator[Body]:
    before = {spot.id: spot.pos for spot in movie.spots(t - 1)}
    for spot in movie.spots(t):
        if spot.id in before:
            ellipsoid = {key: annotation(spot)[key] for key in ("pos", "covariance")}
            yield {"t": t - 1, "displacement": (before[spot.id] - spot.pos)[::-1].tolist(), **ellipsoid}


def annotation(spot: Spot) -> Body:
    """Return a spot that a person has confirmed, as it is sent."""
    return {
        "t": spot.t,
        "id": spot.id,
        "pos": spot.pos[::-1].tolist(),
        "covariance": spot.covariance[::-1, ::-1].ravel().tolist(),
        "tag": "tp",
        "label": "",
    }
