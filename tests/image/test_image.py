"""The image is built from nothing and plays the client's whole story: ``make test-image``."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

from client.movies import Movie
from client.released import ReleasedClient
from image.container import ROOT, TOOLS, build, container_of, make_base, run, start
from stack.running import RunningServer

pytestmark = [
    pytest.mark.skipif("ELEPHANT_TEST_IMAGE" not in os.environ, reason="takes minutes and root: make test-image"),
    pytest.mark.timeout(3000),
]

START_LIMIT_S = 30.0
USER = 12345


@dataclass(frozen=True)
class Started:
    """A server in a container, and how long it took to answer."""

    server: RunningServer
    container: str
    seconds: float


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    assert not missing, f"not installed: {' '.join(missing)}; sudo apt-get install {' '.join(missing)}"
    folder = tmp_path_factory.mktemp("image")
    log = folder / "build.txt"
    image = build(make_base(folder / "base", log), folder, log)
    shutil.rmtree(folder / "base")
    with container_of(image) as container:
        begin = time.monotonic()
        running = start(container, folder / "server", {"LOCAL_UID": str(USER), "LOCAL_GID": str(USER)})
        try:
            running.wait_until_serving()
            yield Started(running, container, time.monotonic() - begin)
        finally:
            running.stop()


def test_it_starts_quickly(started: Started) -> None:
    assert started.seconds < START_LIMIT_S


def test_its_health_is_looked_at(started: Started, tmp_path: Path) -> None:
    def check(port: int) -> None:
        address = ["--env", "ELEPHANT_BIND_ADDRESS=127.0.0.1", "--env", f"ELEPHANT_HTTP_PORT={port}"]
        command = ["buildah", "run", "--isolation", "chroot", *address, started.container, "--"]
        run(*command, "python", "-m", "elephant_server.deploy.health", log=tmp_path / "health.txt")

    check(started.server.http_port)
    with pytest.raises(AssertionError, match="no server answers"):
        check(9)


def test_the_whole_story(started: Started, tmp_path: Path) -> None:
    movie = Movie.of_kind("volume", tmp_path / "movie.h5")
    client = ReleasedClient(started.server, movie, "story", "story/detection.pth", "story/flow.pth")
    assert set(client.upload()) == {200}
    assert client.generate().status_code == 200
    assert client.check() == "ready"
    assert client.reset_detection().json() == {"completed": True}
    assert client.train(client.annotated(0, movie.drawn(0)), n_epochs=3, auto_bg_thresh=0.1)
    assert client.detect(1, p_thresh=0.0)
    assert client.reset_flow().json() == {"completed": True}
    assert client.train_flow(movie.links(1), n_epochs=2)
    spots = movie.drawn(2)
    assert len(client.link(2, spots)) == len(spots)
    export = client.export([{**spot, "t": 2, "value": 7} for spot in spots], 0, movie.n_timepoints - 1)
    assert export.content.startswith(b"PK")


def test_files_belong_to_who_launched_it(started: Started) -> None:
    made = [path for path in started.server.workspace.rglob("*") if not path.is_symlink()]
    assert len(made) > 20
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(USER, USER)}
    below = psutil.Process(started.server.process.pid).children(recursive=True)
    # Whatever enters the container is root's; what it starts is not.
    services = {process.name(): process.uids().real for process in below}
    assert {services[name] for name in ("redis-server", "nginx", "beam.smp")} == {USER}


def test_the_documentation_is_in_it_and_what_makes_it_is_not(started: Started, tmp_path: Path) -> None:
    base = started.server.base_url
    assert requests.get(f"{base}dashboard/api/status", timeout=10).json()["has_manual"] is True
    first = requests.get(f"{base}manual/", timeout=10)
    assert (first.status_code, "ELEPHANT" in first.text) == (200, True)
    assert requests.get(f"{base}manual/reference/settings.html", timeout=10).status_code == 200
    # An example's file, and a picture that the notebook has drawn.
    assert "elephant.readers" in requests.get(f"{base}manual/how-to/add-a-format.html", timeout=10).text
    assert "_images/" in requests.get(f"{base}manual/tutorials/python.html", timeout=10).text
    absent = (
        "test ! -e docs && test ! -e examples && test ! -e /tmp/documenting && ! python -c 'import sphinx' 2>/dev/null"
    )
    command = ["buildah", "run", "--isolation", "chroot", started.container, "--", "sh", "-c"]
    run(*command, f"cd /opt/elephant && {absent} && ! python -c 'import sphinx' 2>/dev/null", log=tmp_path / "o")


def test_scripts_are_where_users_know_them(started: Started, tmp_path: Path) -> None:
    script = "/opt/elephant/script/dataset_generator.py"
    run(
        "buildah",
        "run",
        "--isolation",
        "chroot",
        started.container,
        "--",
        "python",
        script,
        "--help",
        log=tmp_path / "o",
    )
    assert (ROOT / "script" / "dataset_generator.py").is_file()
