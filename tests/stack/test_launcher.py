"""The launcher starts all of it, watches it, and leaves nothing behind."""

import os
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import redis

from elephant_server.settings import checkout_root
from stack.player import Player, blobs, predict_body
from stack.running import START_SECONDS, RunningServer, free_ports, lives, settings_of, wait_until

pytestmark = pytest.mark.stack
ANSWERING = ("answering", "answering-2")
PROGRAMS = ["redis", "rabbitmq", "training", "answering", "uwsgi", "nginx"]


def test_says_where_it_serves(stack: RunningServer) -> None:
    lines = stack.output().splitlines()
    assert f"Serving on http://localhost:{stack.http_port}/ - press Ctrl-C to stop" in lines
    assert [line.split(maxsplit=1)[0] for line in lines if line.startswith("    ")] == ["device", "workspace", "logs"]
    assert lines[-2] == f"    workspace  {stack.workspace}"
    assert stack.answers()


def test_a_file_where_it_is_started_holds_its_settings(own_server: RunningServer) -> None:
    lines = own_server.output().splitlines()
    assert f"Serving on http://localhost:{own_server.http_port}/ - press Ctrl-C to stop" in lines
    assert f"    workspace  {own_server.workspace}" in lines
    assert own_server.workspace.name == "work space"
    assert own_server.answers()


def test_listens_on_this_machine_only(stack: RunningServer) -> None:
    listening = stack.listening()
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1"}
    assert {stack.http_port, stack.redis_port, stack.rabbitmq_port} <= {port for _, port in listening}


def test_everything_runs_as_who_has_started_it(own_server: RunningServer) -> None:
    assert {(p.uids().real, p.gids().real) for p in own_server.processes()} == {(os.geteuid(), os.getegid())}


def test_nobody_reaches_redis_without_its_password(own_server: RunningServer) -> None:
    with redis.Redis(port=own_server.redis_port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    assert own_server.redis().ping()
    commands = [" ".join(process.cmdline()) for process in own_server.processes()]
    password = (own_server.workspace / ".run" / "redis.password").read_text().strip()
    assert not [command for command in commands if password in command]


def predictions(server: RunningServer, name: str) -> int:
    return (server.service_logs / f"{name}.log").read_text().count("Prediction: timepoint")


def predict(player: Player, t: int) -> bool:
    return bool(player.post("seg/predict", predict_body("movie", timepoint=t)).json()["completed"])


def test_both_pairs_answer(own_server: RunningServer) -> None:
    player = Player(own_server)
    image, _ = blobs((12, 48, 48), 4)
    assert player.make_dataset("movie", np.stack([image] * 4)).status_code == 200
    before = [predictions(own_server, name) for name in ANSWERING]
    n_asked = 0

    def answered() -> list[int]:
        return [predictions(own_server, name) - n for name, n in zip(ANSWERING, before, strict=True)]

    def both_have_answered() -> bool:
        """Ask for four at once; where the machine is busy, one worker may be done with them before the other begins."""
        nonlocal n_asked
        n_asked += 4
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lambda t: predict(player, t), range(4)))
        return min(answered()) > 0

    # None of them has a model yet: one makes it, and the others wait for it.
    wait_until(both_have_answered, 60, "an answer of each pair")
    assert sum(answered()) == n_asked
    logs = "".join((own_server.service_logs / f"{name}.log").read_text() for name in ANSWERING)
    assert logs.count("detection.pth did not exist: started anew from") == 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_starts_a_killed_program_again(own_server: RunningServer, name: str) -> None:
    before = own_server.pid(name)
    assert before
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: own_server.pid(name) not in (0, before), 60, f"{name} to be started again")
    wait_until(own_server.answers, 60, "an answer")
    wait_until(lambda: own_server.listens(own_server.rabbitmq_port), 60, "RabbitMQ, whose port looks free till then")
    wait_until(lambda: f"{name} has exited unexpectedly" in own_server.output(), 60, "the news of it")


def test_a_worker_of_the_second_pair_is_started_again(own_server: RunningServer) -> None:
    before = own_server.pid("answering-2")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: own_server.pid("answering-2") not in (0, before), 60, "the worker to be started again")
    wait_until(lambda: "answering-2 has exited unexpectedly" in own_server.output(), 60, "the news of it")
    assert predict(Player(own_server), 0)


def test_refuses_a_second_server_in_the_same_workspace(own_server: RunningServer, tmp_path: Path) -> None:
    values = settings_of(tmp_path) | {"ELEPHANT_WORKSPACE": str(own_server.workspace)}
    second = RunningServer.start(tmp_path, values)
    assert second.process.wait(START_SECONDS) == 1
    holder = f"Another server (process {own_server.process.pid}) already runs in {own_server.workspace}"
    assert holder in second.output()
    assert "ELEPHANT_WORKSPACE" in second.output()


def test_runs_beside_another_and_stops_cleanly(own_server: RunningServer, stack: RunningServer) -> None:
    assert own_server.answers()
    assert stack.answers()
    programs = [own_server.pid(name) for name in PROGRAMS]
    assert all(programs)
    left = psutil.Process(own_server.process.pid).children(recursive=True)
    assert own_server.stop(signal.SIGINT) == 0
    assert [process for process in left if lives(process)] == []
    assert own_server.processes() == []
    assert own_server.output().splitlines()[-2:] == ["Stopping ...", "Stopped."]
    assert stack.answers()


@pytest.mark.parametrize("name", ["ELEPHANT_HTTP_PORT", "ELEPHANT_REDIS_PORT", "ELEPHANT_RABBITMQ_NODE_PORT"])
def test_refuses_a_taken_port_before_it_starts_anything(tmp_path: Path, name: str) -> None:
    values = settings_of(tmp_path)
    with socket.create_server(("127.0.0.1", free_ports(4)[3])) as taken:
        port = taken.getsockname()[1]
        refused = RunningServer.start(tmp_path, values | {name: str(port)})
        assert refused.process.wait(START_SECONDS) == 1
    [line] = refused.output().splitlines()
    assert line.startswith(f"Cannot serve: Port {port} is taken by ")
    assert f"process {os.getpid()}" in line
    assert f"Set {name} to another one, such as " in line
    assert not refused.service_logs.joinpath("supervisord.log").exists()


def test_says_what_keeps_failing_and_ends(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("nginx.conf", "supervisord.conf"):
        shutil.copy(checkout_root() / name, home)
    text = (checkout_root() / "supervisord.worker.conf").read_text()
    text = text.replace("-A elephant_server.worker", "-A elephant_server.no_such_worker")
    (home / "supervisord.worker.conf").write_text(text.replace("startretries=5", "startretries=0"))
    failing = RunningServer.start(tmp_path, settings_of(tmp_path) | {"ELEPHANT_HOME": str(home)})
    assert failing.process.wait(START_SECONDS) == 1
    assert " keeps failing " in failing.output()
    assert "no_such_worker" in failing.output()
    assert "Serving on" not in failing.output()
    assert failing.processes() == []


def test_ends_when_asked_while_it_starts(tmp_path: Path) -> None:
    starting = RunningServer.start(tmp_path, settings_of(tmp_path))
    wait_until(lambda: starting.pid("redis"), START_SECONDS, "Redis")
    assert starting.stop(signal.SIGTERM) == 0
    assert starting.processes() == []
    assert "Serving on" not in starting.output()
