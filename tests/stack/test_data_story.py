"""Movies in, models and masks out, on the real stack."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import requests
import zarr

from stack.player import CHUNK, Ears, Player, Uploader, export_body, masks_of
from stack.running import RunningServer, wait_until

pytestmark = pytest.mark.stack

SHAPE = (8, 24, 28)  # Z, Y, X
SCALES = [1, 1, 2]
MANY = 50_000  # more masks than are made while a test runs


@pytest.fixture(scope="module")
def player(server: RunningServer) -> Player:
    return Player(server)


@pytest.fixture(scope="module")
def dataset(player: Player) -> str:
    assert player.make_dataset("tracked", np.ones((4, *SHAPE), np.uint16)).json() == {"completed": True}
    return "tracked"


def cell(t: int, value: int, x: float = 14.0, radius: float = 4.0) -> dict[str, Any]:
    return {"t": t, "pos": [x, 12, 8], "covariance": (np.eye(3) * radius**2).ravel().tolist(), "value": value}


def ctc_body(dataset: str, *spots: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return export_body(dataset, **{"spots": list(spots), "scales": SCALES, "t_end": 3, **changes})


def nothing_is_left(player: Player) -> None:
    folder = player.server.workspace / ".exports"
    wait_until(lambda: not list(folder.iterdir()), 60, f"{folder} to be empty")
    player.wait_for_state(0)


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie of 25 MiB."""
    path = tmp_path_factory.mktemp("client") / "sent.h5"
    values = np.random.default_rng(0).integers(0, 65536, (5, 10, 512, 512), dtype=np.uint16)
    with h5py.File(path, "w") as file:
        file["s00/resolutions"] = np.ones((1, 3))
        for t, frame in enumerate(values):
            file[f"t{t:05d}/s00/0/cells"] = frame.view(np.int16)
    assert 25 * 2**20 < path.stat().st_size < 26 * 2**20
    return path


@pytest.mark.parametrize(("path", "dataset_name"), [("upload/image", "user/new"), ("upload/", "user/old")])
def test_an_uploaded_movie_becomes_a_dataset(player: Player, movie: Path, path: str, dataset_name: str) -> None:
    uploader = Uploader(player.server, dataset_name, path)
    assert uploader.send(movie) == [200, 200, 200, 200]
    stored = uploader.folder / "sent.h5"
    assert stored.stat().st_size == 3 * CHUNK
    assert stored.read_bytes().startswith(movie.read_bytes())
    assert player.post("dataset/generate", {"dataset_name": uploader.dataset, "is_2d": False}).status_code == 200
    check = player.post("dataset/check", {"dataset_name": uploader.dataset, "shape": [5, 10, 512, 512]})
    assert check.json() == {"message": "ready"}
    with h5py.File(movie) as file:
        expected = file["t00004/s00/0/cells"][...].view(np.uint16)
    images = zarr.open_array(uploader.folder / "imgs.zarr", mode="r")
    np.testing.assert_array_equal(images[4], expected)


def test_a_movie_in_partitions_is_uploaded_master_last(player: Player, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), dtype=np.uint16)
    for t, frame in enumerate(frames):
        with h5py.File(tmp_path / f"movie-{t:02d}-00.h5", "w") as file:
            file[f"t{t:05d}/s00/0/cells"] = frame.view(np.int16)
    with h5py.File(tmp_path / "movie.h5", "w") as file:
        file["s00/resolutions"] = np.ones((1, 3))
        for t in range(2):
            file[f"t{t:05d}/s00/0"] = h5py.ExternalLink(f"movie-{t:02d}-00.h5", f"t{t:05d}/s00/0")
    uploader = Uploader(player.server, "split")
    assert uploader.send(tmp_path / "movie-00-00.h5") == [200, 200]
    assert uploader.send(tmp_path / "movie.h5") == [200, 400]
    assert uploader.send(tmp_path / "movie-01-00.h5") == [200, 200]
    assert uploader.send(tmp_path / "movie.h5") == [200, 200]
    assert (uploader.folder / "movie.h5").stat().st_size == CHUNK
    assert player.post("dataset/generate", {"dataset_name": "split", "is_2d": False}).status_code == 200
    np.testing.assert_array_equal(zarr.open_array(uploader.folder / "imgs.zarr", mode="r")[...], frames)


def test_uploads_at_the_same_time_do_not_meet(player: Player, movie: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["t00000/s00/0/cells"] = np.random.default_rng(1).integers(0, 9, (20, 512, 600), dtype=np.int16)
    uploader = Uploader(player.server, "together")
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(uploader.send, [movie, other])) == [[200] * 4, [200] * 3]
    for file in (movie, other):
        assert (uploader.folder / file.name).read_bytes().startswith(file.read_bytes())
    assert sorted(path.name for path in uploader.folder.iterdir()) == ["other.h5", "sent.h5"]


def test_a_piece_that_fails_keeps_the_file_from_its_place(player: Player, movie: Path) -> None:
    uploader = Uploader(player.server, "full")
    assert uploader.send(movie)[-1] == 200
    first, second, third = uploader.pieces(movie)
    assert uploader.step("sent.h5", "init", b"other").json() == {"completed": True}
    (staged,) = uploader.staging.glob("*/sent.h5")
    staged.unlink()
    staged.symlink_to("/dev/full")
    failed = uploader.step("sent.h5", "append", second)
    assert failed.status_code == 500
    assert "No space left on device" in failed.json()["error"]
    assert uploader.step("sent.h5", "append", third).status_code == 400
    with Ears(player.server) as ears:
        refused = uploader.step("sent.h5", "complete")
        assert (refused.status_code, "No space left on device" in refused.json()["error"]) == (400, True)
        ears.wait_for(lambda e: any("given up" in entry["message"] for entry in e.bodies("log")))
    assert (uploader.folder / "sent.h5").read_bytes() == first + second + third
    assert uploader.send(movie)[-1] == 200


def test_a_piece_that_is_lost_keeps_the_file_from_its_place(player: Player, movie: Path) -> None:
    uploader = Uploader(player.server, "lost")
    first, _, third = uploader.pieces(movie)
    assert uploader.step("sent.h5", "init", first).status_code == 200
    assert uploader.step("sent.h5", "append", third).status_code == 200
    assert uploader.step("sent.h5", "complete").status_code == 400
    assert not uploader.folder.exists()


def test_a_piece_may_come_without_its_length(player: Player, movie: Path) -> None:
    uploader = Uploader(player.server, "chunked")
    for i, piece in enumerate(uploader.pieces(movie)):
        fields = {"dataset_name": "chunked", "filename": "sent.h5", "action": "append" if i else "init"}
        request = requests.Request("POST", uploader.url, data=fields, files={"file": ("sent.h5", piece)}).prepare()
        headers = {"Content-Type": request.headers["Content-Type"]}
        parts = (request.body[at : at + 65536] for at in range(0, len(request.body), 65536))
        answer = requests.post(uploader.url, data=parts, headers=headers, timeout=60)
        assert answer.json() == {"completed": True}
    assert uploader.step("sent.h5", "complete").json() == {"completed": True}
    assert (uploader.folder / "sent.h5").read_bytes().startswith(movie.read_bytes())


def test_an_upload_is_cancelled(player: Player) -> None:
    uploader = Uploader(player.server, "cancelled")
    assert uploader.step("a.h5", "init", b"a" * 100).status_code == 200
    assert uploader.step("a.h5", "cancel").json() == {"completed": True}
    refused = uploader.step("a.h5", "complete")
    assert (refused.status_code, "has not begun" in refused.json()["error"]) == (400, True)
    assert uploader.step("a.h5", "append", b"a").status_code == 400
    assert not uploader.folder.exists()
    assert not list(uploader.staging.glob("*/a.h5"))


@pytest.mark.parametrize(
    ("dataset_name", "filename", "action"),
    [
        ("../models", "a.h5", "init"),
        ("a", "../../models/a.h5", "init"),
        ("a", "a.pth", "init"),
        ("a", "/tmp/a.h5", "init"),
        ("", "a.h5", "init"),
        ("a", "a.h5", "begin"),
    ],
)
def test_an_upload_can_not_get_out(player: Player, dataset_name: str, filename: str, action: str) -> None:
    answer = Uploader(player.server, dataset_name).step(filename, action, b"x")
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("path", ["download/ctc", "export/ctc/"])
def test_masks_come_as_a_zip(player: Player, dataset: str, path: str) -> None:
    spots = [cell(4, 9), cell(1000, 8), cell(0, 5), cell(2, 65535, x=6), cell(2, 7, x=20)]
    answer = player.post(path, ctc_body(dataset, *spots))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip")
    masks = masks_of(answer.content)
    assert list(masks) == [f"mask{t:04d}.tif" for t in (0, 1, 2, 3, 4, 1000)]
    assert {(mask.shape, mask.dtype.name) for mask in masks.values()} == {(SHAPE, "uint16")}
    assert [set(np.unique(mask)) for mask in masks.values()] == [{0, 5}, {0}, {0, 7, 65535}, {0}, {0, 9}, {0, 8}]
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    ball = ((2 * z - 8) ** 2 + (y - 12) ** 2 + (x - 14) ** 2) < 16
    np.testing.assert_array_equal(masks["mask0000.tif"], np.where(ball, 5, 0))
    nothing_is_left(player)


def test_masks_without_spots_are_blank(player: Player, dataset: str) -> None:
    masks = masks_of(player.post("download/ctc", ctc_body(dataset, t_start=2, t_end=2)).content)
    assert {name: mask.any() for name, mask in masks.items()} == {"mask002.tif": False}


def test_two_exports_do_not_meet(player: Player, dataset: str) -> None:
    answers = [player.later("download/ctc", ctc_body(dataset, cell(1, value))) for value in (1, 2, 3)]
    found = [set(np.unique(masks_of(answer.result(60).content)["mask001.tif"])) for answer in answers]
    assert found == [{0, 1}, {0, 2}, {0, 3}]


@pytest.fixture
def export(player: Player, dataset: str) -> Iterator[requests.Response]:
    """The answer of an export that would go on for long, when its first masks have come."""
    body = ctc_body(dataset, cell(0, 1), t_end=MANY - 1, begin_after=0.3)
    with requests.post(player.server.base_url + "download/ctc", json=body, stream=True, timeout=60) as answer:
        assert answer.status_code == 200
        # Nothing has a name any more, so that nothing stays behind whatever is killed.
        folder = player.server.workspace / ".exports"
        wait_until(lambda: not list(folder.iterdir()), 60, "the first mask")
        yield answer
    player.abort()
    nothing_is_left(player)


def test_masks_come_while_others_are_made_and_abort_breaks_the_transfer(
    player: Player, export: requests.Response
) -> None:
    pieces = export.iter_content(1 << 12)
    content = b""
    while b"mask00001.tif" not in content:
        content += next(pieces)
    assert content.startswith(b"PK")
    assert player.state() == 2
    player.abort()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        list(pieces)


@pytest.mark.parametrize("program", ["answering", "uwsgi"])
def test_what_is_killed_breaks_the_transfer(player: Player, export: requests.Response, program: str) -> None:
    with Ears(player.server) as ears:
        os.kill(player.server.pid(program), signal.SIGKILL)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(export.iter_content(1 << 16))
        if program == "answering":
            ears.wait_for(lambda e: any("died" in entry["message"] for entry in e.bodies("log")))
    wait_until(player.server.answers, 60, "the server to answer again")
    player.abort()
    player.wait_for_state(0)


def test_a_worker_that_stopped_is_ended_and_the_next_does_the_work(
    player: Player, dataset: str, export: requests.Response
) -> None:
    before = player.server.pid("answering")
    with Ears(player.server) as ears:
        os.kill(before, signal.SIGSTOP)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(export.iter_content(1 << 16))
        ears.wait_for(lambda e: any("does not answer" in entry["message"] for entry in e.bodies("log")))
        assert not any("died" in entry["message"] for entry in ears.bodies("log"))
    assert set(masks_of(player.post("download/ctc", ctc_body(dataset, cell(1, 5))).content))
    assert player.server.pid("answering") not in (0, before)


def test_a_client_that_goes_away_ends_its_export(player: Player, export: requests.Response) -> None:
    assert player.state() == 2
    export.close()
    player.wait_for_state(0)


def test_an_aborted_export_that_has_not_begun_is_204(player: Player, dataset: str) -> None:
    answer = player.later("download/ctc", ctc_body(dataset, t_end=MANY - 1))
    player.wait_for_state(2)
    player.abort()
    result = answer.result(60)
    assert (result.status_code, result.content) == (204, b"")
    nothing_is_left(player)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"spots": [cell(0, 65536)]}, 400, "65536"),
        ({"spots": [cell(-1, 9)]}, 400, "spots.0.t"),
        ({"spots": [{**cell(0, 1), "covariance": [1, 0, 0, 0, -1, 0, 0, 0, 1]}]}, 400, "positive definite"),
        ({"t_start": 3, "t_end": 2}, 400, "t_end"),
        ({"dataset_name": "absent"}, 404, "absent"),
        ({"dataset_name": "../tracked"}, 400, "tracked"),
    ],
)
def test_what_cannot_be_exported_is_said_in_the_status_line(
    player: Player, dataset: str, changes: dict[str, Any], status: int, words: str
) -> None:
    answer = player.post("download/ctc", ctc_body(dataset, **changes))
    assert (answer.status_code, words in answer.reason) == (status, True), answer.reason
    nothing_is_left(player)


@pytest.mark.parametrize("path", ["download/model", "model/download/"])
def test_a_model_comes_as_it_is_stored(player: Player, path: str) -> None:
    stored = np.random.default_rng(0).bytes(3_000_000)
    file = player.server.workspace / "models" / "somebody" / "own.pth"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(stored)
    answer = player.post(path, {"model_name": "somebody/own.pth"})
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, "3000000")
    assert answer.content == stored


@pytest.mark.parametrize("name", ["absent.pth", "absent/own.pth", "somebody", "somebody/own.pth/x"])
def test_without_a_model_there_is_no_content(player: Player, name: str) -> None:
    answer = player.post("download/model", {"model_name": name})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("name", ["../datasets/tracked/tracked.h5", "/etc/passwd", "a/../../x", ""])
def test_nothing_but_models_is_sent(player: Player, name: str) -> None:
    answer = player.post("download/model", {"model_name": name})
    assert answer.status_code == 400
    assert "name" in answer.reason
