"""The services of docker-compose.yml, as processes of this machine: each with the variables that Compose gives it."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import numpy as np
import psutil
import pytest

from stack.cluster import ADDRESS, head_settings
from stack.memory import SOON, gives_memory_back
from stack.player import Player, blobs, predict_body
from stack.running import STOP_SECONDS, RunningServer, lives, wait_until
from test_compose import PARTS, services

pytestmark = pytest.mark.stack
SHARED = ("HTTP_PORT", "REDIS_PORT", "RABBITMQ_NODE_PORT", "RABBITMQ_CLUSTER_PORT", "PRETRAINED_URL")


def variables_of(name: str, folder: Path, head: dict[str, str]) -> dict[str, str]:
    """Return what the container of a service would have, with addresses of this machine for those of containers."""
    given = {f"ELEPHANT_{key}": head[f"ELEPHANT_{key}"] for key in SHARED}
    asked = given | SOON | {"ELEPHANT_REDIS_HOST": ADDRESS, "ELEPHANT_RABBITMQ_HOST": ADDRESS}
    found: dict[str, str] = services(**asked)[name]["environment"]
    place = {
        "ELEPHANT_WORKSPACE": str(folder / "workspace"),
        "ELEPHANT_RUN_DIR": str(folder / name / "run"),
        "ELEPHANT_MACHINE": f"container-{name}",
        "HOME": str(folder / name),
        "OMP_NUM_THREADS": "1",
    }
    if "ELEPHANT_CLUSTER_ADDRESS" in found:
        place["ELEPHANT_CLUSTER_ADDRESS"] = ADDRESS
    return {
        key: value for key, value in found.items() if (value or key in given) and not key.startswith("LOCAL_")
    } | place


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunningServer]]:
    folder = tmp_path_factory.mktemp("compose")
    head = head_settings(folder)
    with ExitStack() as stack:
        running = {}
        for name in PARTS:
            running[name] = RunningServer.start(folder / name, variables_of(name, folder, head))
            stack.callback(running[name].stop)
        for server in running.values():
            server.wait_until_serving()
        yield running


def test_each_service_is_one_part_and_healthy(parts: dict[str, RunningServer]) -> None:
    programs = {"redis": "redis", "rabbitmq": "rabbitmq", "web": "uwsgi", "workers": "answering"}
    for name, server in parts.items():
        assert {p for p in programs.values() if server.pid(p)} == {programs[name]}
        assert server.ask("--health")


def test_together_they_are_a_server(parts: dict[str, RunningServer]) -> None:
    player = Player(parts["web"])
    image, _ = blobs((12, 48, 48), 4)
    assert player.make_dataset("movie", np.stack([image] * 2)).status_code == 200
    assert player.post("seg/predict", predict_body("movie")).json()["completed"] is True
    assert player.state() == 0


def test_memory_is_given_back_when_nothing_is_to_be_done(parts: dict[str, RunningServer]) -> None:
    gives_memory_back(Player(parts["web"]), psutil.Process(parts["workers"].pid("answering")))


def test_a_part_that_is_killed_leaves_nothing_behind(parts: dict[str, RunningServer]) -> None:
    left = {name: psutil.Process(server.process.pid).children(recursive=True) for name, server in parts.items()}
    assert all(left.values())
    for server in parts.values():
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not any(map(lives, chain(*left.values()))), STOP_SECONDS, "everything to end")
    assert [server.processes() for server in parts.values()] == [[]] * len(parts)
