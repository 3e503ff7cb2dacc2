"""Exports that do not come to their end, as HTTP libraries and bare sockets see them, in each kind of server."""

import json
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import requests

from client.released import ReleasedClient
from stack.player import masks_of
from stack.running import wait_until

Start = Callable[..., ReleasedClient]

# More masks than are made while a test runs.
LAST = 50_000


@pytest.fixture
def client(start: Start) -> ReleasedClient:
    client = start("volume", "stories/volume")
    if client.check() != "ready":
        assert set(client.upload()) == {200}
        assert client.generate().status_code == 200
    return client


def asked(client: ReleasedClient, version: str, **changes: object) -> socket.socket:
    """Ask for an export over a bare connection."""
    body = json.dumps({**client.export_body([], 0, LAST), **changes}).encode()
    there = urlsplit(client.server.base_url)
    connection = socket.create_connection((there.hostname, there.port), timeout=60)
    head = f"POST /download/ctc HTTP/{version}\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def received(connection: socket.socket) -> bytes:
    content = b""
    while piece := connection.recv(1 << 16):
        content += piece
    return content


def test_an_abort_breaks_the_transfer(client: ReleasedClient) -> None:
    with asked(client, "1.1", begin_after=0.2) as connection:
        begin = connection.recv(1 << 16)
        while b"PK" not in begin:
            begin += connection.recv(1 << 16)
        assert begin.startswith(b"HTTP/1.1 200")
        assert b"transfer-encoding: chunked" in begin.lower()
        client.set_state(0)
        assert not (begin + received(connection)).endswith(b"0\r\n\r\n")


def test_a_library_notices(client: ReleasedClient) -> None:
    body = client.export_body([], 0, LAST) | {"begin_after": 0.2}
    with requests.post(client.server.base_url + "download/ctc", json=body, stream=True, timeout=60) as answer:
        assert answer.status_code == 200
        client.set_state(0)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(answer.iter_content(1 << 16))


def test_one_that_begins_early_comes_whole(client: ReleasedClient) -> None:
    marked = [{**client.movie.drawn(0)[0], "t": 0, "value": 7}]
    body = client.export_body(marked, 0, 3) | {"begin_after": 0}
    answer = requests.post(client.server.base_url + "download/ctc", json=body, timeout=60)
    assert "Content-Length" not in answer.headers
    assert [int(mask.max()) for mask in masks_of(answer.content).values()] == [7, 0, 0, 0]


def test_a_dataset_that_is_not_there_is_refused_before_the_answer_begins(client: ReleasedClient) -> None:
    body = client.export_body([], 0, LAST) | {"begin_after": 0, "dataset_name": "absent"}
    answer = requests.post(client.server.base_url + "download/ctc", json=body, timeout=60)
    assert answer.status_code == 404
    assert "absent is not there" in answer.json()["error"]


def test_old_http_in_which_no_break_is_seen_waits_for_the_end(client: ReleasedClient) -> None:
    with asked(client, "1.0", t_end=3, begin_after=0) as connection:
        whole = received(connection)
    assert b"200" in whole.split(b"\r\n")[0]
    assert b"content-length:" in whole.lower()
    with asked(client, "1.0", begin_after=0) as connection:
        wait_until(lambda: client.state() == 2, 60, "the export")
        client.set_state(0)
        assert b"204" in received(connection).split(b"\r\n")[0]
