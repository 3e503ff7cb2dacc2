"""Every body that takes JSON, as the released client fills it."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from client.movies import Movie
from client.released import ReleasedClient
from elephant.progress import NeverCancelled
from elephant_server.schemas.common import Body
from elephant_server.schemas.dataset import CtcBody, DatasetCheckBody, DatasetGenerateBody, ModelDownloadBody
from elephant_server.schemas.detection import SegPredictBody, SegResetBody, SegTrainBody, SegUpdateBody
from elephant_server.schemas.flow import FlowPredictBody, FlowResetBody, FlowTrainBody, FlowUpdateBody
from elephant_server.schemas.state import ParamsBody, ProcessBody

Sent = dict[str, Any]
COVARIANCE = [4.0, 0.125, 0.25, 0.125, 5.0, 0.375, 0.25, 0.375, 6.0]
ELLIPSOID: Sent = {"pos": [1.5, 2.5, 3.5], "covariance": COVARIANCE}
SPOT: Sent = {**ELLIPSOID, "t": 3, "tag": "fn", "label": "7", "id": 7}
LINK: Sent = {**ELLIPSOID, "t": 3, "displacement": [-1.5, 0.25, 2.0]}


def client_of(is_3d: bool = True) -> ReleasedClient:
    """Return a client that is asked for its bodies alone."""
    shape, scales = ((12, 80, 96), (0.5, 0.75, 2.0)) if is_3d else ((1, 80, 96), (0.5, 0.75, -7.5))
    movie = Movie(Path(), shape, scales, ((),) * 6, is_3d, 2 if is_3d else -1)
    server: Any = None
    return ReleasedClient(server, movie, "user/movie", "user/detection.pth", "user/flow.pth")


def bodies_of(client: ReleasedClient) -> dict[type[Body], Sent]:
    """Return a body of each kind, which is accepted."""
    marked = {**ELLIPSOID, "t": 0, "value": 3}
    box = [1, 2, 3 if client.movie.is_3d else -7, 10, 20, 5 if client.movie.is_3d else -7]
    return {
        ProcessBody: {"state": 2},
        ParamsBody: {"lr": 0.001, "n_crops": 5},
        DatasetCheckBody: client.check_body(),
        DatasetGenerateBody: {**client.generate_body(), "is_uint16": True, "divisor": 2.0},
        SegPredictBody: client.seg_predict_body(2, crop_box=box),
        SegTrainBody: client.seg_train_body([SPOT]),
        SegUpdateBody: client.seg_update_body([SPOT]),
        SegResetBody: client.seg_reset_body("Versatile"),
        FlowPredictBody: client.flow_predict_body(2, [{**ELLIPSOID, "id": 7}], crop_box=box),
        FlowTrainBody: client.flow_train_body([LINK]),
        FlowUpdateBody: client.flow_update_body([LINK]),
        FlowResetBody: client.flow_reset_body(),
        ModelDownloadBody: {"model_name": "user/detection.pth"},
        CtcBody: client.export_body([marked], 0, 3),
    }


def core_of(body: Body) -> dict[str, Any]:
    """Return all that a worker asks a body for, by name."""
    asked = ("params", "start", "labels", "conversion", "about", "facts")
    given = ("annotations", "asked", "nuclei")
    found = {name: getattr(body, name)() for name in asked if hasattr(body, name)}
    items = {name: list(map(fields_of, getattr(body, name)(NeverCancelled()))) for name in given if hasattr(body, name)}
    return {**found, **items}


def fields_of(item: Any) -> Any:
    """Return a spot, link or marked nucleus of the core as plain values, which can be compared."""
    if isinstance(item, np.ndarray):
        return item.tolist()
    return {f.name: fields_of(getattr(item, f.name)) for f in fields(item)} if is_dataclass(item) else item
