"""The workers of the server of one process: they may hang, be killed and end, and the server goes on answering."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests

import elephant
from core.packages import install
from elephant_server.embedded import server as embedded
from elephant_server.embedded.workers import WorkerProcesses
from elephant_server.errors import StackError
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.settings import Settings
from stack.running import RunningServer, settings_of, wait_until

MOVIE = np.random.default_rng(0).integers(0, 255, (1, 8, 16, 16), dtype=np.uint16)
# Its method holds the interpreter's lock nearly all the time, as no well-behaved one does.
PACKAGE = """
import ctypes
import os
from pathlib import Path
from elephant.methods.base import Detector

class Busy(Detector):
    folder: str

    def detect(self, image, voxel_size):
        folder = Path(self.folder)
        (folder / "begun").write_text(str(os.getpid()))
        with_lock = ctypes.PyDLL(None)
        while not (folder / "go on").exists():
            with_lock.usleep(300_000)
        return []
"""

Ask = Callable[[Path], Future[requests.Response]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("workers")
    with pytest.MonkeyPatch.context() as patch:
        install(folder, PACKAGE, "[elephant.methods]\nbusy = visitor:Busy\n", patch)
    values = settings_of(folder)
    elephant.open_dataset(
        MOVIE, Path(values["ELEPHANT_WORKSPACE"]) / "datasets" / "m", voxel_size=(1, 1, 1), quiet=True
    )
    variables = values | {"PYTHONPATH": str(folder / "site-visitor")}
    running = RunningServer.start(folder, values, variables=variables, module="elephant_server.embedded")
    try:
        yield running.wait_until_serving()
    finally:
        running.stop()


@pytest.fixture
def ask(server: RunningServer) -> Iterator[Ask]:
    """Give what asks for a prediction that goes on until there is a file `go on`, and returns when it has begun."""

    def ask(folder: Path) -> Future[requests.Response]:
        folder.mkdir()
        body = {"dataset_name": "m", "model_name": "none.pth", "timepoint": 0, "scales": [1, 1, 1], "method": "busy"}
        body["method_params"] = {"folder": str(folder)}
        answer = pool.submit(requests.post, f"{server.base_url}seg/predict", json=body, timeout=120)
        wait_until(lambda: (folder / "begun").exists() or answer.done(), 60, "the job")
        assert not answer.done(), answer.result().text
        return answer

    with ThreadPoolExecutor() as pool:
        yield ask


def worker_of(folder: Path) -> psutil.Process:
    """Return the process that does a job."""
    wait_until((folder / "begun").read_text, 60, "the process")
    return psutil.Process(int((folder / "begun").read_text()))


def finish(ask: Ask, folder: Path) -> None:
    """Have a job done to its end."""
    answer = ask(folder)
    (folder / "go on").touch()
    assert answer.result().json()["completed"]


def test_the_server_answers_while_a_worker_lets_nobody_else_run(
    server: RunningServer, ask: Ask, tmp_path: Path
) -> None:
    answer = ask(tmp_path / "a")
    for path in ("state/gpus", "state/process", "dashboard/api/status", "") * 2:
        assert requests.get(server.base_url + path, timeout=60).status_code == 200
    assert not answer.done()  # nothing of it had to wait for the end
    (tmp_path / "a" / "go on").touch()
    assert answer.result().json()["completed"]


def test_pytorch_is_in_the_worker_alone(ask: Ask, server: RunningServer, tmp_path: Path) -> None:
    finish(ask, tmp_path / "a")
    worker, process = worker_of(tmp_path / "a"), psutil.Process(server.process.pid)
    assert worker.ppid() == process.pid
    for each in (worker, process):
        assert any("libtorch" in loaded.path for loaded in each.memory_maps()) == (each == worker)


def test_a_worker_that_is_killed_is_started_again_and_its_job_answered(
    server: RunningServer, ask: Ask, tmp_path: Path
) -> None:
    answer = ask(tmp_path / "a")
    process = worker_of(tmp_path / "a")
    process.kill()
    refused = answer.result()
    assert refused.status_code == 500
    assert "the worker that did seg_predict died before it was done, and is started again" in refused.json()["error"]
    assert read_state(server) == 0
    assert "worker died (signal 9), and is started again" in server.output()
    finish(ask, tmp_path / "b")
    assert worker_of(tmp_path / "b") != process


def test_a_worker_that_does_not_respond_is_replaced(server: RunningServer, ask: Ask, tmp_path: Path) -> None:
    answer = ask(tmp_path / "a")
    process = worker_of(tmp_path / "a")
    process.suspend()
    refused = answer.result()
    assert refused.status_code == 500
    assert "the worker that did seg_predict does not answer" in refused.json()["error"]
    wait_until(lambda: not process.is_running(), 60, "its end")
    finish(ask, tmp_path / "b")


def test_a_worker_that_is_asked_to_end_is_started_again(ask: Ask, server: RunningServer, tmp_path: Path) -> None:
    finish(ask, tmp_path / "a")
    idle = worker_of(tmp_path / "a")
    wait_until(lambda: read_state(server) == 0, 60, "the end")
    idle.terminate()
    wait_until(lambda: not idle.is_running(), 60, "its end")
    answer = ask(tmp_path / "b")
    busy = worker_of(tmp_path / "b")
    busy.terminate()
    (tmp_path / "b" / "go on").touch()
    assert answer.result().status_code == 200
    wait_until(lambda: not busy.is_running(), 60, "its end")
    finish(ask, tmp_path / "c")


def test_workers_end_with_a_server_that_is_killed(tmp_path: Path) -> None:
    running = RunningServer.start(tmp_path, settings_of(tmp_path), module="elephant_server.embedded")
    try:
        running.wait_until_serving()
        workers = psutil.Process(running.process.pid).children(recursive=True)
        assert len(workers) == 1
        running.process.kill()
        wait_until(lambda: not any(worker.is_running() for worker in workers), 60, "the end of the workers")
    finally:
        running.stop()


@pytest.mark.filterwarnings("ignore:send_bytes")
def test_what_cannot_start_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit(5)"]
    monkeypatch.setattr(embedded, "WorkerProcesses", partial(WorkerProcesses, command=command))
    monkeypatch.setattr(embedded, "set_up_logging", lambda *_: None)
    with pytest.raises(StackError, match="workers cannot run"):
        embedded._run(settings_in(tmp_path), threading.Event())
    assert "The answering worker could not start (exit status 5)" in caplog.text


def test_a_worker_that_cannot_start_does_not_serve_its_queue(tmp_path: Path) -> None:
    workers = WorkerProcesses(settings_in(tmp_path), MemoryStore(), [sys.executable, "-c", "import sys; sys.exit(5)"])
    workers.start()
    try:
        assert workers.is_served("training")
        workers.call("training")
        wait_until(lambda: not workers.is_served("training"), 60, "its end")
        wait_until(workers.has_failed, 60, "the end of the other one")
    finally:
        workers.stop()


def settings_in(folder: Path) -> Settings:
    return Settings(workspace=folder, http_port=int(settings_of(folder)["ELEPHANT_HTTP_PORT"]), gpu="")


def read_state(server: RunningServer) -> int:
    state: int = requests.get(f"{server.base_url}state/process", timeout=60).json()["state"]
    return state
