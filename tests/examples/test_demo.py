"""The whole demonstration against a stand-in server that answers as PROTOCOL wants, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from examples.demo import run

from elephant.simulation import preset, read_truth, write_movie

CLOSED_PORT = "1"


class Server(BaseHTTPRequestHandler):
    """Finds all but the last true nucleus of the timepoint it is asked for."""

    requests: ClassVar[list[tuple[str, dict[str, Any]]]]
    workspace: ClassVar[Path]
    truth: ClassVar[Path]
    answers: ClassVar[dict[str, tuple[int, dict[str, Any]]]]
    converted: ClassVar[bool]

    def do_GET(self) -> None:
        self._answer(200, [{"id": "none", "name": "CPU is used", "mem_total": 1.0, "mem_used": 1.0}])

    def do_POST(self) -> None:
        assert self.headers["Content-Type"] == "application/json"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.strip("/")
        self.requests.append((path, body))
        if path in self.answers:
            self._answer(*self.answers[path])
        elif path == "dataset/check":
            self._answer(200, {"message": "ready" if self.converted else "imgs.zarr is missing"})
        elif path == "dataset/generate":
            type(self).converted = True
            self._answer(200, {"message": "done"})
        elif path == "seg/predict":
            self._answer(200, {"spots": self._found(body), "completed": True})
        else:
            self._answer(200, {"completed": True})

    def _found(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        nuclei = json.loads(self.truth.read_text())["frames"][body["timepoint"]][:-1]
        return [{**{key: nucleus[key] for key in ("t", "pos", "covariance")}, "quality": 0.9} for nucleus in nuclei]

    def _answer(self, status: int, content: object) -> None:
        raw = b"  \n " + json.dumps(content).encode()  # white space kept the connection alive
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a movie with four timepoints that is made and drawn in no time."""
    parameters = preset("demo", shape=(8, 48, 48), nuclei=4, radius=2, timepoints=4)
    return str(write_movie(parameters, tmp_path_factory.mktemp("movie") / "small.h5").h5)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    Server.requests, Server.answers, Server.workspace, Server.converted = [], {}, tmp_path / "workspace", False
    Server.truth = Server.workspace / "datasets/demo/demo.truth.json"
    http = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name in ("MOVIE", "TRUTH", "SEED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ELEPHANT_HTTP_PORT", str(http.server_port))
    monkeypatch.setenv("ELEPHANT_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.chdir(tmp_path)
    yield Server
    http.shutdown()
    thread.join()
    http.server_close()


def test_it_asks_in_order_scores_and_draws(server: type[Server], capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--seed", "2", "--require-f1", "0.9"]) == 0
    assert [path for path, _ in server.requests] == [
        "dataset/check",
        "dataset/generate",
        "dataset/check",
        "seg/update",
        "seg/reset",
        "seg/train",
        "seg/predict",
    ]
    truth = read_truth(server.truth)
    bodies = dict(server.requests)
    assert [s["id"] for s in bodies["seg/train"]["spots"]] == [s.id for s in truth.spots(0)]
    assert {s["tag"] for s in bodies["seg/train"]["spots"]} == {"tp"}
    assert bodies["dataset/check"]["shape"] == [4, 32, 128, 128]
    assert bodies["seg/train"]["n_epochs"] * bodies["seg/train"]["n_crops"] <= 100
    assert bodies["seg/train"]["crop_size"] == bodies["seg/reset"]["crop_size"] == [48, 48, 16]
    assert "url" not in bodies["seg/reset"]  # the start is self-supervised
    assert (bodies["seg/predict"]["timepoint"], "patch" in bodies["seg/predict"]) == (1, False)
    count = len(truth.spots(1))
    text = capsys.readouterr().out
    assert f"precision 1.000, recall {(count - 1) / count:.3f}" in text
    assert "demo-output/demo-2.png" in text
    assert Path("demo-output/demo-2.png").stat().st_size > 10_000


def test_a_given_movie_is_copied_and_named(server: type[Server], tmp_path: Path) -> None:
    paths = write_movie(preset("flat", timepoints=2, nuclei=6, shape=(1, 96, 96)), tmp_path / "mine.h5")
    server.truth = paths.truth
    assert run.main(["--movie", str(paths.h5)]) == 0
    assert (server.workspace / "datasets/demo/demo.h5").read_bytes() == paths.h5.read_bytes()
    bodies = dict(server.requests)
    assert bodies["dataset/generate"]["is_2d"] is True
    assert bodies["dataset/check"]["shape"] == [2, 96, 96]
    assert (bodies["seg/train"]["is_3d"], bodies["seg/train"]["crop_size"]) == (False, [48, 48, 1])
    assert Path("demo-output/mine.png").is_file()


def test_too_low_a_score_is_a_failure(server: type[Server], small: str, capsys: pytest.CaptureFixture[str]) -> None:
    server.truth = Path(small).with_suffix(".truth.json")
    assert run.main(["--movie", small, "--require-f1", "1"]) == 1
    assert "expected at least 1.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "status", "answer", "expected"),
    [
        ("seg/train", 500, {"error": "A process is running."}, "seg/train failed (500): A process is running."),
        ("seg/train", 200, {"completed": False, "error": "out of memory"}, "seg/train failed: out of memory"),
        ("seg/predict", 200, {"completed": False, "spots": []}, "it was aborted"),
        (
            "seg/predict",
            200,
            {"completed": True, "spots": [{"t": 1}]},
            "spots.0.pos: Field required",
        ),
        ("dataset/check", 200, {"message": "imgs.zarr is missing"}, "not ready: imgs.zarr is missing"),
    ],
)
def test_what_the_server_says_ends_it_with_one_line(
    server: type[Server],
    small: str,
    capsys: pytest.CaptureFixture[str],
    path: str,
    status: int,
    answer: dict[str, Any],
    expected: str,
) -> None:
    server.answers = {path: (status, answer)}
    server.truth = Path(small).with_suffix(".truth.json")
    assert run.main(["--movie", small]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert expected in last


def test_without_a_server_it_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELEPHANT_HTTP_PORT", CLOSED_PORT)
    assert run.main([]) == 1
    assert capsys.readouterr().err == (
        "no server answers at http://localhost:1/: start it, or check its address. "
        "make serve starts one; ELEPHANT_HTTP_PORT is its port.\n"
    )


def test_a_missing_movie_or_timepoint_is_named(
    server: type[Server], small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["--movie", "none.h5"]) == 1
    assert "There is no movie at none.h5" in capsys.readouterr().err
    assert run.main(["--movie", small, "--timepoint", "3"]) == 1
    assert "no timepoint 4 to predict" in capsys.readouterr().err
    assert server.requests == []
