"""Workers that are processes, called over Celery and a real Redis: calls that are lost, come late or come twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from elephant_server.jobs.broker import CeleryWorkers
from elephant_server.jobs.reaper import Reaper
from elephant_server.jobs.records import Access, JobKind, Outcome, claim
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.settings import Settings
from stack.running import wait_until

# Each job writes down which process does it, and ends when it is told to by a file.
WORKER = """
import os, sys, time
from pathlib import Path
from celery import signals
from elephant_server.jobs.broker import CeleryWorkers, make_celery
from elephant_server.jobs.runner import Worker
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.settings import get_settings

folder = Path(sys.argv[1])

def work(control):
    with (folder / control.job_id).open("a") as log:
        print(os.getpid(), file=log)
    while not (folder / f"{control.job_id}.end").exists():
        control.check()
        time.sleep(0.02)
    return {"message": control._job_store.message(control.job_id)}

settings = get_settings()
worker = Worker(JobStore(RedisStore(settings.redis_url)), "answering", work, CeleryWorkers(settings))
app = make_celery(settings, lambda queue: worker.do_queued())
signals.worker_shutting_down.connect(lambda **_: worker.end(), weak=False)
app.worker_main(["worker", "--pool=solo", "-Q", "answering", "--without-gossip", "--without-mingle", "-l", "ERROR"])
"""


@pytest.fixture
def settings(redis_url: str) -> Iterator[Settings]:
    settings = Settings(redis_port=int(redis_url.rsplit(":", 1)[1].partition("/")[0]))
    yield settings
    for url in (settings.redis_url, settings.redis_broker_url):
        with redis.Redis.from_url(url) as database:
            database.flushdb()


@pytest.fixture
def job_store(settings: Settings) -> JobStore:
    return JobStore(RedisStore(settings.redis_url))


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Give a function that starts a worker."""
    with ExitStack() as ends:

        def start() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", WORKER, str(tmp_path), "elephant_server.worker"]
            process = subprocess.Popen(command, env=settings.as_environment(), cwd=tmp_path, stdout=subprocess.DEVNULL)
            ends.callback(process.wait)
            ends.callback(process.kill)
            return process

        yield start


def ask(job_store: JobStore, settings: Settings, *names: str, access: Access = Access.READ) -> None:
    """Enter jobs, and call once for all of them."""
    for name in names:
        job_store.open(name, JobKind.INTERACTIVE, "task", claim(access, "movie"), f"what {name} is")
    CeleryWorkers(settings).call("answering")


def has_begun(folder: Path, name: str) -> bool:
    return (folder / name).exists() and bool((folder / name).read_text())


def test_a_call_that_comes_again_while_the_job_runs_begins_nothing(
    job_store: JobStore, settings: Settings, start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    start()
    ask(job_store, settings, "a")
    wait_until(lambda: has_begun(tmp_path, "a"), 60, "the job to begin")
    CeleryWorkers(settings).call("answering")
    start()
    wait_until(lambda: not CeleryWorkers(settings).is_called("answering"), 60, "the second worker to take the call")
    ask(job_store, settings, "b")
    (tmp_path / "b.end").touch()
    assert job_store.wait_for_outcome("b", 60) == Outcome(result={"message": "what b is"})
    (tmp_path / "a.end").touch()
    assert job_store.wait_for_outcome("a", 60) == Outcome(result={"message": "what a is"})
    assert len((tmp_path / "a").read_text().split()) == 1


def test_a_call_that_was_lost_is_made_again(
    job_store: JobStore, settings: Settings, start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.end").touch()
    ask(job_store, settings, "a")
    with redis.Redis.from_url(settings.redis_broker_url) as broker:
        broker.flushdb()
    start()
    workers = CeleryWorkers(settings)
    assert not workers.is_called("answering")
    Reaper(job_store, workers).reap()
    assert job_store.wait_for_outcome("a", 60) == Outcome(result={"message": "what a is"})


def test_one_call_brings_all_workers_to_what_may_begin(
    job_store: JobStore, settings: Settings, start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    for _ in range(2):
        start()
    ask(job_store, settings, "a", "b")
    wait_until(lambda: has_begun(tmp_path, "a") and has_begun(tmp_path, "b"), 60, "both to run at once")
    assert (tmp_path / "a").read_text() != (tmp_path / "b").read_text()
    for name in ("a", "b"):
        (tmp_path / f"{name}.end").touch()
        assert job_store.wait_for_outcome(name, 60) is not None


def test_what_waited_for_the_job_of_a_killed_worker_is_done_by_another(
    job_store: JobStore, settings: Settings, start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    first = start()
    ask(job_store, settings, "a", "b", access=Access.LABELS)
    wait_until(lambda: has_begun(tmp_path, "a"), 60, "the job to begin")
    start()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (tmp_path / "b.end").touch()
    reaper = Reaper(job_store, CeleryWorkers(settings))
    wait_until(lambda: reaper.reap() or not job_store.is_alive("a"), 60, "the end of the first")  # type: ignore[func-returns-value]
    outcome = job_store.wait_for_outcome("a", 1)
    assert outcome is not None
    assert outcome.error == "WorkerLostError"
    assert job_store.wait_for_outcome("b", 60) == Outcome(result={"message": "what b is"})
    assert len((tmp_path / "b").read_text().split()) == 1


def test_a_worker_that_is_asked_to_end_takes_no_more(
    job_store: JobStore, settings: Settings, start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    first = start()
    ask(job_store, settings, "a", "b", access=Access.LABELS)
    wait_until(lambda: has_begun(tmp_path, "a"), 60, "the job to begin")
    first.terminate()
    assert first.wait(60) is not None
    assert job_store.wait_for_outcome("a", 1) == Outcome(cancelled=True)
    assert [(entry.id, entry.phase) for entry in job_store.entries()] == [("b", "queued")]
