"""The rows by the names with which they are asked for, in the order of the table."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from benchmarks import (
    equality_rows,
    gpu_rows,
    growth_rows,
    limited_rows,
    movie_rows,
    network_rows,
    request_rows,
    spots_rows,
    starting_rows,
    storage_rows,
    training_rows,
    walk_rows,
)
from benchmarks.bench import Bench
from benchmarks.measuring import Result

Group = Callable[[Bench], Iterator[Result]]

CPU_GROUPS: Mapping[str, Group] = MappingProxyType(
    {
        "floors": network_rows.floors,
        "networks": network_rows.networks,
        "predictions": request_rows.predictions,
        "training": training_rows.training,
        "served-training": training_rows.served_training,
        "worked-training": training_rows.worked_training,
        "updates": request_rows.updates,
        "spots": spots_rows.spots,
        "masks": spots_rows.masks,
        "conversion": storage_rows.conversion,
        "reading": storage_rows.reading,
        "polls": request_rows.polls,
        "starting": starting_rows.starting,
        "memory": starting_rows.memory,
        "limited": limited_rows.limited,
        "whole-movie": movie_rows.whole_movie,
        "walk": walk_rows.walk,
        "prediction-growth": growth_rows.prediction_growth,
        "update-growth": growth_rows.update_growth,
        # Labels and outputs of all timepoints are in the server's dataset from then on.
        "disk": storage_rows.disk,
        # Of the models that have learnt there.
        "equality": equality_rows.equality,
    }
)
GPU_GROUPS: Mapping[str, Group] = MappingProxyType(
    {
        "gpu-networks": gpu_rows.networks,
        "gpu-training": gpu_rows.training,
        "gpu-timepoint": gpu_rows.timepoint,
        "gpu-whole-movie": gpu_rows.whole_movie,
        "gpu-equality": equality_rows.equality,
    }
)
