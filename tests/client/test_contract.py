"""What the client relies on and no story shows: names of paths, words of NGINX, when answers begin."""

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pynvml
import pytest
from flask import Flask, jsonify

from client.released import OLD_PATHS
from client.wire import get, read
from elephant_server import device_memory
from elephant_server.api.parsing import parse
from elephant_server.jobs.responses import LongPollResponder
from elephant_server.jobs.submit import Dispatcher
from elephant_server.main import create_app
from elephant_server.schemas.detection import SegTrainBody
from elephant_server.settings import Settings
from stack.player import write_movie
from stack.running import RunningServer, wait_until

POSTS = {
    *OLD_PATHS,
    *OLD_PATHS.values(),
    "dataset/check",
    "dataset/generate",
    "params",
} - {"state/gpus", "gpus"}
GETS = {"state/gpus", "gpus", "state/process", "state", "params"}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """The application, without anything that it talks to."""
    return create_app(Settings(redis_port=1, workspace=tmp_path))


@pytest.mark.parametrize("path", sorted(POSTS))
def test_every_post_is_answered_directly_with_and_without_a_slash(app: Flask, path: str) -> None:
    with app.test_client() as client:
        for url in (f"/{path}", f"/{path}/"):
            answer = client.post(url, data=b"[]", content_type="application/json")
            assert answer.status_code == 400, url
            assert isinstance(answer.json["error"], str)


@pytest.mark.parametrize("path", sorted(GETS))
def test_every_get_is_answered_directly_with_and_without_a_slash(app: Flask, path: str) -> None:
    with app.test_client() as client:
        assert [client.get(url).status_code in (200, 503) for url in (f"/{path}", f"/{path}/")] == [True, True]


def test_without_a_gpu_the_list_has_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)

    monkeypatch.setattr(device_memory, "n_gpus", none)
    (entry,) = (found.as_json() for found in device_memory.device_memory("all"))
    assert (entry["id"], entry["name"]) == ("GPU is not available", "CPU is used")
    assert 0 < entry["mem_used"] < entry["mem_total"]


def test_a_training_neither_pads_nor_aligns_medians() -> None:
    body = {"dataset_name": "d", "model_name": "m", "spots": [], "is_livemode": True, "scales": [1, 1, 1]}
    asked = {**body, "crop_size": [8, 8, 8], "use_median": True, "is_pad": True}
    params = parse(SegTrainBody, json.dumps(asked)).params()
    assert not params.image.use_median
    assert not hasattr(params, "is_pad")


@pytest.mark.parametrize(
    ("path", "first_byte_after_s"),
    [
        ("dataset/generate", 50),
        ("seg/reset", 50),
        ("flow/reset", 50),
        ("seg/update", 30),
        ("flow/update", 30),
    ],
)
def test_what_cannot_report_a_late_failure_answers_late(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, first_byte_after_s: float
) -> None:
    def respond(_self: LongPollResponder, _job: object, _answer: object, after_s: float = 30, **_: Any) -> Any:
        return jsonify(after_s=after_s)

    monkeypatch.setattr(Dispatcher, "submit", lambda *_: None)
    monkeypatch.setattr(LongPollResponder, "respond", respond)
    write_movie(tmp_path / "datasets" / "d" / "d.h5", np.ones((1, 2, 4, 4)))
    body = {"dataset_name": "d", "model_name": "m.pth", "reset": True, "scales": [1, 1, 1]}
    with app.test_client() as client:
        assert client.post(f"/{path}", json=body).json == {"after_s": first_byte_after_s}


@pytest.mark.stack
@pytest.mark.parametrize("server", ["stack"], indirect=True)
def test_polling_is_left_out_of_the_log(server: RunningServer) -> None:
    log = server.service_logs / "nginx.log"
    for path in ("state/gpus", "state/gpus/", "gpus", "state/process?seen"):
        read(get(server.base_url, path))
    wait_until(lambda: "state/process?seen" in log.read_text(), 60, "the line of a request")
    assert "gpus" not in log.read_text()


@pytest.mark.stack
@pytest.mark.parametrize("server", ["stack"], indirect=True)
@pytest.mark.parametrize("request_line", [b"POST seg/train", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x"])
def test_what_nginx_itself_refuses_is_json_too(server: RunningServer, request_line: bytes) -> None:
    with socket.create_connection(("localhost", server.http_port), timeout=60) as connection:
        connection.sendall(request_line + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, body = answer.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 400")
    assert isinstance(json.loads(body)["error"], str)
