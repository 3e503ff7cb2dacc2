"""Workers that have stopped, by a clock that the tests turn."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from elephant_server.deploy import workers
from elephant_server.deploy.supervision import ProgramState
from elephant_server.deploy.workers import SILENT_S, SilentWorkers
from elephant_server.settings import Settings


class Ground:
    """A worker's process, whether it is said to be there, and a clock."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.present: set[str] = set()
        self.is_away = False
        self.now = 0.0
        self.workers = SilentWorkers(Settings(worker_pairs=1), self.ask, lambda: self.now)

    def ask(self, settings: Settings) -> set[str]:
        del settings
        if self.is_away:
            raise redis.ConnectionError
        return self.present

    def look(self, after: float = 0.0) -> list[str]:
        self.now += after
        return self.workers.look({"training": ProgramState("training", "RUNNING", self.process.pid, Path(), "")})


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setattr(workers, "end_silent", lambda _: None)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]) as process:
        os.kill(process.pid, signal.SIGSTOP)
        yield Ground(process)
        process.kill()


def test_a_worker_that_says_no_more_that_it_is_there_is_ended(ground: Ground) -> None:
    ground.present = {"training", "answering"}
    assert ground.look() == []
    ground.present = {"answering"}
    assert ground.look(SILENT_S) == []
    assert ground.look(1) == ["training"]
    assert ground.process.wait(20) == -signal.SIGKILL


def test_a_worker_that_is_being_started_has_its_time(ground: Ground) -> None:
    for _ in range(5):
        assert ground.look(SILENT_S) == []
    assert ground.process.poll() is None


def test_while_redis_is_away_nobody_can_be_heard(ground: Ground) -> None:
    ground.present = {"training"}
    ground.look()
    ground.is_away = True
    assert ground.look(10 * SILENT_S) == []
    ground.is_away, ground.present = False, set()
    assert ground.look(1) == []
    assert ground.process.poll() is None
