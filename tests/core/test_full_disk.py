"""A disk that is full while something is written: really one, of a few megabytes."""

import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import content_of, make, make_as_the_original_did
from elephant.dataset import Dataset
from elephant.errors import DatasetError, StorageError
from elephant.io.download import DownloadRules
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.versions import ModelFile, restore, versions

SHAPE = (8, 256, 256)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a disk can only be mounted by root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all the room there is, but for some bytes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
        file.truncate(max(file.tell() - leave, 0))
    return filler


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 7, shape, dtype=np.uint8)


@pytest.fixture(params=["ours", "the original's"])
def dataset(request: pytest.FixtureRequest, disk: Path, tmp_path: Path) -> Dataset:
    images = np.zeros((2, *SHAPE), np.uint8)
    if request.param == "ours":
        make(write_movie(tmp_path / "m.h5", images.astype(np.uint16)), disk / "d")
    else:
        make_as_the_original_did(disk / "d", images)
    return Dataset(disk / "d")


# What is written, and how it is read again.
WRITES: dict[str, tuple[Callable[[Dataset, int], None], Callable[[Dataset], np.ndarray]]] = {
    "labels": (lambda d, seed: d.write_labels(0, noise(seed, *SHAPE)), lambda d: d.read_labels(0)),
    "flow labels": (
        lambda d, seed: d.write_flow_labels(0, noise(seed, 4, *SHAPE).astype(np.float32)),
        lambda d: d.read_flow_labels(0),
    ),
    "probabilities": (
        lambda d, seed: d.write_probabilities(0, noise(seed, *SHAPE, 3).astype(np.float16)),
        lambda d: d.read_probabilities(0),
    ),
    "flow": (lambda d, seed: d.write_flow(0, noise(seed, 3, *SHAPE).astype(np.float16)), lambda d: d.read_flow(0)),
}


@pytest.mark.parametrize("left", [0, 8192, 200_000])
@pytest.mark.parametrize("what", WRITES)
def test_arrays_stay_as_they_were(dataset: Dataset, disk: Path, what: str, left: int) -> None:
    write, read = WRITES[what]
    write(dataset, 1)
    before, files = read(dataset), content_of(dataset.folder)
    filler = fill(disk, left)
    said = r"timepoint 0 of .* needs up to [\d.]+ \w+, but .* has [\d.]+ \w+ left.*room"
    for _ in range(3):
        with pytest.raises(StorageError, match=said):
            write(dataset, 2)
    np.testing.assert_array_equal(read(dataset), before)
    assert content_of(dataset.folder) == files
    filler.unlink()
    write(dataset, 2)
    assert (read(dataset) != before).any()


def test_labels_can_be_cleared_on_a_full_disk_or_stay(dataset: Dataset, disk: Path) -> None:
    dataset.write_labels(0, noise(1, *SHAPE))
    filler = fill(disk)
    with pytest.raises(StorageError, match="room"):
        dataset.clear_labels()
    np.testing.assert_array_equal(dataset.read_labels(0), noise(1, *SHAPE))
    filler.unlink()
    dataset.clear_labels()
    assert dataset.labelled_timepoints() == []


def members(value: float) -> list[dict[str, torch.Tensor]]:
    return [{"w": torch.full((400_000,), float(value))}]


def test_a_model_stays_as_it_was(disk: Path) -> None:
    path = disk / "models" / "m.pth"
    ModelFile(path).save(members(1))
    before, filler = path.read_bytes(), fill(disk)
    for _ in range(3):
        with pytest.raises(StorageError, match=r"the model m\.pth needs up to 1\.5 MiB, but .* has 0 B left"):
            ModelFile(path).save(members(2))
        assert path.read_bytes() == before
        assert [p for p in disk.rglob("*") if p.suffix == ".tmp"] == []
    assert len(versions(path)) <= 1
    filler.unlink()
    ModelFile(path).save(members(2))
    assert len(versions(path)) == 1
    current, _ = path.read_bytes(), fill(disk)
    with pytest.raises(StorageError, match="room"):
        restore(path)
    assert path.read_bytes() == current


def test_a_movie_is_converted_or_not(disk: Path, tmp_path: Path) -> None:
    folder = disk / "d"
    make(write_movie(tmp_path / "old.h5", ramp(2, (4, 32, 32))), folder)
    before = content_of(folder)
    images = np.random.default_rng(0).integers(0, 65535, (12, 8, 256, 256), dtype=np.uint16)
    source = write_movie(tmp_path / "new.h5", images)
    with pytest.raises(DatasetError, match="room") as raised:
        make(source, folder, dtype="uint16")
    assert "MiB" in str(raised.value)
    assert content_of(folder) == before
    source = write_movie(tmp_path / "new.h5", images[:6])
    filler = fill(disk, 5 << 20)
    with pytest.raises(DatasetError, match=r"need.*MiB.*room"):
        make(source, folder, dtype="uint16")
    assert content_of(folder) == before
    assert not (folder / ".conversion").exists()
    filler.unlink()


def test_a_model_from_an_address(disk: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(100):
                    self.wfile.write(bytes(1 << 20))
            except OSError:
                pass

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        source = ModelSource(f"http://127.0.0.1:{server.server_port}/x.pth")
        pretrained = Pretrained(disk / "pretrained", rules=DownloadRules(allow_private=True))
        with pytest.raises(StorageError, match="room"), source.weights(pretrained):
            pass
        assert list((disk / "pretrained").iterdir()) == []
    finally:
        server.shutdown()
        server.server_close()
