"""What the client in Python makes of answers, also of broken ones, over real HTTP."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from elephant.errors import InvalidInputError, NotFoundError
from elephant_server.client import AbortedError, Client, ServerError, UnreachableError

JOB = {"id": "1", "kind": "training", "phase": "running", "task": "elephant.seg_train", "dataset_name": "d"}
STATUS = {"state": 1, "is_held": False, "latest_job": "1", "devices": [], "now": 0.0, "version": "0"}
GZIPPED = b"\x1f\x8b"  # how what gzip has compressed begins
SPOTS = [(0, 5.0, 5.0, 5.0, 2.0)]


class Stand(BaseHTTPRequestHandler):
    """Answers a path with what a test has put there."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[dict[str, tuple[int, bytes]]]
    asked: ClassVar[list[tuple[str, dict[str, str], bytes]]]
    shown: ClassVar[list[dict[str, Any]]]
    all_shown: ClassVar[threading.Event]

    def do_GET(self) -> None:
        if self.path == "/dashboard/api/status" and self.shown:
            job = self.shown.pop(0)
            self._send(200, json.dumps({**STATUS, "jobs": [{**JOB, **job}]}).encode())
            if not self.shown:
                self.all_shown.set()
            return
        self._answer(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.shown:
            assert self.all_shown.wait(30)
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        path = self.path.partition("?")[0].strip("/")
        self.asked.append((path, dict(self.headers), body))
        self._send(*self.answers.get(path, (200, b'{"completed": true}')))

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status, "a reason")
        if status != 204:
            self.send_header("Content-Length", str(len(content.removesuffix(b"CUT")) + 9 * content.endswith(b"CUT")))
        if content.startswith(GZIPPED):
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = content.endswith(b"CUT")

    def log_message(self, *_: object) -> None:
        pass


class Seen:
    """Receives progress."""

    def __init__(self) -> None:
        self.all: list[tuple[str, int, int, dict[str, float]]] = []

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        self.all.append((stage, done, total, values))


@pytest.fixture
def stand() -> Iterator[str]:
    Stand.answers, Stand.asked, Stand.shown, Stand.all_shown = {}, [], [], threading.Event()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Stand)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}/"
    http.shutdown()
    thread.join()
    http.server_close()


def failing(client: Client) -> ServerError:
    with pytest.raises(ServerError) as caught:
        client.open_dataset("d", (1, 1, 1)).train(SPOTS)
    return caught.value


def test_a_refusal_has_its_status_message_and_remedy(stand: str) -> None:
    Stand.answers["seg/train"] = (500, b'{"error": "a process is running: wait for it, or abort it"}')
    error = failing(Client(stand))
    assert (error.path, error.status, error.remedy) == ("seg/train", 500, "wait for it, or abort it")
    assert str(error) == "seg/train failed (500): a process is running: wait for it, or abort it"


def test_a_failure_after_the_answer_began_is_one(stand: str) -> None:
    Stand.answers["seg/train"] = (200, b'  \n {"completed": false, "error": "out of memory"}')
    error = failing(Client(stand))
    assert (error.status, error.message, error.remedy) == (200, "out of memory", "")


def test_an_abort_is_no_answer(stand: str) -> None:
    Stand.answers["seg/train"] = (200, b'{"completed": false}')
    assert isinstance(failing(Client(stand)), AbortedError)
    Stand.answers["seg/predict"] = (200, b'{"completed": false, "spots": []}')
    with pytest.raises(AbortedError):
        Client(stand).open_dataset("d", (1, 1, 1)).predict(0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>", "expected JSON"),
        (b'{"completed": true, "spots": [{"t": 1}]}', "spots.0.pos"),
        (b"[]", "expected another answer"),
    ],
)
def test_other_answers_are_named(stand: str, content: bytes, words: str) -> None:
    Stand.answers["seg/predict"] = (200, content)
    with pytest.raises(ServerError, match=words):
        Client(stand).open_dataset("d", (1, 1, 1)).predict(0)


def test_a_reason_phrase_stands_in_for_a_missing_text(stand: str) -> None:
    Stand.answers["seg/train"] = (502, b"<html>")
    assert failing(Client(stand)).message == "a reason"


def test_compressed_answers_are_asked_for_and_read(stand: str) -> None:
    content = gzip.compress(b'{"success": true, "state": 2}')
    Stand.answers["state/process"] = (200, content)
    assert Client(stand).state() == 2
    assert Stand.asked[-1][1]["Accept-Encoding"] == "gzip"
    for broken in (content[:-12], content[:12] + b"!" + content[13:]):
        Stand.answers["state/process"] = (200, broken)
        with pytest.raises(UnreachableError, match="interrupted"):
            Client(stand).state()


def test_without_a_server(stand: str) -> None:
    with pytest.raises(UnreachableError, match=r"no server answers at http://127\.0\.0\.1:1/: start it"):
        Client("http://127.0.0.1:1/t/secret/").devices()


def test_a_token_goes_in_the_header_or_in_the_address(stand: str) -> None:
    Stand.answers |= {"state/process": (200, b'{"success": true, "state": 0}')}
    Client(stand, "secret").state()
    assert Stand.asked[-1][1]["Authorization"] == "Bearer secret"
    Stand.answers["t/secret/state/process"] = Stand.answers["state/process"]
    Client(f"{stand}t/secret/").state()
    assert Stand.asked[-1][0] == "t/secret/state/process"


def test_a_file_is_there_whole_or_not_at_all(stand: str, tmp_path: Path) -> None:
    target = tmp_path / "model.pth"
    Stand.answers["download/model"] = (200, b"weightsCUT")
    with pytest.raises(UnreachableError, match="interrupted"):
        Client(stand).download_model("m.pth", target)
    assert list(tmp_path.iterdir()) == []
    Stand.answers["download/model"] = (204, b"")
    with pytest.raises(NotFoundError, match=r"no model m\.pth"):
        Client(stand).download_model("m.pth", target)
    Stand.answers["download/model"] = (200, b"weights")
    Client(stand).download_model("m.pth", target)
    assert target.read_bytes() == b"weights"


def test_progress_is_that_of_the_work_that_was_asked_for(stand: str) -> None:
    Stand.shown = [
        {"stage": None},
        {"stage": "step", "done": 1, "total": 2, "values": {"loss": 9.0}, "dataset_name": "another"},
        {"stage": "step", "done": 3, "total": 4, "values": {"loss": 0.5}},
        {"stage": "tile", "done": 3, "total": 4, "task": "elephant.seg_predict"},
    ]
    seen = Seen()
    Client(stand, progress=seen).open_dataset("d", (1, 1, 1)).train(SPOTS)
    assert seen.all == [("step", 3, 4, {"loss": 0.5}), ("step", 4, 4, {"loss": 0.5})]


def test_a_model_file_is_sent_whole(stand: str, tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    file.write_bytes(bytes(range(256)) * 8192)  # more than is read at once
    Client(stand).open_dataset("d", (1, 1, 1)).reset("m.pth", file=file)
    _, headers, body = Stand.asked[-1]
    assert len(body) == int(headers["Content-Length"])
    assert file.read_bytes() in body
    assert b'"model_name": "m.pth"' in body


def test_what_no_movie_has_is_refused_before_anything_is_sent(stand: str) -> None:
    client = Client(stand)
    with pytest.raises(InvalidInputError, match=r"expected a movie, \(T, Z, Y, X\)"):
        client.create_dataset("d", np.zeros((4, 4), np.uint8), (1, 1, 1))
    with pytest.raises(InvalidInputError, match="whole numbers from 0 to 65535"):
        client.create_dataset("d", np.zeros((1, 4, 4)), (1, 1))
    assert Stand.asked == []


@pytest.mark.parametrize("url", ["server:8080", "/t/secret/", "ftp://server/", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="expected the address of a server"):
        Client(url)


def test_it_loads_neither_torch_nor_a_web_framework() -> None:
    code = "import sys, elephant_server.client; print({'torch', 'flask', 'celery', 'redis', 'pika'} & {*sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
