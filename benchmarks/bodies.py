"""Bodies of requests about a movie, with the client's defaults."""

from collections.abc import Sequence
from typing import Any

from benchmarks.movies import BenchMovie
from elephant.types import Spot
from elephant_server.schemas.requests import Json, MovieRequests

PATCH = (24, 384, 384)
DETECTION, FLOW = "bench/detection.pth", "bench/flow.pth"
AUGMENTATIONS = {"aug_scale_factor_base": 0.2, "aug_rotation_angle": 180.0, "aug_contrast": 0.5}
TRAINING = {"lr": 1e-3, "n_epochs": 1, "log_dir": "bench", "seed": 0, "cache_maxbytes": 2**30}
_C_RATIO = {"c_ratio": 0.4}


def requests_about(dataset: str, movie: BenchMovie) -> MovieRequests:
    """Return what makes the bodies of requests about a dataset."""
    return MovieRequests(dataset, tuple(movie.truth.voxel))


def seg_predict(dataset: str, movie: BenchMovie, t: int, **changes: Any) -> Json:
    """Body of ``seg/predict``."""
    found = {"p_thresh": 0.5, "r_min": 1.0, "r_max": 10.0, "is_pad": True, **_C_RATIO}
    return requests_about(dataset, movie).predict(DETECTION, t, **{**_prediction(movie), **found, **changes})


def seg_update(dataset: str, movie: BenchMovie, spots: Sequence[Spot], **changes: Any) -> Json:
    """Body of ``seg/update``."""
    return requests_about(dataset, movie).update(spots, **{**_C_RATIO, "is_livemode": False, **changes})


def seg_reset(dataset: str, movie: BenchMovie, crop: Sequence[int]) -> Json:
    """Body of ``seg/reset`` that starts from the images alone."""
    start = {"n_keep_axials": movie.n_keep_axials, "cache_maxbytes": 2**30}
    return requests_about(dataset, movie).reset(DETECTION, crop_size=crop, n_crops=5, seed=0, **start)


def seg_train(dataset: str, movie: BenchMovie, spots: Sequence[Spot], crop: Sequence[int], **changes: Any) -> Json:
    """Body of ``seg/train`` with all augmentations on."""
    weights = {"class_weights": [1, 10, 10], "false_weight": 3, "n_crops": 5, "log_interval": 1, **_C_RATIO}
    given = {**TRAINING, **AUGMENTATIONS, **weights, "n_keep_axials": movie.n_keep_axials, **changes}
    return requests_about(dataset, movie).train(DETECTION, spots, crop_size=crop, **given)


def flow_predict(dataset: str, movie: BenchMovie, t: int, **changes: Any) -> Json:
    """Body of ``flow/predict`` for the nuclei of a timepoint."""
    spots = {spot.id: spot for spot in movie.spots(t)}
    given = {**_prediction(movie), "max_displacement": 6.0, **changes}
    return requests_about(dataset, movie).predict_flow(FLOW, t, spots, **given)


def flow_train(dataset: str, movie: BenchMovie, crop: Sequence[int], n_steps: int) -> Json:
    """Body of ``flow/train`` on a link to each nucleus that was there before, with about so many steps."""
    links = [link for t in range(1, movie.n_timepoints) for link in movie.links(t)]
    steps = {"n_crops": max(1, n_steps // (movie.n_timepoints - 1)), "log_interval": 10, "max_displacement": 6.0}
    given = {**TRAINING, **steps, "n_keep_axials": movie.n_keep_axials}
    plain = {"aug_scale_factor_base": 0.0, "aug_rotation_angle": 0.0}
    return requests_about(dataset, movie).train_flow(FLOW, links, crop_size=crop, **given, **plain)


def _prediction(movie: BenchMovie) -> Json:
    return {"n_keep_axials": movie.n_keep_axials, "cache_maxbytes": 2**30, "patch": PATCH}
