"""A disk that is full, below the parts of the workspace that are written."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from faults.breakdowns.ledger import Ledger
from faults.breakdowns.recovery import assert_explained, assert_models_are_whole, assert_works
from faults.cases import Case, NotPossibleError
from faults.ground import Ground
from stack.player import Uploader

WORDS = ("disk", "space", "room")


@contextmanager
def small_disk(place: Path, n_bytes: int) -> Iterator[Path]:
    """Mount a disk in memory at a folder, and remove both."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "none", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        place.rmdir()
        raise NotPossibleError("a disk can only be mounted by root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        shutil.rmtree(place)


def assert_full(answer: requests.Response) -> None:
    assert answer.status_code >= 400, answer.text
    message = assert_explained(answer)
    assert any(word in message.lower() for word in WORDS), message


def fill(folder: Path) -> Path:
    """Take all the room that a disk has."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def model(g: Ground) -> None:
    name = "full/detection.pth"
    spots = g.volume.annotated(0, g.volume.movie.drawn(0))
    with small_disk(g.workspace / "models" / "full", 200 << 20) as disk:
        assert g.post("seg/reset", {**g.volume.seg_reset_body(), "model_name": name}).json() == {"completed": True}
        filler = fill(disk)
        kept = (disk / "detection.pth").read_bytes()
        assert_full(g.post("seg/train", g.volume.seg_train_body(spots, model_name=name, log_dir=None)))
        assert (disk / "detection.pth").read_bytes() == kept
        assert_models_are_whole(g)
        filler.unlink()
        trained = g.post("seg/train", g.volume.seg_train_body(spots, model_name=name, log_dir=None))
        assert trained.json() == {"completed": True}, trained.text
        assert_works(g)


def labels(g: Ground) -> None:
    with small_disk(g.workspace / "datasets" / "full", 40 << 20) as disk:
        name = "full/volume"
        shutil.copytree(g.dataset(), disk / "volume")
        client = type(g.volume)(g.server, g.volume.movie, name, g.volume.detection, g.volume.flow)
        ledger = Ledger(client)
        for t in range(3):
            assert g.post("seg/update", ledger.body(t, 1)).json() == {"completed": True}
            ledger.acknowledge(t, 1)
        filler = fill(disk)
        for t in range(3):
            answer = g.post("seg/update", ledger.body(t, 2))
            if answer.status_code == 200:
                ledger.acknowledge(t, 2)
            else:
                assert_full(answer)
        ledger.assert_kept()
        filler.unlink()
        for t in range(3):
            assert g.post("seg/update", ledger.body(t, 3)).json() == {"completed": True}
            ledger.acknowledge(t, 3)
        ledger.assert_kept()
    assert_works(g)


def dataset(g: Ground) -> None:
    with small_disk(g.workspace / "datasets" / "full", 40 << 20) as disk:
        folder = disk / "movie"
        folder.mkdir()
        shutil.copy(g.volume.movie.file, folder / "movie.h5")
        filler = fill(disk)
        body = {"dataset_name": "full/movie", "is_2d": False}
        assert_full(g.post("dataset/generate", body))
        assert not (folder / "imgs.zarr").exists()
        filler.unlink()
        assert g.post("dataset/generate", body).status_code == 200
    assert_works(g)


def upload(g: Ground) -> None:
    name = "full/uploaded"
    with small_disk(g.workspace / "datasets" / "full", 1 << 20) as disk:
        fill(disk)
        statuses = Uploader(g.server, name).send(g.volume.movie.file)
        assert statuses[-1] >= 400
        assert not list(disk.rglob("*.h5"))
    assert_works(g)


CASES = [
    Case("disk full while a model is saved", model),
    Case("disk full while labels are written", labels),
    Case("disk full while a movie is converted", dataset),
    Case("disk full while a movie is uploaded", upload),
]
