"""``dashboard/api/spots``, ``results`` and ``result``: nuclei in kept probabilities and of the last predictions."""

import numpy as np
from flask import Blueprint, Response, jsonify
from numpy.typing import NDArray
from pydantic import ValidationError

from elephant.config import SpotParams
from elephant.dataset import Dataset
from elephant.dataset.summary import image_version
from elephant.errors import InvalidInputError, NotFoundError
from elephant.io.paths import resolve_inside
from elephant.spots import extract_spots
from elephant.types import Box, VoxelSize
from elephant_server.api.endpoint import endpoint
from elephant_server.api.parsing import explain
from elephant_server.dashboard.datasets import plane_box
from elephant_server.dashboard.views import admitted, asked_dataset, read_query
from elephant_server.jobs.progress import in_voxels
from elephant_server.jobs.records import Nuclei, Result
from elephant_server.schemas.dashboard import (
    Axis,
    FoundEllipsoid,
    FoundEllipsoids,
    ResultAnswer,
    ResultNuclei,
    ResultQuery,
    SpotsQuery,
)
from elephant_server.services import services

blueprint = Blueprint("dashboard_spots", __name__)


# A search takes about ten bytes for each voxel, and a second for so many.
MOST_VOXELS = 1 << 24
MOST_SPOTS = 5000
READ_VOXELS = 1 << 22


@blueprint.get("/dashboard/api/spots")
@endpoint(FoundEllipsoids, query=SpotsQuery)
@admitted
def get_spots() -> Response:
    """Find the nuclei in the kept probabilities; of large volumes around a plane alone."""
    query = read_query(SpotsQuery)
    dataset = asked_dataset(query)
    params = _params(query)
    box = searched_box(dataset.shape, query.axis, query.index)
    _, found = extract_spots(centre_probabilities(dataset, query.t, box), params, tuple(map(float, box.origin)))
    along = _along(dataset.shape, query.axis)
    answer = FoundEllipsoids(
        spots=ellipsoids(in_voxels(found, params.voxel_size).best(MOST_SPOTS)),
        n_found=len(found),
        first=box.origin[along],
        end=box.end[along],
        is_whole=box == Box.whole(dataset.shape),
    )
    return jsonify(answer.model_dump())


def searched_box(shape: tuple[int, ...], axis: Axis, index: int) -> Box:
    """Return the whole image, or of a large one a slab around a plane."""
    plane = plane_box(shape, axis, index)
    across = _along(shape, axis)
    thickness = MOST_VOXELS * shape[across] // int(np.prod(shape)) if len(shape) == 3 else 1
    if len(shape) == 2 or thickness >= shape[across]:
        return Box.whole(shape)
    size = max(1, thickness)
    first = min(max(0, index - size // 2), shape[across] - size)
    origin = tuple(first if i == across else o for i, o in enumerate(plane.origin))
    return Box(origin, tuple(size if i == across else s for i, s in enumerate(plane.size)))


def centre_probabilities(dataset: Dataset, t: int, box: Box) -> NDArray[np.float16]:
    """Return the kept centre probabilities of a box, read bit by bit: stored are three for each voxel."""
    found = np.empty(box.size, dtype=np.float16)
    rows = max(1, READ_VOXELS * box.size[0] // found.size)
    for first in range(0, box.size[0], rows):
        n = min(rows, box.size[0] - first)
        part = Box((box.origin[0] + first, *box.origin[1:]), (n, *box.size[1:]))
        found[first : first + n] = dataset.read_probabilities(t, part)[..., 2]
    return found


def _along(shape: tuple[int, ...], axis: Axis) -> int:
    return ("xy", "xz", "yz").index(axis) if len(shape) == 3 else 0


def voxel_size_of(text: str) -> VoxelSize:
    """Return the voxel size that an address gives as X,Y,Z.

    Raises
    ------
    InvalidInputError
        It is no such size.
    """
    try:
        return VoxelSize(*reversed([float(edge) for edge in text.split(",")]))
    except (ValueError, TypeError):
        raise InvalidInputError(f"expected a voxel size as X,Y,Z, got {text!r}") from None


def _params(query: SpotsQuery) -> SpotParams:
    limits = query.model_dump(include={"p_thresh", "c_ratio", "r_min", "r_max"})
    try:
        return SpotParams(voxel_size=voxel_size_of(query.voxel_size), **limits)
    except ValidationError as error:
        raise InvalidInputError(explain(error)) from None


def ellipsoids(nuclei: Nuclei) -> list[FoundEllipsoid]:
    """Return nuclei as the page is sent them."""
    return [
        FoundEllipsoid(
            pos=pos.round(3).tolist(), covariance=covariance.ravel().round(4).tolist(), quality=round(float(quality), 4)
        )
        for pos, covariance, quality in zip(nuclei.pos, nuclei.covariance, nuclei.quality, strict=True)
    ]


@blueprint.get("/dashboard/api/results")
@endpoint(ResultAnswer, is_list=True)
@admitted
def get_results() -> Response:
    """List what the last predictions found, the newest first."""
    return jsonify([_answer(result).model_dump() for result in services().feed.results()])


@blueprint.get("/dashboard/api/result")
@endpoint(ResultNuclei, query=ResultQuery)
@admitted
def get_result() -> Response:
    """Send the nuclei that a prediction found."""
    result = current_result(services().feed.result(read_query(ResultQuery).id))
    answer = ResultNuclei(spots=ellipsoids(Nuclei.unpack(result.nuclei)), n_found=result.n_found)
    return jsonify(answer.model_dump())


def current_result(result: Result | None) -> Result:
    """Return a result that is there and up to date.

    Raises
    ------
    NotFoundError
        It is no longer kept, or the dataset has another image now.
    """
    if result is None:
        raise NotFoundError("this result is no longer kept: predict again")
    if not _is_current(result):
        raise NotFoundError(f"the dataset {result.dataset_name} has changed since this prediction: predict again")
    return result


def _answer(result: Result) -> ResultAnswer:
    return ResultAnswer(
        id=result.id,
        at=result.at,
        dataset=result.dataset_name,
        timepoint=result.timepoint,
        model=result.model_name,
        n_found=result.n_found,
        is_kept=result.is_kept,
        box=None if result.box is None else list(result.box),
        is_current=_is_current(result),
    )


def _is_current(result: Result) -> bool:
    """Return whether the dataset still has the image that was looked at."""
    try:
        folder = resolve_inside(services().settings.datasets_dir, result.dataset_name)
        return str(image_version(folder)) == result.version
    except (OSError, InvalidInputError):  # it is gone
        return False
