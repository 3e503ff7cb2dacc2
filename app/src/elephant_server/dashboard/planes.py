"""``dashboard/api/plane``: one plane of an image, of labels or of probabilities, as raw bytes."""

import gzip

import numpy as np
from flask import Blueprint, Response, request
from numpy.typing import NDArray

from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.types import Box
from elephant_server.api.endpoint import endpoint
from elephant_server.dashboard.admission import admitted
from elephant_server.dashboard.query import asked_dataset, read_query
from elephant_server.dashboard.schemas import Axis, PlaneQuery

blueprint = Blueprint("dashboard_planes", __name__)

SMALLEST_PACKED = 1 << 10
_AXES = {"xy": 0, "xz": 1, "yz": 2}


@blueprint.get("/dashboard/api/plane")
@endpoint(None, query=PlaneQuery)
@admitted
def get_plane() -> Response:
    """Send a plane row by row: unsigned integers, little-endian; its shape, type and step are in the headers."""
    query = read_query(PlaneQuery)
    plane = read_plane(asked_dataset(query), query)
    step = -(-max(plane.shape[:2]) // query.most)
    return _answer(np.ascontiguousarray(plane[::step, ::step]), step)


def read_plane(dataset: Dataset, query: PlaneQuery) -> NDArray[np.uint8 | np.uint16]:
    """Return a plane, rows and columns being Y, X or Z, X or Y, Z; of probabilities border and centre, 0 to 255.

    Raises
    ------
    InvalidInputError
        It is not inside the image.
    """
    box = plane_box(dataset.shape, query.axis, query.index)
    if query.layer == "image":
        found = dataset.read_image(query.t, box)
    elif query.layer == "labels":
        found = dataset.read_labels(query.t, box)
    else:
        kept = dataset.read_probabilities(query.t, box)[..., 1:]
        found = (np.clip(kept, 0, 1) * np.float16(255)).astype(np.uint8)
    if not dataset.is_3d:
        return found
    flat = found.squeeze(_AXES[query.axis])
    # Z runs to the right where the plane stands beside the one of X and Y.
    return flat.swapaxes(0, 1) if query.axis == "yz" else flat


def plane_box(shape: tuple[int, ...], axis: Axis, index: int) -> Box:
    """Return the box of a plane that stands at a voxel of an axis.

    Raises
    ------
    InvalidInputError
        It is not inside the image.
    """
    if len(shape) == 2:
        if axis != "xy" or index:
            raise InvalidInputError(f"a 2D dataset has only the plane xy at 0, got {axis} at {index}")
        return Box.whole(shape)
    across = _AXES[axis]
    if index >= shape[across]:
        raise InvalidInputError(f"expected an index below {shape[across]} for {axis}, got {index}")
    origin = tuple(index if i == across else 0 for i in range(3))
    return Box(origin, tuple(1 if i == across else size for i, size in enumerate(shape)))


def _answer(plane: NDArray[np.uint8 | np.uint16], step: int) -> Response:
    content = plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes()
    response = Response(content, mimetype="application/octet-stream")
    response.headers["X-Plane-Shape"] = ",".join(map(str, plane.shape))
    response.headers["X-Plane-Type"] = plane.dtype.name
    response.headers["X-Plane-Step"] = str(step)
    # Kept by the browser for as long as the content is the same: it asks with the tag.
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    response.make_conditional(request)
    if response.status_code == 200 and request.accept_encodings.quality("gzip") > 0 and len(content) >= SMALLEST_PACKED:
        response.set_data(gzip.compress(content, 1))
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    return response
