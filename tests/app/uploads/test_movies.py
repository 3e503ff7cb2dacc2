"""Movies in pieces, with the disks that machines have."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from core.power import lay_out, recording
from elephant.dataset import find_movie
from elephant.errors import DatasetError, InvalidInputError
from elephant_server.errors import StorageError
from elephant_server.uploads import STALE_AFTER_S, MovieUpload


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    return tmp_path / "datasets"


@pytest.fixture
def movie(tmp_path: Path) -> bytes:
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["t00000/s00/0/cells"] = np.arange(6000, dtype=np.int16).reshape(10, 20, 30)
    return (tmp_path / "source.h5").read_bytes()


def send(upload: MovieUpload, content: bytes, n_pieces: int = 3) -> None:
    """Send a file in pieces, the last one padded."""
    size = -(-len(content) // n_pieces)
    for i in range(n_pieces):
        piece = content[i * size : (i + 1) * size].ljust(size, b"x")
        upload.receive(io.BytesIO(piece), restart=i == 0)


def left_in(datasets: Path) -> list[str]:
    return [path.name for path in (datasets / ".uploads").iterdir() if path.is_dir()]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill_disk(datasets: Path) -> None:
    """Let whatever is written next to the only upload find a full disk."""
    (file,) = (datasets / ".uploads").glob("*/*.h5")
    file.unlink()
    file.symlink_to("/dev/full")


def test_a_movie_in_pieces_gets_into_its_place(datasets: Path, movie: bytes) -> None:
    for content in (movie, movie[:-8] + bytes(8)):  # the second one replaces the first
        send(MovieUpload(datasets, "user/own", "own.h5"), content)
        MovieUpload(datasets, "user/own", "own.h5").complete()
        stored = (datasets / "user/own/own.h5").read_bytes()
        assert stored.startswith(content)
        assert len(stored) < len(content) + 3
    assert names_in(datasets / "user/own") == ["own.h5"]
    assert not left_in(datasets)


def test_what_is_in_place_is_whole_after_a_power_cut(datasets: Path, movie: bytes, tmp_path: Path) -> None:
    datasets.mkdir()
    with recording(datasets) as recorded:
        send(MovieUpload(datasets, "a", "a.h5"), movie)
        MovieUpload(datasets, "a", "a.h5").complete()
    found = []
    for i, (_, state) in enumerate(recorded.all_cuts()):
        place = lay_out(state, tmp_path / str(i)) / "a" / "a.h5"
        found.append(place.read_bytes()[: len(movie)] == movie if place.exists() else None)
    assert set(found) == {None, True}
    assert all(state["a/a.h5"] for state in recorded.after_a_cut(len(recorded.names) - 1))


def test_nothing_is_in_place_before_it_is_complete(datasets: Path, movie: bytes) -> None:
    upload = MovieUpload(datasets, "a", "a.h5")
    send(upload, movie)
    assert not (datasets / "a").exists()
    upload.cancel()
    upload.cancel()
    assert not left_in(datasets)
    with pytest.raises(InvalidInputError, match=r"upload of a\.h5 has not begun"):
        upload.complete()


def test_a_new_start_forgets_what_came_before(datasets: Path, movie: bytes) -> None:
    upload = MovieUpload(datasets, "a", "a.h5")
    upload.receive(io.BytesIO(b"something else"), restart=True)
    send(upload, movie, 2)
    upload.complete()
    assert (datasets / "a/a.h5").read_bytes().startswith(movie)


def test_a_piece_without_a_beginning_is_refused(datasets: Path, movie: bytes) -> None:
    with pytest.raises(InvalidInputError, match="has not begun"):
        MovieUpload(datasets, "a", "a.h5").receive(io.BytesIO(movie), restart=False)
    with pytest.raises(InvalidInputError, match="has not begun"):
        MovieUpload(datasets, "a", "a.h5").complete()


@pytest.mark.parametrize("restart", [True, False])
def test_a_piece_that_does_not_come_is_remembered_until_a_new_start(
    datasets: Path, movie: bytes, restart: bool
) -> None:
    upload = MovieUpload(datasets, "a", "a.h5")
    send(upload, movie)
    with pytest.raises(InvalidInputError, match="part `file`"):
        upload.receive(None, restart=restart)
    for go_on in (lambda: upload.receive(io.BytesIO(movie), restart=False), upload.complete):
        with pytest.raises(InvalidInputError, match=r"was given up \(expected multipart with the part `file`"):
            go_on()
    send(upload, movie)
    upload.complete()
    assert (datasets / "a/a.h5").is_file()


def test_a_full_disk_is_said_and_remembered(datasets: Path, movie: bytes) -> None:
    upload = MovieUpload(datasets, "a", "a.h5")
    send(upload, movie)
    fill_disk(datasets)
    with pytest.raises(StorageError, match="No space left on device"):
        upload.receive(io.BytesIO(movie), restart=False)
    with pytest.raises(InvalidInputError, match=r"given up \(No space left"):
        upload.complete()
    assert not (datasets / "a").exists()


class Silent(io.BytesIO):
    """A piece that cannot be read, for a reason without words."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError


@pytest.mark.parametrize(("is_kept", "reason"), [(True, "OSError"), (False, "too full to record the reason")])
def test_a_reason_is_given_whatever_is_known(datasets: Path, movie: bytes, is_kept: bool, reason: str) -> None:
    upload = MovieUpload(datasets, "a", "a.h5")
    send(upload, movie)
    with pytest.raises(StorageError, match=r"cannot be written \(OSError\)"):
        upload.receive(Silent(), restart=False)
    if not is_kept:  # as a full disk leaves it
        (kept,) = [file for file in (datasets / ".uploads").rglob("*") if file.is_file() and file.suffix != ".lock"]
        kept.write_bytes(b"")
    with pytest.raises(InvalidInputError, match=rf"was given up \(.*{reason}\)"):
        upload.complete()


def test_a_process_that_is_killed_within_a_piece_leaves_nothing_to_go_on_with(datasets: Path, movie: bytes) -> None:
    code = """
import os, signal, sys, pathlib
from elephant_server.uploads import MovieUpload
class Piece:
    n = 0
    def read(self, size):
        self.n += 1
        return b"half of it" if self.n == 1 else os.kill(os.getpid(), signal.SIGKILL)
MovieUpload(pathlib.Path(sys.argv[1]), "a", "a.h5").receive(Piece(), restart=False)
"""
    upload = MovieUpload(datasets, "a", "a.h5")
    send(upload, movie)
    killed = subprocess.run([sys.executable, "-c", code, str(datasets)], check=False)
    assert killed.returncode == -signal.SIGKILL
    for go_on in (lambda: upload.receive(io.BytesIO(movie), restart=False), upload.complete):
        with pytest.raises(InvalidInputError, match="was interrupted"):
            go_on()
    send(upload, movie)
    upload.complete()
    assert (datasets / "a/a.h5").read_bytes().startswith(movie)


def test_what_is_no_movie_leaves_the_one_that_was_there(datasets: Path, movie: bytes) -> None:
    upload = MovieUpload(datasets, "a", "a.h5")
    send(upload, movie, 1)
    upload.complete()
    for broken in (b"no movie", movie[:-100]):
        send(upload, broken, 1)
        with pytest.raises(DatasetError, match=r"expected a\.h5 to be an HDF5 file"):
            upload.complete()
    assert (datasets / "a/a.h5").read_bytes() == movie
    assert names_in(datasets / "a") == ["a.h5"]


def test_uploads_at_the_same_time_do_not_meet(datasets: Path, movie: bytes) -> None:
    start = threading.Barrier(4)

    def run(name: str) -> None:
        upload = MovieUpload(datasets, "a", name)
        start.wait()
        send(upload, movie + name.encode(), 7)
        upload.complete()

    threads = [threading.Thread(target=run, args=(f"a-{i:02d}-00.h5",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((datasets / "a" / f"a-{i:02d}-00.h5").read_bytes().startswith(movie) for i in range(4))


def test_a_dataset_may_be_on_another_disk(datasets: Path, movie: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if ".uploads" in self.parts and ".uploads" not in target.parts:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    upload = MovieUpload(datasets, "a", "a.h5")
    send(upload, movie, 1)
    upload.complete()
    assert (datasets / "a/a.h5").read_bytes() == movie
    assert names_in(datasets / "a") == ["a.h5"]


def test_what_nobody_went_on_with_for_a_day_is_removed(datasets: Path, movie: bytes) -> None:
    send(MovieUpload(datasets, "a", "old.h5"), movie)
    send(MovieUpload(datasets, "a", "new.h5"), movie)
    for path in (datasets / ".uploads").glob("**/*"):
        if path.name == "old.h5" or (path / "old.h5").exists():
            os.utime(path, (time.time() - STALE_AFTER_S - 60,) * 2)
    send(MovieUpload(datasets, "b", "b.h5"), movie)
    assert sorted(path.name for path in (datasets / ".uploads").glob("*/*")) == ["b.h5", "new.h5"]


@pytest.mark.parametrize(
    "name", ["../a.h5", "b/a.h5", "/a.h5", "a.xml", "a.h5.z", ".h5", ".a.h5", "a.h5/", "", "a\0.h5"]
)
def test_only_plain_names_of_movies_are_taken(datasets: Path, name: str) -> None:
    with pytest.raises(InvalidInputError):
        MovieUpload(datasets, "a", name)


@pytest.mark.parametrize("name", ["..", "../models", "/tmp", "", ".uploads", ".uploads/a", "a/../../b"])
def test_datasets_stay_in_their_folder(datasets: Path, name: str) -> None:
    with pytest.raises(InvalidInputError):
        MovieUpload(datasets, name, "a.h5")


def test_a_link_does_not_lead_out(datasets: Path, tmp_path: Path) -> None:
    (datasets / "a").mkdir(parents=True)
    (datasets / "a/a.h5").symlink_to(tmp_path / "outside.h5")
    with pytest.raises(InvalidInputError, match="leads out"):
        MovieUpload(datasets, "a", "a.h5")


@pytest.mark.parametrize("name", ["a.hdf5", "a.H5", "a.HDF5"])
def test_all_names_of_hdf5_files_are_taken(datasets: Path, movie: bytes, name: str) -> None:
    upload = MovieUpload(datasets, "a", name)
    send(upload, movie)
    upload.complete()
    assert find_movie(datasets / "a") == datasets / "a" / name
