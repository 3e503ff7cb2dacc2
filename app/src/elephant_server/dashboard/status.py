"""``dashboard/api/status``: what the server does at the moment."""

import time

from flask import Blueprint, Response, jsonify

from elephant_server import __version__
from elephant_server.api.endpoint import endpoint
from elephant_server.dashboard.manual import manual_of
from elephant_server.dashboard.schemas import JobStatus, Status
from elephant_server.jobs.records import JobEntry, JobKind
from elephant_server.schemas.answers import Device
from elephant_server.schemas.state import ProcessState
from elephant_server.services import Services, services

blueprint = Blueprint("dashboard_status", __name__)


@blueprint.get("/dashboard/api/status")
@endpoint(Status)
def get_status() -> Response:
    """Return the running jobs, their progress, and the memory in use."""
    return jsonify(status_of(services()).model_dump())


def status_of(parts: Services) -> Status:
    """Return what the server does.

    Raises
    ------
    redis.exceptions.RedisError
        The state cannot be reached.
    """
    entries = sorted(
        parts.job_store.entries(), key=lambda entry: (entry.phase != "running", entry.kind != JobKind.INTERACTIVE)
    )
    known = parts.feed.jobs([entry.id for entry in entries]) if entries else []
    state = parts.job_store.process_state()
    return Status(
        state=int(state),
        is_held=state is ProcessState.WAITING and bool(entries) and all(e.kind is JobKind.TRAINING for e in entries),
        jobs=[_job(entry, fields) for entry, fields in zip(entries, known, strict=True)],
        latest_job=parts.feed.latest_job(),
        latest_result=next((result.id for result in parts.feed.results()), ""),
        devices=[Device(**entry.as_json()) for entry in parts.machines.devices()],
        now=time.time(),
        version=__version__,
        has_manual=manual_of(parts.settings) is not None,
    )


def _job(entry: JobEntry, fields: dict[str, object]) -> JobStatus:
    own = {"id": entry.id, "kind": entry.kind.value, "phase": entry.phase, "task": entry.task}
    return JobStatus.model_validate({**fields, **own})
