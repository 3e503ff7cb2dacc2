"""The way of a training from the request to the weights on disk and back, as docs/architecture.md lists it.

What runs is traced: the stack at each moment in which something is handed on or written, and every file of which a
function runs at all.
"""

import functools
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import elephant
import elephant_server
from app.jobs.worker_threads import WorkerThreads
from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.context import make_context
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.tasks import perform
from elephant_server.main import make_app
from elephant_server.rabbitmq import Messages, NoBroker
from elephant_server.services import Services
from elephant_server.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
SOURCES = tuple(f"{Path(str(package.__file__)).parent.parent}{os.sep}" for package in (elephant, elephant_server))
# Where something is handed on: the body is read, the job enters and leaves the store, the network learns, the answer
# is made. What is renamed, labels and weights, is seen by an audit hook.
MOMENTS = {"_check_extent", "JobStore.open", "JobStore.take", "JobStore.finish", "Adam.step", "jsonify"}
MOST = 25
BODY = {"dataset_name": "m", "model_name": "a.pth", "scales": [1, 1, 1], "crop_size": [32, 32, 16]}
SPOT = {"t": 0, "pos": [20, 20, 8], "covariance": [16, 0, 0, 0, 16, 0, 0, 0, 16], "tag": "tp"}


class Trace:
    """The files of both packages that a request runs through, in the request's thread and in the worker's."""

    def __init__(self) -> None:
        self.is_on = False
        self.stack: set[str] = set()
        self.ran: set[str] = set()
        sys.addaudithook(self._on_audit)

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if not self.is_on or event != "call" or threading.current_thread().name not in ("MainThread", "training"):
            return
        code = frame.f_code
        self.ran.update(self._own(code.co_filename))
        if code.co_qualname in MOMENTS:
            self._mark(frame)

    def _on_audit(self, event: str, _: tuple[Any, ...]) -> None:
        if self.is_on and event == "os.rename":
            self._mark(sys._getframe(1))

    def _mark(self, frame: FrameType | None) -> None:
        while frame is not None:
            self.stack.update(self._own(frame.f_code.co_filename))
            frame = frame.f_back

    @staticmethod
    def _own(file: str) -> Iterator[str]:
        yield from (file.removeprefix(source) for source in SOURCES if file.startswith(source))


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Trace]:
    """Give the trace of a training of a model that is there."""
    workspace = tmp_path / "workspace"
    images = np.random.default_rng(0).integers(0, 255, (2, 16, 48, 48)).astype(np.uint8)
    elephant.open_dataset(images, workspace / "datasets" / "m", voxel_size=(1, 1, 1), quiet=True)
    settings = Settings(workspace=workspace, _env_file=None)
    job_store, feed, messages = JobStore(MemoryStore()), ActivityFeed(MemoryStore()), Messages(NoBroker())
    context = make_context(settings, job_store, messages, FeedPublisher(feed))
    workers = WorkerThreads(job_store, lambda: functools.partial(perform, context))
    client = make_app(Services.of(settings, job_store, feed, workers, messages)).test_client()
    found = Trace()
    before = sys.getprofile()
    threading.setprofile(found)
    try:
        workers.start()
        assert client.post("/seg/reset", json={**BODY, "n_crops": 0}).json == {"completed": True}
        sys.setprofile(found)
        found.is_on = True
        answer = client.post("/seg/train", json={**BODY, "spots": [SPOT], "n_epochs": 1, "n_crops": 1})
        found.is_on = False
        assert answer.json == {"completed": True}
        yield found
    finally:
        found.is_on = False
        sys.setprofile(before)
        threading.setprofile(None)
        workers.stop()


def test_the_page_lists_the_way_and_says_how_many_files_run(trace: Trace) -> None:
    (section,) = re.findall(r"### The way of `seg/train`\n(.*?)\n### ", PAGE.read_text(), re.DOTALL)
    assert set(re.findall(r"`(elephant(?:_server)?/[\w/]+\.py)`", section)) == trace.stack
    assert len(trace.stack) <= MOST
    (n_files,) = re.findall(r"some (\d+) files", section)
    assert len(trace.ran) < int(n_files) + 5
