"""``dashboard/api/datasets``, ``dataset`` and ``plane``: the datasets, their contents, and planes of their arrays."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from flask import Blueprint, Response, jsonify, request
from numpy.typing import NDArray

from elephant.dataset import Dataset, DatasetSource, describe_change
from elephant.dataset.summary import find_datasets, summarise, voxel_size_beside
from elephant.errors import ElephantError, InvalidInputError, NotFoundError
from elephant.io.paths import resolve_inside
from elephant.lineages import voxel_size_of_lineage
from elephant.types import Box, VoxelSize
from elephant_server.api.endpoint import endpoint
from elephant_server.api.packing import packed
from elephant_server.dashboard.views import admitted, asked_dataset, read_query
from elephant_server.movies import MoviePlaces
from elephant_server.schemas.dashboard import Axis, DatasetAnswer, DatasetQuery, MoviePlace, Names, PlaneQuery
from elephant_server.services import services

blueprint = Blueprint("dashboard_datasets", __name__)


MOST = 500


@blueprint.get("/dashboard/api/datasets")
@endpoint(Names)
@admitted
def get_datasets() -> Response:
    """List the names of the datasets."""
    root = services().settings.datasets_dir
    return jsonify(names=find_datasets(root, MOST) if root.is_dir() else [])


@blueprint.get("/dashboard/api/dataset")
@endpoint(DatasetAnswer, query=DatasetQuery)
@admitted
def get_dataset() -> Response:
    """Describe a dataset."""
    name = read_query(DatasetQuery).dataset
    folder = resolve_inside(services().settings.datasets_dir, name)
    if not folder.is_dir():
        raise NotFoundError(f"there is no dataset {name}: check its name")
    summary = asdict(summarise(folder))
    array_bytes, other_bytes = summary.pop("n_bytes")
    said = services().feed.dataset(name)
    source = DatasetSource.read(folder)
    voxel_size, unit = _voxel_size(folder, source, said.pop("voxel_size", None))
    answer = DatasetAnswer(
        **{**summary, "version": str(summary["version"]), "shape": list(summary["shape"])},
        name=name,
        array_bytes=array_bytes,
        other_bytes=other_bytes,
        voxel_size=voxel_size,
        unit=unit,
        spots=said,
        made_from="" if source is None else source.title,
        movie=None if source is None else _place(source.movie_path(folder)),
        setup=None if source is None else source.setup,
        in_place=source is not None and source.in_place,
        notice=describe_change(folder),
        blank_timepoints=list(source.blank_timepoints) if source else [],
    )
    return jsonify(answer.model_dump())


def _place(movie: Path) -> MoviePlace | None:
    found = MoviePlaces.of(services().settings).place_of(movie)
    return None if found is None else MoviePlace(folder=found[0], movie=found[1])


def _voxel_size(
    folder: Path, source: DatasetSource | None, asked: list[float] | None
) -> tuple[list[float] | None, str]:
    """Return the dataset's voxel size, else that of the last request, its lineages or its .xml, and the unit."""
    if source is not None and source.voxel_size is not None:
        return list(source.voxel_size.zyx), source.unit or ""
    if asked is not None:
        return asked, ""
    tracked = _tracked_size(folder)
    if tracked is not None:
        return list(tracked.zyx), ""
    found = voxel_size_beside(folder) if source is None else None
    return (None, "") if found is None else (list(found[0].zyx), found[1])


def _tracked_size(folder: Path) -> VoxelSize | None:
    """Return the voxel size that is kept with the lineages of a dataset, of which all else may be damaged."""
    try:
        return voxel_size_of_lineage(Dataset(folder))
    except ElephantError:
        return None


_AXES = {"xy": 0, "xz": 1, "yz": 2}


@blueprint.get("/dashboard/api/plane")
@endpoint(None, query=PlaneQuery)
@admitted
def get_plane() -> Response:
    """Send a plane row by row: unsigned integers, little-endian; its shape, type and step are in the headers."""
    query = read_query(PlaneQuery)
    plane = read_plane(asked_dataset(query), query)
    step = -(-max(plane.shape[:2]) // query.most)
    return answer_plane(np.ascontiguousarray(plane[::step, ::step]), step)


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


def answer_plane(plane: NDArray[np.uint8 | np.uint16], step: int) -> Response:
    """Return the answer that holds a plane, of which every `step`-th voxel was taken."""
    content = plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes()
    response = Response(content, mimetype="application/octet-stream")
    response.headers["X-Plane-Shape"] = ",".join(map(str, plane.shape))
    response.headers["X-Plane-Type"] = plane.dtype.name
    response.headers["X-Plane-Step"] = str(step)
    # Kept by the browser for as long as the content is the same: it asks with the tag.
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return packed(response)
