"""Two pairs of workers on one machine: one setting, as there are two GPUs."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stack.player import Player, blobs, predict_body
from stack.running import RunningServer, settings_of, wait_until

pytestmark = pytest.mark.stack
ANSWERING = ("answering", "answering-2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("pairs")
    running = RunningServer.start(folder, settings_of(folder) | {"ELEPHANT_WORKER_PAIRS": "2"})
    try:
        yield running.wait_until_serving()
    finally:
        running.stop()


def predictions(server: RunningServer, name: str) -> int:
    return (server.service_logs / f"{name}.log").read_text().count("Prediction: timepoint")


def predict(player: Player, t: int) -> bool:
    return bool(player.post("seg/predict", predict_body("movie", timepoint=t)).json()["completed"])


def test_both_pairs_answer(server: RunningServer) -> None:
    player = Player(server)
    image, _ = blobs((12, 48, 48), 4)
    assert player.make_dataset("movie", np.stack([image] * 4)).status_code == 200
    # None of them has a model yet: one makes it, and the others wait for it.
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda t: predict(player, t), range(4)))
    assert min(predictions(server, name) for name in ANSWERING) > 0
    assert sum(predictions(server, name) for name in ANSWERING) == 4
    logs = "".join((server.service_logs / f"{name}.log").read_text() for name in ANSWERING)
    assert logs.count("Starting the model detection.pth from the intensities") == 1


def test_a_worker_of_the_second_pair_is_started_again(server: RunningServer, tmp_path: Path) -> None:
    before = server.pid("answering-2")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: server.pid("answering-2") not in (0, before), 60, "the worker to be started again")
    wait_until(lambda: "answering-2 has exited unexpectedly" in server.output(), 10, "the news of it")
    assert predict(Player(server), 0)
