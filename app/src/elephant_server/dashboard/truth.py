"""``dashboard/api/truths`` and ``evaluation``: what a prediction found against a file of true nuclei."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from flask import Blueprint, Response, jsonify

from elephant.annotations import MovieFacts, nuclei_of, read_annotations
from elephant.config import EvaluationParams
from elephant.dataset import Dataset
from elephant.dataset.source import SOURCE_FILE
from elephant.errors import InvalidInputError, NotFoundError
from elephant.evaluation import Counts, Evaluation, TimepointScores, evaluate_nuclei
from elephant.export.base import TrackedNucleus
from elephant.types import DetectedSpot, Spot, VoxelSize
from elephant_server.api.endpoint import endpoint
from elephant_server.dashboard.spots import current_result, ellipsoids, voxel_size_of
from elephant_server.dashboard.views import admitted, asked_dataset, read_query
from elephant_server.jobs.progress import in_voxels
from elephant_server.jobs.records import Nuclei, Result
from elephant_server.schemas.dashboard import DatasetQuery, EvaluationAnswer, EvaluationQuery, TruthFiles
from elephant_server.services import services

blueprint = Blueprint("dashboard_truth", __name__)

_TABLES = frozenset({".csv", ".tsv", ".json"})
_TRACKMATE, _HEAD_BYTES = b"<TrackMate", 4096
# Files are read in this process: 50,000 nuclei are that large. `elephant evaluate` reads all.
MOST_BYTES = 16 << 20
_MOST_LISTED = 200


@blueprint.get("/dashboard/api/truths")
@endpoint(TruthFiles, query=DatasetQuery)
@admitted
def get_truths() -> Response:
    """List the files in a dataset's folder that may hold true nuclei: tables, JSON and TrackMate's."""
    return jsonify(TruthFiles(names=truths_in(asked_dataset(read_query(DatasetQuery)).folder)).model_dump())


@blueprint.get("/dashboard/api/evaluation")
@endpoint(EvaluationAnswer, query=EvaluationQuery)
@admitted
def get_evaluation() -> Response:
    """Compare what a prediction found with the true nuclei of a file."""
    query = read_query(EvaluationQuery)
    result = current_result(services().feed.result(query.id))
    dataset = Dataset.open(services().settings.datasets_dir, result.dataset_name)
    evaluation = _evaluate(result, dataset, query.truth, voxel_size_of(query.voxel_size))
    (scores,) = evaluation.timepoints
    return jsonify(_answer(scores, evaluation, voxel_size_of(query.voxel_size)).model_dump())


def truths_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder that may hold true nuclei, and are not too large to be read here."""
    found = (path.name for path in folder.iterdir() if _may_hold_truth(path))
    return sorted(found)[:_MOST_LISTED]


def _may_hold_truth(path: Path) -> bool:
    suffix = path.suffix.lower()
    if path.name.startswith(".") or path.name == SOURCE_FILE or suffix not in _TABLES | {".xml"}:
        return False
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_BYTES:
        return False
    if suffix in _TABLES:
        return True
    with path.open("rb") as file:
        return _TRACKMATE in file.read(_HEAD_BYTES)


def _evaluate(result: Result, dataset: Dataset, name: str, voxel_size: VoxelSize) -> Evaluation:
    nuclei = Nuclei.unpack(result.nuclei)
    if result.n_found > len(nuclei.pos):
        raise InvalidInputError(
            f"only the best {len(nuclei.pos)} of {result.n_found} nuclei are kept for this page: compare with elephant "
            "evaluate"
        )
    if name not in truths_in(dataset.folder):
        raise NotFoundError(f"there is no file {name} in the dataset's folder: choose another one")
    path = dataset.folder / name
    status = path.stat()
    truth = _truth(path, MovieFacts.of(dataset, voxel_size), (status.st_mtime_ns, status.st_size))
    true = _where_predicted([each for each in truth if each.t == result.timepoint], result, voxel_size)
    if not true:
        raise InvalidInputError(f"{name} has no nuclei at timepoint {result.timepoint}: look at another one")
    found = [TrackedNucleus(spot) for spot in _physical(nuclei, result.timepoint, voxel_size)]
    return evaluate_nuclei(found, true, EvaluationParams(), n_dims=dataset.n_dims)


@lru_cache(maxsize=2)  # of what one or two people look at
def _truth(path: Path, movie: MovieFacts, _version: tuple[int, int]) -> Sequence[TrackedNucleus]:
    # What belongs to a track is compared by its place alone.
    return [TrackedNucleus(nucleus.spot) for nucleus in nuclei_of(read_annotations(path, movie=movie))]


def _where_predicted(true: Sequence[TrackedNucleus], result: Result, voxel_size: VoxelSize) -> Sequence[TrackedNucleus]:
    """Return the true nuclei of the part that was predicted."""
    if result.box is None:
        return true
    n = len(result.box) // 2
    first, size = np.array(result.box[:n]), np.array(result.box[n:])
    edges = np.array(voxel_size.last(n))

    def is_inside(nucleus: TrackedNucleus) -> bool:
        place = nucleus.spot.pos[3 - n :] / edges - first
        return bool(((place >= -0.5) & (place < size - 0.5)).all())

    return [nucleus for nucleus in true if is_inside(nucleus)]


def _physical(nuclei: Nuclei, t: int, voxel_size: VoxelSize) -> list[Spot]:
    edges = np.array(voxel_size.zyx)
    pairs = zip(nuclei.pos * edges, nuclei.covariance * np.outer(edges, edges), strict=True)
    return [Spot(t, pos, covariance) for pos, covariance in pairs]


def _answer(scores: TimepointScores, evaluation: Evaluation, voxel_size: VoxelSize) -> EvaluationAnswer:
    counts: Counts = scores.matching.counts
    missed = [scores.true[i] for i in sorted(scores.matching.missed)]
    as_found = [DetectedSpot(spot.pos, spot.covariance, 1.0) for spot in missed]
    return EvaluationAnswer(
        distance=evaluation.distance or 0.0,
        n_true=counts.n_true,
        n_found=counts.n_found,
        n_matched=counts.n_matched,
        precision=counts.precision,
        recall=counts.recall,
        f1=counts.f1,
        missed=ellipsoids(in_voxels(as_found, voxel_size)),
        wrong=sorted(scores.matching.wrong),
    )
