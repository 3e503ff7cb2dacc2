"""``download/tracks``: tracked nuclei in the formats of other programs."""

import math
from pathlib import Path
from types import MappingProxyType

from flask import Blueprint, Response, request
from werkzeug.datastructures import FileStorage

from elephant.dataset import Dataset
from elephant.dataset.summary import image_version
from elephant.errors import InvalidInputError, NotFoundError
from elephant.lineages import voxel_size_of_lineage
from elephant.types import VoxelSize
from elephant_server.api.endpoint import BodySize, endpoint, submit
from elephant_server.api.parsing import load_parts, one_part, parse, read_body
from elephant_server.jobs.records import Nuclei, Result
from elephant_server.jobs.streaming import growing_file
from elephant_server.jobs.submit import TRACKS_EXPORT
from elephant_server.schemas.tracks import FormatQuery, FoundQuery, TrackedSpotBody, TracksBody
from elephant_server.services import services
from elephant_server.uploads import kept_annotations

blueprint = Blueprint("tracks", __name__)

_ENDINGS = MappingProxyType(
    {"geff": ".geff.zip", "ctc": ".zip", "labels": ".tif", "trackmate": ".xml", "napari": ".csv", "json": ".json"}
)


@blueprint.post("/download/tracks")
@endpoint(
    None,
    TracksBody,
    query=FormatQuery,
    takes_upload=True,
    no_content="It was aborted",
    size=BodySize.LARGE,
    is_long=True,
)
def tracks() -> Response:
    """Send the nuclei of the request, or of a file that comes with it, in the format of another program."""
    chosen = FormatQuery.model_validate(request.args.to_dict()).format
    body, upload = _asked()
    return _send(body if chosen is None else body.model_copy(update={"format": chosen}), upload)


@blueprint.get("/download/tracks")
@endpoint(None, query=FoundQuery, no_content="It was aborted", size=BodySize.LARGE, is_long=True)
def found() -> Response:
    """Send what the last predictions found in a dataset, not linked; 404 where none is known any more."""
    query = FoundQuery.model_validate(request.args.to_dict())
    return _send(found_body(query.dataset_name, query.format or "geff"))


def _asked() -> tuple[TracksBody, FileStorage | None]:
    if request.mimetype != "multipart/form-data":
        return read_body(TracksBody), None
    load_parts()
    upload = one_part("file")
    if "data" not in request.form or upload is None:
        raise InvalidInputError(
            "expected multipart with the parts `data` (JSON) and `file` (spots), got others: send both"
        )
    body = parse(TracksBody, request.form["data"])
    if body.spots:
        raise InvalidInputError("expected spots in the JSON or in the file, got both: leave one of them out")
    return body, upload


def _send(body: TracksBody, upload: FileStorage | None = None) -> Response:
    exports = services().settings.exports_dir
    with growing_file(exports) as file, kept_annotations(upload, file.path) as remove:
        job = submit(TRACKS_EXPORT, body, file.path.name)
        # Nothing of the file is known before all of it is.
        answer = services().follower.respond(job, file, "application/octet-stream", math.inf)
        answer.call_on_close(remove)
    if answer.status_code == 200:
        name = f"{Path(body.dataset_name).name}{_ENDINGS.get(body.format, '')}"
        answer.headers.set("Content-Disposition", "attachment", filename=name)
    return answer


def found_body(dataset_name: str, chosen: str) -> TracksBody:
    """Return the request for what the last predictions found in a dataset: of each timepoint the newest.

    Raises
    ------
    NotFoundError
        No result of the dataset as it is now is kept.
    InvalidInputError
        Not all nuclei of a result are kept, or the voxel size of the dataset is not known.
    """
    dataset = Dataset.open(services().settings.datasets_dir, dataset_name)
    voxel = voxel_size_of(dataset, dataset_name)
    if voxel is None:
        raise InvalidInputError(f"the voxel size of {dataset_name} is not known: send the spots and `scales` by POST")
    version = str(image_version(dataset.folder))
    newest: dict[int, Result] = {}
    for result in services().feed.results():
        if result.dataset_name == dataset_name and result.version == version and result.box is None:
            newest.setdefault(result.timepoint, result)
    whole = [services().feed.result(newest[t].id) for t in sorted(newest)]
    if not whole or None in whole:
        raise NotFoundError(f"no prediction on {dataset_name} is kept: predict again, or send the spots by POST")
    spots = [spot for result in whole if result is not None for spot in _spots(result, voxel.zyx)]
    return TracksBody(
        dataset_name=dataset_name, is_3d=dataset.is_3d, scales=voxel.zyx[::-1], spots=tuple(spots), format=chosen
    )


def voxel_size_of(dataset: Dataset, name: str) -> VoxelSize | None:
    """Return a dataset's voxel size, else that of the last request about it, or of its lineages; None if unknown."""
    if dataset.source is not None and dataset.source.voxel_size is not None:
        return dataset.source.voxel_size
    said = services().feed.dataset(name).get("voxel_size")
    return voxel_size_of_lineage(dataset) if said is None else VoxelSize(*said)


def _spots(result: Result, scale: tuple[float, float, float]) -> list[TrackedSpotBody]:
    nuclei = Nuclei.unpack(result.nuclei)
    if len(nuclei.pos) < result.n_found:
        raise InvalidInputError(
            f"expected all nuclei at timepoint {result.timepoint}, got the best {len(nuclei.pos):,} of "
            f"{result.n_found:,}, which is all that is kept: send the spots by POST, or use elephant predict"
        )
    edges = scale[::-1]
    return [
        TrackedSpotBody(
            pos=tuple(x * edge for x, edge in zip(pos[::-1], edges, strict=True)),
            covariance=tuple(
                row[::-1][j] * edges[i] * edges[j] for i, row in enumerate(covariance[::-1]) for j in range(3)
            ),
            t=result.timepoint,
            quality=quality,
        )
        for pos, covariance, quality in zip(
            nuclei.pos.tolist(), nuclei.covariance.tolist(), nuclei.quality.tolist(), strict=True
        )
    ]
