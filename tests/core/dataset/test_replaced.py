"""A movie that was replaced after its dataset was made."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from core.dataset.bdv import ramp, write_cells, write_movie, write_partitioned
from core.dataset.helpers import CancelAfter, content_of, make, make_as_the_original_did
from elephant.dataset import Dataset, changes, check_dataset, conversion
from elephant.dataset.readers.bdv_hdf5 import digest_of
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.dataset.source import _MOST_BLOCKS, _spread
from elephant.errors import Cancelled, DatasetError
from elephant.progress import NeverCancelled

SHAPE = (3, 5, 20, 17)


def other(largest: int = 255) -> np.ndarray:
    """Return a movie as :func:`ramp` does, with other values."""
    return np.ascontiguousarray(ramp(largest=largest)[:, ::-1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a dataset's folder with its movie in it, uncompressed, so that others have the same size."""
    folder = tmp_path / "m"
    folder.mkdir()
    make(write_movie(folder / "m.h5", ramp(), chunks=None), folder)
    assert check_dataset(folder, SHAPE) == "ready"
    return folder


@pytest.fixture
def digests(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the movies that were looked into, as that happens."""
    asked: list[Path] = []

    def counted(path: Path, setup: int | None, cancel: NeverCancelled) -> str:
        asked.append(path)
        return digest_of(path, setup, cancel)

    monkeypatch.setattr(BigDataViewerReader, "digest", counted)
    return asked


def overwrite(path: Path, values: np.ndarray) -> None:
    """Write a movie over another one, as an export does, and keep size and time of change."""
    before = path.stat()
    write_movie(path, values, chunks=None)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def put_beside(path: Path, values: np.ndarray) -> None:
    """Put another movie in the place of one, as an upload does."""
    write_movie(path.with_name("new.tmp"), values, chunks=None).replace(path)


@pytest.mark.parametrize("replace", [overwrite, put_beside])
def test_another_movie_of_the_same_name_and_size(folder: Path, replace: Callable[[Path, np.ndarray], None]) -> None:
    replace(folder / "m.h5", other())
    message = check_dataset(folder, SHAPE)
    assert message.startswith("the movie m.h5 has changed since this dataset was made from it: generate the dataset")
    Dataset(folder)  # what it holds can still be read
    make(folder / "m.h5", folder)
    assert check_dataset(folder, SHAPE) == "ready"


def test_a_movie_that_was_touched_or_copied_is_the_same(folder: Path, digests: list[Path]) -> None:
    before = content_of(folder)
    movie = folder / "m.h5"
    assert check_dataset(folder, SHAPE) == "ready"
    assert digests == []
    os.utime(movie)
    assert check_dataset(folder, SHAPE) == "ready"
    shutil.copy(movie, folder.parent / "copy.h5")
    (folder.parent / "copy.h5").replace(movie)
    for _ in range(3):
        assert check_dataset(folder, SHAPE) == "ready"
    assert digests == [movie, movie]  # each state of the file is looked into once
    assert content_of(folder) == before


def test_a_repacked_or_padded_movie_is_the_same(folder: Path) -> None:
    write_movie(folder / "new.tmp", ramp(), chunks=(2, 8, 8)).replace(folder / "m.h5")
    assert check_dataset(folder, SHAPE) == "ready"
    with (folder / "m.h5").open("ab") as file:
        file.write(bytes(1000))
    assert check_dataset(folder, SHAPE) == "ready"


def test_a_folder_that_was_moved_or_copied(folder: Path) -> None:
    shutil.copytree(folder, folder.parent / "copy")
    assert check_dataset(folder.parent / "copy", SHAPE) == "ready"
    folder.rename(folder.parent / "moved")
    assert check_dataset(folder.parent / "moved", SHAPE) == "ready"


def test_a_missing_movie_is_fine(folder: Path) -> None:
    (folder / "m.h5").unlink()
    assert check_dataset(folder, SHAPE) == "ready"


def test_a_movie_elsewhere_is_looked_for_there(tmp_path: Path) -> None:
    source = write_movie(tmp_path / "m.h5", ramp(), chunks=None)
    make(source, tmp_path / "d")
    overwrite(source, other())
    assert "m.h5 has changed" in check_dataset(tmp_path / "d")
    source.unlink()
    assert check_dataset(tmp_path / "d") == "ready"


def test_a_movie_that_is_being_copied_is_not_the_same(folder: Path) -> None:
    content = (folder / "m.h5").read_bytes()
    (folder / "m.h5").write_bytes(content[:1000])
    message = check_dataset(folder, SHAPE)
    assert "has changed" in message
    assert "cannot be read now" in message
    (folder / "m.h5").write_bytes(content)
    assert check_dataset(folder, SHAPE) == "ready"


@pytest.mark.parametrize("what", ["a folder", "a pipe"])
def test_only_regular_files_are_opened(folder: Path, what: str) -> None:
    (folder / "m.h5").unlink()
    if what == "a folder":
        (folder / "m.h5").mkdir()
    else:
        os.mkfifo(folder / "m.h5")
    assert check_dataset(folder, SHAPE) == "ready"


def test_partitions_count(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    make(write_partitioned(folder, "m", ramp()), folder)
    source = Dataset(folder).source
    assert source is not None
    assert source.fingerprint is not None
    assert [f.name for f in source.fingerprint.files] == ["m.h5", "m-00-00.h5", "m-01-00.h5", "m-02-00.h5"]
    partition = folder / "m-02-00.h5"
    os.utime(partition)
    assert check_dataset(folder, SHAPE) == "ready"
    write_movie(partition, other()[2:], first=2)
    assert "m.h5 has changed" in check_dataset(folder, SHAPE)
    partition.unlink()
    assert check_dataset(folder, SHAPE) == "ready"


def test_a_movie_of_more_or_fewer_timepoints(folder: Path) -> None:
    with h5py.File(folder / "m.h5", "r+") as file:
        write_cells(file, "t00003/s00/0/cells", ramp()[0].view(np.int16))
    assert "has changed" in check_dataset(folder, SHAPE)


def test_an_added_source_is_not_a_change(folder: Path) -> None:
    with h5py.File(folder / "m.h5", "r+") as file:
        for t in range(3):
            write_cells(file, f"t{t:05d}/s01/0/cells", other()[t].view(np.int16))
    assert check_dataset(folder, SHAPE) == "ready"


def test_a_large_movie_is_looked_at_in_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elephant.dataset.source._MOST_BYTES", 1 << 14)
    monkeypatch.setattr("elephant.dataset.source._LEAST_BLOCK_BYTES", 256)
    values = np.random.default_rng(1).integers(0, 999, (20, 4, 24, 24), dtype=np.uint16)
    path = write_movie(tmp_path / "m.h5", values)
    whole = digest_of(path, None, NeverCancelled())
    assert digest_of(path, None, NeverCancelled()) == whole
    for t in range(20):
        changed = values.copy()
        changed[t] = changed[t, ::-1]
        assert digest_of(write_movie(tmp_path / "n.h5", changed), None, NeverCancelled()) != whole


@pytest.mark.parametrize(("n_timepoints", "edge"), [(3000, 4), (3, 600)])
def test_the_cost_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_timepoints: int, edge: int) -> None:
    monkeypatch.setattr("elephant.dataset.source._MOST_BYTES", 1 << 17)
    counter = CancelAfter(10**9)
    blank = np.zeros((1, edge, edge), np.uint16)
    path = write_movie(tmp_path / "m.h5", np.broadcast_to(blank, (n_timepoints, *blank.shape)).copy(), chunks=(1, 4, 4))
    digest_of(path, None, counter)
    assert counter.asked <= _MOST_BLOCKS


def test_timepoints_are_spread_without_a_rhythm() -> None:
    places = _spread(10_000, 512)
    assert (places[0], places[-1]) == (0, 9999)
    assert 400 < len(places) <= 512
    assert 0.4 < np.mean(np.array(places) % 2) < 0.6
    assert np.diff(places).max() < 3 * 10_000 / 512
    assert _spread(5, 512) == [0, 1, 2, 3, 4]


def test_it_can_be_cancelled(folder: Path) -> None:
    with pytest.raises(Cancelled):
        digest_of(folder / "m.h5", None, CancelAfter(0))


def test_a_movie_that_changes_while_it_is_converted_is_refused(folder: Path) -> None:
    class Replacing:
        def progress(self, stage: str, done: int, total: int, **values: float) -> None:
            if done == 2:
                put_beside(folder / "m.h5", other())

    before = {name: data for name, data in content_of(folder).items() if name != "m.h5"}
    with pytest.raises(DatasetError, match=r"m\.h5 changed while it was converted"):
        make(folder / "m.h5", folder, Replacing())
    assert {name: data for name, data in content_of(folder).items() if name != "m.h5"} == before


def test_a_movie_that_was_added_later_and_would_be_used_now(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    make(write_movie(folder / "a.h5", ramp()), folder)
    write_movie(folder / "b.h5", other())
    assert check_dataset(folder, SHAPE) == "ready"
    (folder / "a.h5").unlink()
    assert "made from a.h5, which is missing, and its folder holds the movie b.h5" in check_dataset(folder, SHAPE)
    write_movie(folder / "a.h5", ramp())
    assert check_dataset(folder, SHAPE) == "ready"
    write_movie(folder / "m.h5", other())
    assert "made from a.h5, and its folder holds the movie m.h5" in check_dataset(folder, SHAPE)
    make(folder / "a.h5", folder)  # as a person may choose
    assert check_dataset(folder, SHAPE) == "ready"


def test_datasets_without_a_known_movie_are_ready(tmp_path: Path) -> None:
    make_as_the_original_did(tmp_path, ramp())
    write_movie(tmp_path / "m.h5", other())
    assert check_dataset(tmp_path, SHAPE) == "ready"


def test_a_fingerprint_of_another_version_is_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overwrite(folder / "m.h5", other())
    monkeypatch.setattr(changes, "METHOD", 2)
    assert check_dataset(folder, SHAPE) == "ready"


def test_several_processes_convert_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_PARALLEL_FROM", 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    make(write_movie(tmp_path / "m.h5", ramp()), tmp_path / "d")
    assert check_dataset(tmp_path / "d", SHAPE) == "ready"
