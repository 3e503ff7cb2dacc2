"""``dashboard/api/datasets``: which datasets there are, and what they hold."""

from dataclasses import asdict

from flask import Blueprint, Response, jsonify

from elephant.dataset import DatasetSource, describe_change
from elephant.dataset.summary import find_datasets, summarise, voxel_size_of_movie
from elephant.errors import NotFoundError
from elephant.paths import resolve_inside
from elephant_server.api.described import described
from elephant_server.dashboard.query import read_query
from elephant_server.dashboard.schemas import DatasetAnswer, DatasetQuery, Names
from elephant_server.dashboard.turns import in_turn
from elephant_server.services import services

blueprint = Blueprint("dashboard_datasets", __name__)

MOST = 500


@blueprint.get("/dashboard/api/datasets")
@described(Names)
@in_turn
def get_datasets() -> Response:
    """List the names of the datasets."""
    root = services().settings.datasets_dir
    return jsonify(names=find_datasets(root, MOST) if root.is_dir() else [])


@blueprint.get("/dashboard/api/dataset")
@described(DatasetAnswer, query=DatasetQuery)
@in_turn
def get_dataset() -> Response:
    """Tell what a dataset holds."""
    name = read_query(DatasetQuery).dataset
    folder = resolve_inside(services().settings.datasets_dir, name)
    if not folder.is_dir():
        raise NotFoundError(f"there is no dataset {name}: check its name")
    summary = asdict(summarise(folder))
    array_bytes, other_bytes = summary.pop("n_bytes")
    said = services().bulletin.dataset(name)
    source = DatasetSource.read(folder)
    from_movie = voxel_size_of_movie(folder)
    answer = DatasetAnswer(
        **{**summary, "version": str(summary["version"]), "shape": list(summary["shape"])},
        name=name,
        array_bytes=array_bytes,
        other_bytes=other_bytes,
        voxel_size=said.pop("voxel_size", None) or (list(from_movie.zyx) if from_movie else None),
        spots=said,
        made_from="" if source is None else source.title,
        notice=describe_change(folder),
        blank_timepoints=list(source.blank_timepoints) if source else [],
    )
    return jsonify(answer.model_dump())
