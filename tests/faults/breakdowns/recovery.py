"""What every breakdown ends with: the server works again, within the limit, and nothing acknowledged is lost."""

import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import redis
import requests
import torch

from client.released import ReleasedClient
from faults.breakdowns.ledger import Ledger
from faults.cases import recovery_limit_s
from faults.ground import DAMAGED, Ground
from stack.running import RunningServer, wait_until

_anew = itertools.count()
# An answer to those who wait for what has broken.
ANSWER_LIMIT_S = 20.0
# A server that is gone is said to be within seconds.
REFUSAL_LIMIT_S = 10.0


def kill(ground: Ground, *names: str) -> None:
    """End programs as the kernel would that has no memory left."""
    for name in names:
        pid = ground.server.pid(name)
        assert pid, f"{name} does not run"
        os.kill(pid, signal.SIGKILL)


@contextmanager
def frozen(ground: Ground, name: str) -> Iterator[None]:
    """Keep a program from running inside the block; its connections stay open."""
    pid = ground.server.pid(name)
    assert pid, f"{name} does not run"
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # a worker that does not answer is ended
            os.kill(pid, signal.SIGCONT)


@contextmanager
def gone(ground: Ground, name: str) -> Iterator[None]:
    """Have a program away inside the block: supervisord, who would start it again, is held."""
    supervisord = next(
        p for p in ground.server.processes() if "supervisor.supervisord" in " ".join(p.cmdline()) and p.is_running()
    )
    supervisord.suspend()
    try:
        kill(ground, name)
        yield
    finally:
        supervisord.resume()


def assert_works(ground: Ground, ledger: Ledger | None = None, *, training: bool = False) -> None:
    """Fail where the server does not predict and label, and train if asked for, within the limit.

    Each request may be refused on the way, with a reason; none may hang.
    """
    limit = recovery_limit_s()
    end = time.monotonic() + limit
    ledger = ledger or Ledger(ground.volume)
    _until_completed(ground, "seg/predict", ground.volume.seg_predict_body(0), end, limit)
    for t, variant in ((1, 2), (2, 1)):
        _until_completed(ground, "seg/update", ledger.body(t, variant), end, limit)
        ledger.acknowledge(t, variant)
    if training:
        spots = ground.volume.annotated(0, ground.volume.movie.drawn(0))
        body = ground.volume.seg_train_body(spots, n_crops=1, log_dir=None)
        _until_completed(ground, "seg/train", body, end, limit)
    ground.wait_until_idle(max(1.0, end - time.monotonic()))
    ledger.assert_kept()
    assert_models_are_whole(ground)


def assert_models_are_whole(ground: Ground) -> None:
    """Fail where a model, or a generation of one, cannot be read; those being written have other names."""
    for path in (ground.workspace / "models").rglob("*.pth"):
        if path.is_file() and ".uploads" not in path.parts and path.name not in DAMAGED:
            torch.load(path, weights_only=True, map_location="cpu")


def assert_explained(answer: requests.Response) -> str:
    """Fail where an answer is no JSON that says what has happened; return it."""
    found = answer.json()
    assert isinstance(found, dict), found
    assert found.get("error"), f"{answer.status_code} {answer.text[:300]}"
    return str(found["error"])


def train_long(ground: Ground, **changes: Any) -> "Future[requests.Response]":
    """Start a training that goes on for minutes, and return when it is under way."""
    client = ground.volume
    body = client.seg_train_body(
        client.annotated(0, client.movie.drawn(0)), n_epochs=1000, n_crops=1, **{"log_dir": None, **changes}
    )
    sessions = _jobs(ground, live=True, phase="running").keys()
    asked = ground.player.later("seg/train", body)
    model = ground.workspace / "models" / client.detection
    before = changed_at(model)
    if changes.get("is_livemode"):
        wait_until(
            lambda: _jobs(ground, live=True, phase="running").keys() - sessions or asked.done(), 60, "the session"
        )
    else:
        wait_until(lambda: changed_at(model) != before or asked.done(), 60, "the first epoch")
    assert not asked.done(), asked.result().text
    return asked


def changed_at(path: Path) -> int:
    """Return when a file was changed."""
    return path.stat().st_mtime_ns


def slow_predict_body(client: ReleasedClient) -> dict[str, Any]:
    """Return a prediction that takes seconds, because the network sees the image many times as large.

    It is another one each time: what was found before is answered at once.
    """
    return client.seg_predict_body(0, input_size=[192, 192, 24], patch=[96, 96, 24], r_max=50 + next(_anew))


def job_store(server: RunningServer, database: int = 0) -> "redis.Redis[str]":
    """Return a connection to the server's Redis: the job store, or the queues with database 1."""
    return server.redis(database)


def entries(server: RunningServer) -> dict[str, dict[str, Any]]:
    """Return the jobs in the job store, those of a killed worker too, until its lease ends."""
    document = json.loads(job_store(server).get("elephant:state") or "{}")
    jobs: dict[str, dict[str, Any]] = document.get("jobs", {})
    return jobs


def wait_until_queued_or_running(ground: Ground, phase: str, task: str = "") -> None:
    """Return when a job is in a phase."""

    def is_there() -> bool:
        return any(job.get("task", "").endswith(task) for job in _jobs(ground, phase=phase).values())

    wait_until(is_there, 60, f"a job that is {phase}")


def _jobs(ground: Ground, **fields: str | bool) -> dict[str, dict[str, Any]]:
    """Return the jobs that have these values."""
    return {key: job for key, job in entries(ground.server).items() if fields.items() <= job.items()}


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _until_completed(ground: Ground, path: str, body: dict[str, Any], end: float, limit: float) -> None:
    last = "nothing was answered"
    while (left := end - time.monotonic()) > 0:
        try:
            answer = ground.post(path, body, timeout=left)
            if answer.status_code == requests.codes.ok and answer.json().get("completed") is True:
                return
            last = f"{answer.status_code} {assert_explained(answer)}"
        except requests.RequestException as error:
            last = repr(error)
        time.sleep(0.3)
    raise AssertionError(f"{path} does not work after {limit:.0f} s: {last}")
