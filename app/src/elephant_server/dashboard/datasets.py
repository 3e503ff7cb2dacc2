"""``dashboard/api/datasets``: the datasets and their contents."""

from dataclasses import asdict
from pathlib import Path

from flask import Blueprint, Response, jsonify

from elephant.dataset import DatasetSource, describe_change
from elephant.dataset.summary import find_datasets, summarise
from elephant.dataset.voxels import voxel_size_beside
from elephant.errors import NotFoundError
from elephant.io.paths import resolve_inside
from elephant_server.api.endpoint import endpoint
from elephant_server.dashboard.admission import admitted
from elephant_server.dashboard.query import read_query
from elephant_server.dashboard.schemas import DatasetAnswer, DatasetQuery, Names
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
        notice=describe_change(folder),
        blank_timepoints=list(source.blank_timepoints) if source else [],
    )
    return jsonify(answer.model_dump())


def _voxel_size(
    folder: Path, source: DatasetSource | None, asked: list[float] | None
) -> tuple[list[float] | None, str]:
    """Return the dataset's voxel size, else that of the last request, else that of its .xml, and the unit."""
    if source is not None and source.voxel_size is not None:
        return list(source.voxel_size.zyx), source.unit or ""
    if asked is not None:
        return asked, ""
    found = voxel_size_beside(folder) if source is None else None
    return (None, "") if found is None else (list(found[0].zyx), found[1])
