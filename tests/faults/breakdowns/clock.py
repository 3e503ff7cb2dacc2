"""The clock of the machine is set, backwards and forwards, while the server works."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.breakdowns.recovery import (
    ANSWER_LIMIT_S,
    assert_explained,
    assert_works,
    changed_at,
    kill,
    slow_predict_body,
    train_long,
    wait_until_queued_or_running,
)
from faults.cases import Case, NotPossibleError
from faults.ground import MODEST, Ground
from stack.running import RunningServer, settings_of, wait_until

LIBRARY = "*/faketime/libfaketimeMT.so.1"
HOUR_S = 3600


class Clock:
    """The time of the day as a server sees it that was started with it."""

    def __init__(self, file: Path) -> None:
        found = sorted(Path("/usr/lib").glob(LIBRARY))
        if not found:
            raise NotPossibleError("to set a server's clock needs Debian's package libfaketime")
        self._file = file
        self.set(0)
        self.variables = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Have it differ from the true time by so much; the server sees that within a second or two."""
        beside = self._file.with_suffix(".next")
        beside.write_text(f"{seconds:+d}\n")
        beside.replace(self._file)


@contextmanager
def own_clock(g: Ground) -> Iterator[tuple[Ground, Clock]]:
    """Give a server that has a clock of its own, with the ground's movies and models."""
    folder = g.folder / "clock"
    folder.mkdir(exist_ok=True)
    clock = Clock(folder / "time")
    values = settings_of(folder) | MODEST
    server = RunningServer.start(folder, values, variables={**values, **clock.variables})
    try:
        yield Ground.prepared(server.wait_until_serving(), folder), clock
    finally:
        server.stop()


def set_backwards_and_forwards(g: Ground) -> None:
    with own_clock(g) as (own, clock):
        training = train_long(own)
        model = own.workspace / "models" / own.volume.detection
        for seconds in (-HOUR_S, HOUR_S, 0):
            clock.set(seconds)
            time.sleep(3)
            before = changed_at(model)
            assert own.post("seg/predict", own.volume.seg_predict_body(0)).json()["completed"] is True
            wait_until(lambda before=before: changed_at(model) != before, 20, "the training to go on")
            assert own.player.state() == 1
            assert not training.done(), training.result().text
        own.player.abort()
        assert training.result(ANSWER_LIMIT_S).json() == {"completed": False}
        assert_works(own, training=True)


def set_back_before_a_worker_is_killed(g: Ground) -> None:
    with own_clock(g) as (own, clock):
        asked = own.player.later("seg/predict", slow_predict_body(own.volume))
        wait_until_queued_or_running(own, "running")
        clock.set(-HOUR_S)
        kill(own, "answering")
        assert "died" in assert_explained(asked.result(ANSWER_LIMIT_S))
        assert_works(own)


CASES = [
    Case("clock set backwards and forwards while a training runs", set_backwards_and_forwards),
    Case("clock set backwards before a worker is killed", set_back_before_a_worker_is_killed),
]
