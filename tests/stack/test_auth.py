"""A server that listens beyond this machine: who gets in, what listens where, and what the logs know."""

import contextlib
import os
import re
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pika
import pika.exceptions
import pytest
import requests

from client.movies import Movie
from client.pulse import Pulse
from client.released import OLD_PATHS, ReleasedClient, heard_all
from client.wire import read
from stack.player import Ears, Player, export_body, masks_of
from stack.running import START_SECONDS, RunningServer, settings_of, wait_until

pytestmark = pytest.mark.stack
OTHER = "another-token-0123456789"


def open_settings(folder: Path) -> dict[str, str]:
    return settings_of(folder) | {"ELEPHANT_BIND_ADDRESS": "0.0.0.0"}  # noqa: S104


def plain_url(server: RunningServer) -> str:
    return f"http://localhost:{server.http_port}/"


def test_a_token_and_a_password_are_made_and_stay_out_of_what_is_printed(own_server: RunningServer) -> None:
    run = own_server.workspace / ".run"
    assert {(run / name).stat().st_mode & 0o777 for name in ("token", "rabbitmq.password")} == {0o600}
    assert len(own_server.token) >= 43
    assert len(own_server.rabbitmq_password) >= 43
    printed = own_server.output()
    assert own_server.token not in printed
    assert own_server.rabbitmq_password not in printed
    assert "make access" in printed
    assert str(run / "token") in printed


def test_a_person_and_a_health_check_ask_for_what_they_need(own_server: RunningServer) -> None:
    access = own_server.ask("--access")
    assert f":{own_server.http_port}/t/{own_server.token}/" in access
    assert own_server.rabbitmq_password in access
    assert own_server.ask("--url").strip() == own_server.base_url
    assert "answers (" in own_server.ask("--health")


def test_only_http_and_rabbitmq_listen_beyond_this_machine(own_server: RunningServer) -> None:
    beyond = {port for ip, port in own_server.listening() if ip not in ("127.0.0.1", "::1")}
    assert beyond == {own_server.http_port, own_server.rabbitmq_port}


@pytest.mark.parametrize("path", ["state/gpus", "gpus/", "state/process", "docs", "nowhere", "t/wrong/state/gpus", ""])
def test_nobody_gets_in_without_the_token(own_server: RunningServer, path: str) -> None:
    answer = requests.get(plain_url(own_server) + path, timeout=60)
    assert answer.status_code == 401
    assert "token" in answer.json()["error"]
    assert "token" in answer.reason


@pytest.mark.parametrize("path", sorted({*OLD_PATHS, *OLD_PATHS.values(), "params", "dataset/check"} - {"gpus"}))
def test_with_the_token_every_path_is_what_it_is_without(own_server: RunningServer, path: str) -> None:
    for url in (f"{own_server.base_url}{path}", f"{own_server.base_url}{path}/"):
        answer = requests.get(url, timeout=60) if "gpus" in url else requests.post(url, json=[], timeout=60)
        assert answer.status_code == (200 if "gpus" in url else 400), url
    header = {"Authorization": f"Bearer {own_server.token}"}
    assert requests.get(plain_url(own_server) + "state/gpus/", headers=header, timeout=60).status_code == 200


def test_who_may_not_even_poll_is_logged(own_server: RunningServer) -> None:
    log = own_server.service_logs / "nginx.log"
    assert requests.get(plain_url(own_server) + "t/wrong/gpus", timeout=60).status_code == 401
    assert own_server.answers()
    wait_until(lambda: '"GET /t/***/gpus HTTP/1.1" 401' in log.read_text(), 60, "the line of a request")
    assert 'gpus HTTP/1.1" 200' not in log.read_text()


@pytest.mark.parametrize("page", ["", "docs"])
def test_all_of_a_page_comes_through_the_token(own_server: RunningServer, page: str) -> None:
    text = requests.get(own_server.base_url + page, timeout=60).text
    links = set(re.findall(r'(?:href|src)="(?!data:)([^"#:]+)', text))
    assert links
    assert own_server.token not in text
    for link in links:
        found = requests.get(urljoin(own_server.base_url + page, link), timeout=60).status_code
        # The documentation's link is hidden where it was not made.
        assert found == 200 or (found == 404 and link == "manual/"), link
        assert requests.get(plain_url(own_server) + link, timeout=60).status_code == 401, link


def test_rabbitmq_lets_nobody_in_with_the_password_that_everybody_knows(own_server: RunningServer) -> None:
    for user, password in (("user", "user"), ("guest", "guest")):
        credentials = pika.PlainCredentials(user, password)
        parameters = pika.ConnectionParameters("127.0.0.1", own_server.rabbitmq_port, "/", credentials)
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            pika.BlockingConnection(parameters)
    with Ears(own_server) as ears:
        Player(own_server).post("dataset/generate", {"dataset_name": "../out"})
        ears.wait_for(lambda e: e.bodies("log"))
        assert own_server.token not in str(ears.heard)


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_a_story_through_the_token(own_server: RunningServer, tmp_path: Path, is_old: bool) -> None:
    dataset, token = f"token/{is_old}", own_server.token
    movie = Movie.of_kind("volume", tmp_path / "movie.h5")
    client = ReleasedClient(own_server, movie, dataset, f"{dataset}/d.pth", f"{dataset}/f.pth", is_old)
    with Ears(own_server, ("update", "dataset", "log")) as ears, Pulse(own_server) as pulse:
        assert set(client.upload()) == {200}
        assert client.generate().status_code == 200
        assert client.check() == "ready"
        ears.wait_for(lambda e: len(e.heard["dataset"]) == client.movie.n_timepoints)
        annotated = client.annotated(0, client.movie.drawn(0))
        read(client.reset_detection())
        assert client.label(annotated)
        assert client.train(annotated, n_crops=1)
        ears.wait_for(lambda e: "Model updated" in e.bodies("update"))
        assert client.detect(1, p_thresh=0.0)
        assert client.label_flow(client.movie.links(0))
        model = client.download_model(client.detection)
        assert model.content[:2] == b"PK"
        spots = [{**spot, "t": 0, "value": 1} for spot in client.movie.drawn(0)]
        assert len(masks_of(client.export(spots, 0, 1).content)) == 2
        assert client.set_state(0) == 0
    assert pulse.beats
    assert not pulse.failures, pulse.failures
    heard_all(ears.heard)
    assert token not in str(ears.heard)


def test_the_token_is_in_no_log_whatever_goes_wrong(own_server: RunningServer) -> None:
    base, token = own_server.base_url, own_server.token
    player = Player(own_server)
    assert player.make_dataset("logs", np.ones((1, 4, 16, 16), np.uint16)).status_code == 200
    assert requests.post(base + "seg/train", data=b"x" * 12_000_000, timeout=30).status_code == 400
    assert requests.post(base + "state/process", data=b"x" * 100_000, timeout=30).status_code == 413
    assert requests.get(f"{base}nowhere/{token}", timeout=60).status_code == 404
    assert requests.get(f"{plain_url(own_server)}{token}/gpus", timeout=60).status_code == 401
    assert requests.get(f"{base}state/process?token={token}", timeout=60).status_code == 200
    assert requests.get(f"{plain_url(own_server)}%74/{token}/state/process", timeout=60).status_code == 200
    assert requests.get(base + "a" * 70_000, timeout=60).status_code in (400, 414)
    _say(own_server, f"GET /t/{token}/ x\r\n\r\n")
    _say(own_server, f"POST /t/{token}/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\nthe client is gone")
    export = export_body("logs", [], t_end=50_000, begin_after=0)
    requests.post(base + "export/ctc", json=export, stream=True, timeout=30).close()
    os.kill(own_server.pid("answering"), signal.SIGKILL)
    player.post("dataset/check", {"dataset_name": "logs", "shape": [1, 1, 1, 1]})
    stopped = own_server.pid("uwsgi")
    os.kill(stopped, signal.SIGKILL)
    statuses = [requests.post(base + "seg/train", json={}, timeout=30).status_code for _ in range(20)]
    assert 502 in statuses or 500 in statuses
    wait_until(own_server.answers, 60, "uWSGI")
    assert requests.get(base + "state/process?last", timeout=60).status_code == 200
    log = own_server.service_logs / "nginx.log"
    wait_until(lambda: "/t/***/state/process?last" in log.read_text(), 60, "the line of a request")
    found = {path.name for path in (own_server.workspace / ".run").rglob("*") if _holds(path, token)}
    assert found == {"token"}
    password = own_server.rabbitmq_password
    commands = [" ".join(process.cmdline()) for process in own_server.processes()]
    assert not [command for command in commands if token in command or password in command]
    assert not [path for path in own_server.service_logs.iterdir() if _holds(path, password)]


def test_bodies_are_as_long_as_makes_sense(own_server: RunningServer) -> None:
    limits = {"params": 64 << 10, "dataset/check": 64 << 10, "seg/update": 256 << 20, "upload": 256 << 20}
    for path, limit in (limits | {"seg/reset": 1 << 30, "reset/flow/": 1 << 30}).items():
        head = f"POST /t/{own_server.token}/{path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        answer = _say(own_server, f"{head}Content-Length: {limit + 1}\r\n\r\n")
        assert answer.startswith("HTTP/1.1 413"), path
        assert "ELEPHANT_MAX_BODY_MIB" in answer
        assert "Server: nginx\r\n" in answer
    chunk = {"file": ("a.h5", bytes(10 << 20))}
    fields = {"dataset_name": "large", "filename": "a.h5", "action": "init"}
    assert requests.post(f"{own_server.base_url}upload/image", fields, files=chunk, timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("sizes", "status"),
    [([7_500] * 3, 200), ([30] * 500, 200), ([9_000], 400), ([7_500] * 6, 400)],
)
def test_what_uwsgi_would_not_take_is_refused_before(own_server: RunningServer, sizes: list[int], status: int) -> None:
    headers = {f"X-Long-{i}": "x" * size for i, size in enumerate(sizes)}
    answer = requests.get(own_server.base_url + "state/process", headers=headers, timeout=60)
    assert answer.status_code == status
    assert status == 200 or "malformed" in answer.json()["error"]


def test_a_stranger_sends_nothing_large(own_server: RunningServer) -> None:
    """Who is unknown is refused before the body is taken, and learns why."""
    for path in ("seg/reset", "t/wrong-wrong-wrong-wrong/upload/image", "t/wrong-wrong-wrong-wrong/export/ctc"):
        head = f"POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        answer = _say(own_server, f"{head}Content-Length: 1000000\r\n\r\n")
        assert answer.startswith("HTTP/1.1 401"), answer
        assert "WWW-Authenticate: Bearer" in answer
        assert "The token is missing, wrong or was changed" in answer
    elsewhere = {"Origin": "http://evil.example"}
    refused = requests.post(own_server.base_url + "seg/reset", data=bytes(1_000_000), headers=elsewhere, timeout=60)
    assert refused.status_code == 403
    assert "another site" in refused.json()["error"]
    bearer = {"Authorization": f"Bearer {own_server.token}"}
    let_in = requests.post(plain_url(own_server) + "seg/reset", data=bytes(1_000_000), headers=bearer, timeout=60)
    assert let_in.status_code == 400


@pytest.mark.parametrize("path", ["seg/update", "upload/image", "download/ctc", "flow/reset"])
def test_a_page_of_another_site_sends_nothing_large(server: RunningServer, path: str) -> None:
    """It is refused by its header, with or without a token, and nothing of what it sends reaches the disk."""
    head = f"POST /{path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nContent-Length: {64 << 20}\r\n"
    with socket.create_connection(("localhost", server.http_port), timeout=30) as connection:
        connection.sendall(f"{head}\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 403"
        with contextlib.suppress(OSError):
            connection.sendall(bytes(8 << 20))
        assert not [file for file in (server.run_dir / "nginx" / "body").rglob("*") if file.is_file()]


@pytest.fixture
def many_connections() -> Iterator[None]:
    """Let this process hold some thousand files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_connections")
def test_others_get_in_however_many_connections_one_holds(server: RunningServer) -> None:
    """By requests whose bodies do not end, more than NGINX would have room for by itself."""
    head = b"POST /params HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    there = ("127.0.0.1", server.http_port)
    with contextlib.ExitStack() as held:
        for _ in range(1100):
            connection = socket.create_connection(there, timeout=30, source_address=("127.0.0.2", 0))
            held.enter_context(connection).sendall(head)
        assert connection.recv(12) == b"HTTP/1.1 429"
        assert requests.get(server.base_url + "state/process", timeout=30).status_code == 200


def test_a_token_is_changed_without_a_restart(own_server: RunningServer) -> None:
    before, file = own_server.base_url, own_server.workspace / ".run" / "token"
    old = file.read_text()
    try:
        file.write_text(OTHER)
        # Each of the processes is asked: none may still know the old one.
        assert {requests.get(before + "state/gpus", timeout=60).status_code for _ in range(20)} == {401}
        assert {requests.get(own_server.base_url + "state/gpus", timeout=60).status_code for _ in range(20)} == {200}
    finally:
        file.write_text(old)
    assert own_server.answers()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"ELEPHANT_RABBITMQ_PASSWORD": "user"},
            "ELEPHANT_RABBITMQ_PASSWORD: expected a password that nobody can guess",
        ),
        ({"ELEPHANT_RABBITMQ_USER": "lab", "ELEPHANT_RABBITMQ_PASSWORD": "lab"}, "that nobody can guess"),
        ({"ELEPHANT_TOKEN": "short"}, "ELEPHANT_TOKEN: expected 16 to 256 letters"),
        ({"ELEPHANT_TOKEN_FILE": "/nowhere/token"}, "ELEPHANT_TOKEN_FILE: /nowhere/token cannot be read"),
        ({"ELEPHANT_REDIS_HOST": "0.0.0.0"}, "ELEPHANT_REDIS_HOST: expected 127.0.0.1"),  # noqa: S104
        ({"ELEPHANT_TLS_CERT": "cert.pem"}, "expected both ELEPHANT_TLS_CERT and ELEPHANT_TLS_KEY"),
    ],
)
def test_refuses_what_would_let_others_in(tmp_path: Path, values: dict[str, str], expected: str) -> None:
    refused = RunningServer.start(tmp_path, open_settings(tmp_path) | values)
    assert refused.process.wait(START_SECONDS) == 1
    assert expected in refused.output()
    assert "short" not in refused.output()
    assert refused.processes() == []


def _say(server: RunningServer, text: str) -> str:
    """Send bytes, no more of them, and return what comes back, until a second passes without anything."""
    answer = b""
    with socket.create_connection(("localhost", server.http_port), timeout=1) as connection:
        connection.sendall(text.encode())
        with contextlib.suppress(TimeoutError):
            while piece := connection.recv(65536):
                answer += piece
    return answer.decode()


def _holds(path: Path, secret: str) -> bool:
    return path.is_file() and secret.encode() in path.read_bytes()
