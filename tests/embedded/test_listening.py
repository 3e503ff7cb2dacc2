"""How the server of one process takes requests, in this process."""

import contextlib
import http.client
import json
import logging
import os
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs.worker_threads import WorkerThreads
from elephant_server.embedded import connections, server
from elephant_server.feed import ActivityFeed
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.main import make_app
from elephant_server.rabbitmq import Messages, NoBroker
from elephant_server.services import Services
from elephant_server.settings import Settings
from stack.running import free_ports, wait_until

TOKEN = "abcdefghijklmnopqrstuvwxyz"
# White space has to leave at once, and nothing else of Waitress says so.
pytestmark = pytest.mark.filterwarnings("ignore:send_bytes")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (port,) = free_ports(1)
    settings = Settings(workspace=tmp_path, http_port=port, token=TOKEN, gpu="")
    job_store = JobStore(MemoryStore())
    workers = WorkerThreads(job_store, lambda: lambda _: {})
    app = make_app(Services.of(settings, job_store, ActivityFeed(MemoryStore()), workers, Messages(NoBroker())))
    listening = server._listen(app, settings)
    thread = threading.Thread(target=listening.run, daemon=True)
    thread.start()
    yield port
    listening.close()
    thread.join(10)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Have this process hold so many files open that new ones have numbers above those that `select` knows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for descriptor in held:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", f"/t/{TOKEN}/state/process")
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.usefixtures("many_files")
def test_many_open_files_do_not_end_it(port: int) -> None:
    assert [status(port) for _ in range(3)] == [200, 200, 200]


def test_a_client_that_goes_away_leaves_no_token_in_the_log(port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "waitress")
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(f"GET /t/{TOKEN}/dashboard/api/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert b"200" in client.recv(100)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    wait_until(lambda: "/dashboard/api/events" in caplog.text, 60, "the line about it")
    assert TOKEN not in caplog.text


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))


def head(path: str, **headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join(
        [*lines, *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()), "", ""]
    ).encode()


LARGE = 64 << 20
REFUSED = {
    "a stranger": (head("/seg/reset", Content_Length=str(LARGE)), 401),
    "a stranger who guesses": (head("/t/wrong-wrong-wrong-wrong/upload", Content_Length=str(LARGE)), 401),
    "a stranger with chunks": (head("/seg/update", Transfer_Encoding="chunked"), 401),
    "a stranger who asks first": (head("/seg/reset", Content_Length=str(LARGE), Expect="100-continue"), 401),
    "a page of another site": (
        head(f"/t/{TOKEN}/seg/update", Content_Length=str(LARGE), Origin="http://evil.example"),
        403,
    ),
    "too much for its path": (head(f"/t/{TOKEN}/params", Content_Length=str(LARGE)), 413),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_is_refused_hears_it_before_sending_anything(port: int, case: str) -> None:
    request, expected = REFUSED[case]
    with connected(port) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == expected
        assert json.loads(answer.read())["error"]


@pytest.mark.parametrize("case", [case for case in REFUSED if "chunks" not in case])
def test_what_is_refused_is_not_taken(port: int, case: str) -> None:
    taken = 0
    with connected(port) as connection:
        connection.sendall(REFUSED[case][0])
        with contextlib.suppress(OSError):
            while taken < LARGE:
                taken += connection.send(bytes(1 << 16))
    # Some megabytes are on their way in the kernel's buffers.
    assert taken < LARGE / 2


def test_a_refused_client_that_goes_on_sending_gets_its_answer(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(head("/seg/update", Content_Length=str(2 << 20)) + bytes(2 << 20))
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_chunks_end_at_the_limit_of_their_path(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(head(f"/t/{TOKEN}/params", Transfer_Encoding="chunked"))
        connection.sendall(b"1ffff\r\n" + bytes(0x1FFFF))
        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("begin", [b"", b"GET /state/process HTTP/1.1\r\nHost: local"])
def test_others_get_in_however_many_connections_one_holds(port: int, begin: bytes) -> None:
    held = []
    for _ in range(server.MOST_CONNECTIONS + 100):
        held.append(connected(port, "127.0.0.2"))
        held[-1].sendall(begin)
    try:
        assert status(port) == 200
        with connected(port, "127.0.0.2") as connection:
            connection.sendall(f"GET /t/{TOKEN}/state/process HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert connection.recv(12) == b"HTTP/1.1 200"
    finally:
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    ("limit", "begin"),
    [
        ("HEADER_S", b""),
        ("HEADER_S", b"GET / HTTP/1.1\r\nHost: local"),
        ("PAUSE_S", head(f"/t/{TOKEN}/params", Content_Length="100") + b"{"),
        ("IDLE_S", f"GET /t/{TOKEN}/state/process HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()),
    ],
)
def test_who_keeps_it_waiting_is_let_go(port: int, limit: str, begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(port) as connection:
        connection.sendall(begin)
        monkeypatch.setattr(connections, limit, 0.1)
        while connection.recv(1 << 16):
            pass


def test_who_sends_a_body_slower_than_any_line_is_let_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though there is never a pause."""
    monkeypatch.setattr(connections, "PAUSE_S", 1.0)
    monkeypatch.setattr(connections, "SLOWEST_BYTES_PER_S", 1 << 30)
    with connected(port) as connection:
        connection.sendall(head(f"/t/{TOKEN}/params", Content_Length="60000"))
        assert drip(connection) == b""


def drip(connection: socket.socket) -> bytes:
    """Send a byte again and again until something comes, or the end; return what came."""
    connection.settimeout(0.1)
    while True:
        try:
            connection.sendall(b" ")
            return connection.recv(1)
        except TimeoutError:
            continue
        except ConnectionError:
            return b""
