"""The server with Apptainer: an ordinary user, an installation that cannot be written, ports from variables.

Apptainer itself is not needed: a stand-in does with processes what it does with containers. That the image can be built
is seen where Apptainer is (`make apptainer-build`); here its steps are compared with the Dockerfile's.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import redis
import requests

from elephant_server.settings import checkout_root
from stack.ordinary import GID, UID
from stack.player import Player, Uploader, write_movie
from stack.running import RunningServer, free_ports, require_programs, settings_of, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
ROOT = checkout_root()
STAND_IN = Path(__file__).with_name("apptainer_stand_in.sh")
INSTALLED = ("supervisord.conf", "supervisord.worker.conf", "nginx.conf", "elephant.def")


@dataclass(frozen=True)
class User:
    """Someone with a checkout and an account, and nothing else."""

    home: Path
    image: Path
    variables: dict[str, str]

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.variables | more, capture_output=True, text=True, check=False, **as_user()
        )

    def script(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.image / "script" / "apptainer.sh"), *words, **more)


def as_user() -> dict[str, object]:
    return {"user": UID, "group": GID, "extra_groups": []} if os.geteuid() == 0 else {}


@pytest.fixture(scope="module")
def user(readable: Path, python: str) -> User:
    require_programs()
    image, home = readable / "installed", readable / "home"
    shutil.copytree(ROOT / "script", image / "script")
    for name in INSTALLED:
        shutil.copy(ROOT / name, image)
    for folder in (home, home / "stand-in", home / "tmp"):
        folder.mkdir()
        if os.geteuid() == 0:
            os.chown(folder, UID, GID)
    shutil.copy(STAND_IN, readable / "apptainer")
    variables = settings_of(home) | {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TMPDIR": str(home / "tmp"),
        "ELEPHANT_RABBITMQ_CLUSTER_PORT": str(free_ports(1)[0]),
        "ELEPHANT_MACHINE": "node7",
        "ELEPHANT_APPTAINER": str(readable / "apptainer"),
        "ELEPHANT_SIF": str(image),
        "STAND_IN": str(home / "stand-in"),
        "STAND_IN_PYTHON": str(Path(python).parent),
    }
    return User(home, image, variables)


@pytest.fixture(scope="module")
def instance(user: User) -> Iterator[RunningServer]:
    """Start an instance, and end it with what the tests left of it."""
    before = contents(user.image)
    started = user.script("start", LD_LIBRARY_PATH="/nowhere", ELEPHANT_LOG_LEVEL="DEBUG")
    try:
        assert started.returncode == 0, started.stdout + started.stderr + said(user)
        assert f"Serving on http://localhost:{user.variables['ELEPHANT_HTTP_PORT']}/" in started.stdout
        process = subprocess.Popen(["true"])  # the launcher is no child of this process
        process.wait()
        yield RunningServer(user.variables, user.home, process)
    finally:
        user.script("stop")
    assert contents(user.image) == before


def said(user: User) -> str:
    output = user.home / "stand-in" / "elephant.out"
    return output.read_text() if output.exists() else ""


def contents(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def test_it_runs_as_the_user_and_serves(instance: RunningServer, tmp_path: Path) -> None:
    movie = tmp_path / "movie.h5"
    write_movie(movie, np.ones((2, 4, 16, 16)))
    assert set(Uploader(instance, "movie").send(movie)) == {200}
    player = Player(instance)
    assert player.post("dataset/generate", {"dataset_name": "movie", "is_2d": False}).status_code == 200
    assert player.state() == 0
    owners = {process.uids().real for process in instance.processes()}
    assert owners == {UID if os.geteuid() == 0 else os.getuid()}
    assert {address for address, _ in instance.listening()} <= {"127.0.0.1", "::1"}


def test_others_on_the_machine_are_kept_out(instance: RunningServer) -> None:
    without = instance.base_url.partition("t/")[0]
    assert requests.get(without + "state/gpus", timeout=60).status_code == 401
    with redis.Redis("127.0.0.1", instance.redis_port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    assert instance.rabbitmq_password != "user"
    secrets = [path for path in (instance.workspace / ".run").iterdir() if path.is_file()]
    assert {path.name for path in secrets} >= {"token", "redis.password", "rabbitmq.password"}
    assert {path.stat().st_mode & 0o077 for path in secrets if path.suffix == ".password" or path.name == "token"} == {
        0
    }


def test_nothing_of_the_callers_environment_comes_in(instance: RunningServer) -> None:
    pid = instance.pid("training")
    variables = psutil.Process(pid).environ()
    assert "LD_LIBRARY_PATH" not in variables
    assert variables["ELEPHANT_LOG_LEVEL"] == "DEBUG"


def test_a_second_one_is_refused_and_access_is_told(user: User, instance: RunningServer) -> None:
    again = user.script("start")
    assert again.returncode == 1
    assert "running already" in again.stderr
    told = user.script("access").stdout
    assert f"http://localhost:{instance.http_port}/t/{instance.token}/" in told
    assert instance.rabbitmq_password in told


def test_it_is_stopped_and_leaves_nothing_running(user: User, instance: RunningServer) -> None:
    stopped = user.script("stop")
    assert stopped.returncode == 0, stopped.stderr
    wait_until(lambda: not instance.processes(), 60, "its processes to end")
    assert list((user.home / "tmp").iterdir()) == []
    assert user.script("stop").returncode == 1


def test_a_job_of_slurm(user: User, instance: RunningServer) -> None:
    job = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(user.image), "USER": "you", "ELEPHANT_LOGIN_NODE": "login"}
    output = user.home / "job.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            ["bash", str(user.image / "script" / "elephant.slurm")],
            env=user.variables | job,
            stdout=file,
            stderr=subprocess.STDOUT,
            **as_user(),
        )
    try:
        wait_until(
            lambda: "press Ctrl-C to stop" in output.read_text() or process.poll() is not None, 180, "the server"
        )
        text = output.read_text()
        assert process.poll() is None, text
        http, amqp = instance.http_port, instance.rabbitmq_port
        assert f"ssh -N -J you@login -L 8080:localhost:{http} -L 5672:localhost:{amqp} you@" in text
        assert instance.answers()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(90)
    assert "Stopped." in output.read_text()
    assert not instance.processes()


def test_what_is_missing_is_said(user: User) -> None:
    refused = user.script("start", ELEPHANT_APPTAINER="no-such-apptainer")
    assert refused.returncode == 1
    assert "Apptainer is not installed" in refused.stderr


def test_the_image_is_made_as_the_other_one() -> None:
    docker, apptainer = (re.sub(r"\\\n\s*", "", (ROOT / name).read_text()) for name in ("Dockerfile", "elephant.def"))
    for pattern in (r"--no-install-recommends\s+(.*?)(?: &&|\n)", r"pip install (.*?)(?: &&|\n)"):
        wanted, found = (
            [" ".join(match.split()) for match in re.findall(pattern, text)] for text in (docker, apptainer)
        )
        assert wanted == found
        assert wanted
    for setting in ("ELEPHANT_BIND_ADDRESS", "ELEPHANT_LISTEN_ADDRESS"):
        assert setting not in apptainer, "its ports are this machine's own"


def test_the_image_has_all_that_the_other_one_has() -> None:
    files = set(re.findall(r"^    (\S+) /opt/elephant/\1$", (ROOT / "elephant.def").read_text(), re.MULTILINE))
    wanted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert files == wanted
