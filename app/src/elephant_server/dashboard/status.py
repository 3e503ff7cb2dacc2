"""``dashboard/api/status``, ``log`` and ``events``: what the server does, when asked and as it changes."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from typing import Any

from flask import Blueprint, Response, jsonify, request
from redis.exceptions import RedisError

from elephant.words import counted
from elephant_server import __version__
from elephant_server.api.endpoint import endpoint
from elephant_server.dashboard.page import manual_of
from elephant_server.dashboard.views import Admission, BusyError, busy, read_query
from elephant_server.jobs.records import JobEntry, JobKind
from elephant_server.schemas.answers import Device
from elephant_server.schemas.dashboard import JobStatus, LogLine, LogQuery, Status
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
    n_ahead, n_known = parts.feed.count("computed_ahead"), parts.feed.count("answered_at_once")
    return Status(
        state=int(state),
        is_held=state is ProcessState.WAITING and bool(entries) and all(e.kind is JobKind.TRAINING for e in entries),
        jobs=[_job(entry, fields) for entry, fields in zip(entries, known, strict=True)],
        latest_job=parts.feed.latest_job(),
        latest_result=next((result.id for result in parts.feed.results()), ""),
        computed_ahead=n_ahead,
        answered_at_once=n_known,
        known=_known(n_ahead, n_known),
        devices=[Device(**entry.as_json()) for entry in parts.machines.devices()],
        now=time.time(),
        version=__version__,
        has_manual=manual_of(parts.settings) is not None,
    )


def _known(n_ahead: int, n_known: int) -> str:
    ahead = f"{counted(n_ahead, 'timepoint')} computed ahead" if n_ahead else ""
    return ", ".join(filter(None, (ahead, f"{counted(n_known, 'answer')} known before" if n_known else "")))


def _job(entry: JobEntry, fields: dict[str, object]) -> JobStatus:
    own = {"id": entry.id, "kind": entry.kind.value, "phase": entry.phase, "task": entry.task, "person": entry.person}
    return JobStatus.model_validate({**fields, **own})


TICK_S = 1.0
# A closed page is noticed only when something is sent: so something is, even if nothing happens.
BEAT_S = 5.0
# Memory changes all the time: smaller changes are not sent.
NEWS_MIB = 64
# Pages connect again by themselves, so no stream stays open for good.
LONGEST_S = 600.0
# Each stream holds a thread of this process: at most one in eight.
SHARE = 8


@cache
def _streams(n_threads: int) -> Admission:
    return Admission(max(1, n_threads // SHARE))


@blueprint.get("/dashboard/api/log")
@endpoint(LogLine, query=LogQuery, is_list=True)
def log() -> Response:
    """List the last lines of the log, or those after one that is known."""
    return jsonify([asdict(line) for line in services().feed.lines(read_query(LogQuery).after)])


@blueprint.get("/dashboard/api/events")
@endpoint(None, file_type="text/event-stream", is_long=True, is_described=False)
def events() -> Response:
    """Send status and log as they change, as server-sent events; 503 where too many pages are open."""
    after = LogQuery.model_validate({"after": request.headers.get("Last-Event-ID", "")}).after
    parts = services()
    try:
        release = _streams(parts.settings.http_threads).take()
    except BusyError:
        return busy()
    response = Response(_stream(parts, after), mimetype="text/event-stream")
    response.headers.update({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.call_on_close(release)
    return response


def _stream(parts: Services, after: str) -> Iterator[str]:
    """Yield news until the page is closed, Redis is unavailable, or the time limit is over."""
    end, said, said_at = time.monotonic() + LONGEST_S, "", 0.0
    try:
        lines = parts.feed.lines(after)
        known = lines[-1].id if lines else after or parts.feed.last_id()
        yield "retry: 3000\n\n"
        while time.monotonic() < end:
            status = status_of(parts).model_dump()
            text = _gist(status)
            if text != said or time.monotonic() - said_at > BEAT_S:
                said, said_at = text, time.monotonic()
                yield _event("status", status)
            if lines:
                known = lines[-1].id
                yield _event("log", [asdict(line) for line in lines], known)
            lines = parts.feed.wait_for_lines(known, TICK_S)
            time.sleep(TICK_S / 4)  # lines in quick succession are sent together
    except RedisError:
        return  # the page connects again, and is told why there is nothing to see


def _gist(status: dict[str, Any]) -> str:
    """Return the parts of a status whose changes are sent."""
    memory = [int(device["mem_used"] / NEWS_MIB) for device in status["devices"]]
    return json.dumps({**status, "now": None, "devices": memory})


def _event(name: str, data: Any, event_id: str = "") -> str:
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n"
