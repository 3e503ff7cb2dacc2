"""How the server of one process takes requests, in this process."""

import http.client
import logging
import os
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from elephant_server.embedded import server
from elephant_server.jobs.threads import WorkerThreads
from elephant_server.main import make_app
from elephant_server.messaging import Messages, NoBroker
from elephant_server.services import Services
from elephant_server.settings import Settings
from elephant_server.state import MemoryBoard, MemoryBulletin
from stack.running import free_ports, wait_until

TOKEN = "abcdefghijklmnopqrstuvwxyz"
# White space has to leave at once, and nothing else of Waitress says so.
pytestmark = pytest.mark.filterwarnings("ignore:send_bytes")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (port,) = free_ports(1)
    settings = Settings(workspace=tmp_path, http_port=port, token=TOKEN, gpu="")
    workers = WorkerThreads((), lambda: lambda *_: None)
    app = make_app(Services.of(settings, MemoryBoard(), MemoryBulletin(), workers, Messages(NoBroker())))
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
    wait_until(lambda: "/dashboard/api/events" in caplog.text, 30, "the line about it")
    assert TOKEN not in caplog.text
