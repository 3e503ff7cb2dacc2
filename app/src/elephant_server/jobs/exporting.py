"""The job of ``download/tracks``: spots of the request, or of a file that came with it, into a file to send."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from elephant.dataset import Dataset
from elephant.errors import Cancelled, InvalidInputError, reason_of
from elephant.export.base import TrackedMovie, TrackedNucleus
from elephant.progress import NoReporter
from elephant_server.errors import StorageError
from elephant_server.jobs.context import WorkerContext, open_dataset
from elephant_server.jobs.control import JobControl
from elephant_server.jobs.progress import DashboardProgress
from elephant_server.schemas.tracks import TracksBody
from elephant_server.uploads import annotations_place, passing_place


def tracks_export(context: WorkerContext, body: TracksBody, control: JobControl, file: str) -> dict[str, Any]:
    """Write the nuclei in the format that is asked for into the file that is there for it."""
    from elephant.export.output import exporter_named  # noqa: PLC0415 - its import takes as long as half the server

    place = passing_place(context.exports, file)
    exporter = exporter_named(body.format)
    ending = next(filter(None, exporter.kind.endings), None)
    if ending is None:
        raise InvalidInputError(f"{body.format} is written as a folder, which cannot be sent: use elephant export")
    dataset = open_dataset(context, body.dataset_name, body.is_3d, body.stated_voxel_size)
    uploaded = annotations_place(context.exports, file)
    nuclei = _uploaded(uploaded, body, dataset, control) if uploaded is not None else body.nuclei(control)
    if not nuclei:
        raise InvalidInputError("nothing to export: expected spots, or a file of them, got none: send some")
    movie = TrackedMovie(dataset, nuclei, body.params(dataset.n_timepoints - 1))
    reporter = DashboardProgress(context.feed_publisher, control.job_id, NoReporter())
    try:
        with tempfile.TemporaryDirectory(dir=context.exports) as folder:
            written = Path(folder) / f"export{ending}"
            exporter.export(movie, written, reporter, control)
            return {"size": _copy(written, place)}
    except FileNotFoundError as error:
        raise Cancelled("nobody waits for the export any more") from error
    except OSError as error:
        raise StorageError(
            f"the tracks cannot be written ({reason_of(error)}): make room on the disk of the workspace, then try again"
        ) from error


def _uploaded(path: Path, body: TracksBody, dataset: Dataset, control: JobControl) -> list[TrackedNucleus]:
    """Return the nuclei of the file that came with the request."""
    from elephant.annotations import MovieFacts, nuclei_of, read_annotations  # noqa: PLC0415 - as above

    movie = MovieFacts.of(dataset, body.stated_voxel_size)
    return nuclei_of(read_annotations(path, body.about_file(), movie, control))


def _copy(written: Path, place: Path) -> int:
    """Copy what was written into a file, only if that exists: it is gone when nobody waits; return its size."""
    with place.open("r+b") as target, written.open("rb") as source:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
        return target.tell()
