import errno
import logging
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pydantic
import pytest
from filelock import FileLock

from core.dataset.bdv import ramp, write_movie, write_partitioned
from core.dataset.helpers import CancelAfter, Recorder, content_of, images_of, make
from core.dataset.test_bigdataviewer import damage
from elephant.config import ConversionParams
from elephant.dataset import Dataset, check_dataset, conversion
from elephant.dataset.record import FILE
from elephant.errors import Cancelled, DatasetError, NotFoundError


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a dataset's folder with its movie, a foreign file and labels in it."""
    folder = tmp_path / "old"
    folder.mkdir()
    make(write_movie(folder / "old.h5", ramp(2)), folder)
    (folder / "notes.txt").write_text("mine")
    Dataset(folder).write_labels(1, np.ones((5, 20, 17), np.uint8))
    return folder


def test_values_are_converted_exactly(tmp_path: Path) -> None:
    values = ramp(largest=65535)
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d", dtype="uint16")
    images = images_of(tmp_path / "d")
    assert images.dtype == np.uint16
    np.testing.assert_array_equal(images, values)
    assert check_dataset(tmp_path / "d", (3, 5, 20, 17)) == "ready"


def test_everything_else_starts_empty(tmp_path: Path) -> None:
    make(write_movie(tmp_path / "m.h5", ramp()), tmp_path / "d")
    dataset = Dataset(tmp_path / "d")
    assert dataset.labelled_timepoints() == []
    assert dataset.flow_labelled_timepoints() == []
    assert not dataset.read_probabilities(0).any()
    assert not dataset.read_flow(0).any()


@pytest.mark.parametrize(
    ("largest", "divisor", "wanted", "stored"),
    [
        (255, 1, "auto", "uint8"),
        (256, 1, "auto", "uint16"),
        (255, 1, "uint16", "uint16"),
        (510, 2, "uint8", "uint8"),
        (511, 2, "auto", "uint16"),
        (65535, 257, "uint8", "uint8"),
        (100, 0.1, "auto", "uint16"),
        (25, 0.1, "auto", "uint8"),
    ],
)
@pytest.mark.parametrize("source", ["uint16", "float32"])
def test_types_and_divisors(
    tmp_path: Path, largest: int, divisor: float, wanted: str, stored: str, source: str
) -> None:
    values = ramp(largest=largest)
    make(write_movie(tmp_path / "m.h5", values.astype(source)), tmp_path / "d", dtype=wanted, divisor=divisor)
    images = images_of(tmp_path / "d")
    assert images.dtype == stored
    np.testing.assert_array_equal(images, np.floor(values / divisor))


def test_8_bit_movies_stay_8_bit_or_grow(tmp_path: Path) -> None:
    values = ramp().astype(np.uint8)
    source = write_movie(tmp_path / "m.h5", values)
    for dtype, stored in (("auto", np.uint8), ("uint8", np.uint8), ("uint16", np.uint16)):
        make(source, tmp_path / "d", dtype=dtype)
        images = images_of(tmp_path / "d")
        assert images.dtype == stored
        np.testing.assert_array_equal(images, values)


@pytest.mark.parametrize("parallel_from", [1 << 30, 0], ids=["one process", "several"])
def test_a_movie_that_grows_brighter_gets_16_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallel_from: int
) -> None:
    monkeypatch.setattr(conversion, "_PARALLEL_FROM", parallel_from)
    values = ramp(largest=255)
    values[-1, 0, 0, 0] = 256
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d")
    images = images_of(tmp_path / "d")
    assert images.dtype == np.uint16
    np.testing.assert_array_equal(images, values)
    assert check_dataset(tmp_path / "d", values.shape) == "ready"


def test_a_movie_of_16_bits_that_needs_8_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_movie(tmp_path / "m.h5", ramp(largest=255))
    looked_at: list[int] = []
    look = conversion.RangeOfValues.__call__
    monkeypatch.setattr(
        conversion.RangeOfValues, "__call__", lambda task, t, cancel: looked_at.append(t) or look(task, t, cancel)
    )
    make(source, tmp_path / "d")
    assert images_of(tmp_path / "d").dtype == np.uint8
    assert looked_at == []


def test_8_bits_that_do_not_fit_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = write_movie(tmp_path / "m.h5", ramp(largest=1000))
    recorder = Recorder()
    with pytest.raises(DatasetError, match=r"largest value is 1000 and the divisor 1: .*at least 4, .*--uint16"):
        make(source, tmp_path / "d", recorder, dtype="uint8")
    assert not (tmp_path / "d").exists()
    assert recorder.told == []
    make(source, tmp_path / "d", dtype="uint8", divisor=4)
    assert check_dataset(tmp_path / "d") == "ready"


def test_16_bits_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    source = write_movie(tmp_path / "m.h5", ramp(largest=60000))
    for dtype in ("auto", "uint16"):
        with pytest.raises(DatasetError, match=r"0 to 65535, but the largest value is 60000.*at least 1$"):
            make(source, tmp_path / "d", dtype=dtype, divisor=0.5)


@pytest.mark.parametrize("divisor", [500.0, 200.0])
def test_a_warning_where_almost_nothing_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, divisor: float
) -> None:
    make(write_movie(tmp_path / "m.h5", ramp()), tmp_path / "d", divisor=divisor)
    assert [r.levelno for r in caplog.records if "are left after division" in r.message] == [logging.WARNING]


def test_no_warning_otherwise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(write_movie(tmp_path / "m.h5", ramp()), tmp_path / "d")
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_2d(tmp_path: Path) -> None:
    values = ramp(shape=(1, 30, 21))
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d", is_2d=True)
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values[:, 0])
    assert check_dataset(tmp_path / "d", (3, 30, 21)) == "ready"


def test_a_single_plane_may_stay_3d(tmp_path: Path) -> None:
    values = ramp(shape=(1, 30, 21))
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d")
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values)


def test_2d_of_a_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"single plane for a 2D dataset, got m\.h5 with 5"):
        make(write_movie(tmp_path / "m.h5", ramp()), tmp_path / "d", is_2d=True)
    assert not (tmp_path / "d").exists()


def test_partitions_and_single_timepoints(tmp_path: Path) -> None:
    values = ramp()
    make(write_partitioned(tmp_path, "m", values), tmp_path / "d")
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values)
    make(write_movie(tmp_path / "s.h5", values[:1]), tmp_path / "d")
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values[:1])
    assert check_dataset(tmp_path / "d", (1, 5, 20, 17)) == "ready"


@pytest.mark.parametrize("is_2d", [False, True])
def test_timepoints_of_several_files_and_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_2d: bool) -> None:
    monkeypatch.setattr("elephant.dataset.layout._CHUNK_3D", (3, 8, 8))
    monkeypatch.setattr("elephant.dataset.layout._CHUNK_2D", (8, 8))
    monkeypatch.setattr("elephant.dataset.layout._LARGEST_IMAGE_FILE", 700)
    monkeypatch.setattr("elephant.dataset.readers.base._PIECE_BYTES", 600)
    values = ramp(shape=(1 if is_2d else 7, 45, 50))
    make(write_movie(tmp_path / "m.h5", values, chunks=(2, 7, 11)), tmp_path / "d", is_2d=is_2d)
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values[:, 0] if is_2d else values)
    assert len(list((tmp_path / "d" / "imgs.zarr").glob("c.0.*"))) > 2


def test_progress_is_reported_in_order(tmp_path: Path) -> None:
    recorder = Recorder()
    make(write_movie(tmp_path / "m.h5", ramp(4)), tmp_path / "d", recorder)
    assert recorder.told == [("timepoint", k, 4) for k in (1, 2, 3, 4)]


def test_a_new_conversion_replaces_arrays_and_nothing_else(old: Path, tmp_path: Path) -> None:
    before = content_of(old)
    values = ramp(4, (3, 10, 11))
    make(write_movie(tmp_path / "new.h5", values), old)
    np.testing.assert_array_equal(images_of(old), values)
    assert Dataset(old).labelled_timepoints() == []
    after = content_of(old)
    # The record of what was taught goes on: it says that the labels are gone.
    assert after.pop(FILE).startswith(before.pop(FILE))
    assert others(after) == others(before)


def others(content: dict[str, bytes]) -> dict[str, bytes]:
    """Return what a conversion leaves alone."""
    return {name: data for name, data in content.items() if ".zarr" not in name and name != "source.json"}


# What needs 8 bits is read once; of what needs 16 some is tried first, and looked through.
@pytest.mark.parametrize(("divisor", "least"), [(4, 3), (1, 5)])
def test_cancelling_at_any_moment_leaves_what_was_there(old: Path, tmp_path: Path, divisor: float, least: int) -> None:
    before = content_of(old)
    source = write_movie(tmp_path / "new.h5", ramp(3, largest=999))
    counter = CancelAfter(10**6)
    make(source, tmp_path / "d", cancel=counter, divisor=divisor)
    assert counter.asked >= least
    for n in range(counter.asked):
        with pytest.raises(Cancelled):
            make(source, old, cancel=CancelAfter(n), divisor=divisor)
        assert content_of(old) == before


def test_a_reporter_that_fails_leaves_what_was_there(old: Path, tmp_path: Path) -> None:
    class Failing:
        def progress(self, stage: str, done: int, total: int, **values: float) -> None:
            if done == total:
                raise RuntimeError("the wire is cut")

    before = content_of(old)
    with pytest.raises(RuntimeError, match="wire"):
        make(write_movie(tmp_path / "new.h5", ramp()), old, Failing())
    assert content_of(old) == before


def test_a_damaged_movie_leaves_what_was_there(old: Path, tmp_path: Path) -> None:
    before = content_of(old)
    source = write_movie(tmp_path / "new.h5", ramp(3, largest=999))
    damage(source, "t00002/s00/0/cells")
    with pytest.raises(DatasetError, match="timepoint 2 is damaged"):
        make(source, old, dtype="uint16")
    assert content_of(old) == before
    with pytest.raises(NotFoundError):
        make(tmp_path / "absent.h5", old)
    assert content_of(old) == before


def test_too_little_room_is_seen_beforehand(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(100, 99, 1))
    before = content_of(old)
    with pytest.raises(DatasetError, match=r"need at least .* MiB.*make room"):
        make(write_movie(tmp_path / "new.h5", ramp()), old)
    assert content_of(old) == before


def test_a_disk_that_fills_up_leaves_what_was_there(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = content_of(old)
    source = write_movie(tmp_path / "new.h5", ramp())
    monkeypatch.setattr(conversion.StoreTimepoint, "__call__", full)
    with pytest.raises(DatasetError, match="make room on the disk and convert again"):
        make(source, old)
    assert content_of(old) == before


def test_one_conversion_at_a_time(old: Path, tmp_path: Path) -> None:
    before = content_of(old)
    with FileLock(old / ".conversion.lock"), pytest.raises(DatasetError, match="another conversion is writing"):
        make(write_movie(tmp_path / "new.h5", ramp()), old)
    assert content_of(old) == before


@pytest.fixture
def in_processes(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every movie be big, once the old one is converted."""
    monkeypatch.setattr(conversion, "_PARALLEL_FROM", 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})


@pytest.mark.usefixtures("in_processes")
def test_several_processes_give_the_same_in_order(tmp_path: Path) -> None:
    values, recorder = ramp(7, largest=1000), Recorder()
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d", recorder, dtype="uint8", divisor=4)
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values // 4)
    assert recorder.told == [("timepoint", k, 7) for k in range(1, 8)]


@pytest.mark.usefixtures("in_processes")
def test_several_processes_pass_errors_on(old: Path, tmp_path: Path) -> None:
    before = content_of(old)
    source = write_movie(tmp_path / "m.h5", ramp(4))
    damage(source, "t00002/s00/0/cells")
    with pytest.raises(DatasetError, match="timepoint 2 is damaged"):
        make(source, old, dtype="uint16")
    assert content_of(old) == before


@pytest.mark.usefixtures("in_processes")
def test_several_processes_can_be_cancelled(old: Path, tmp_path: Path) -> None:
    before = content_of(old)
    with pytest.raises(Cancelled):
        make(write_movie(tmp_path / "m.h5", ramp(4)), old, cancel=CancelAfter(2), dtype="uint16")
    assert content_of(old) == before


@pytest.mark.usefixtures("in_processes")
def test_processes_that_die_are_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("elephant.dataset.workers._prepare", _die)
    values = ramp(3)
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d", dtype="uint16")
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values)
    assert "ended unexpectedly" in caplog.text


def _die(*_args: object) -> None:
    raise SystemExit(1)


@pytest.mark.parametrize(
    "params", [{"divisor": 0}, {"divisor": -1}, {"divisor": float("nan")}, {"dtype": "int8"}, {"is2d": True}]
)
def test_parameters_without_meaning_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        ConversionParams(**params)


def test_the_movie_may_lie_in_the_folder_and_be_read_only(tmp_path: Path) -> None:
    source = write_movie(tmp_path / "m.h5", ramp())
    source.chmod(0o444)
    before = source.stat()
    make(source, tmp_path)
    after = source.stat()
    assert (before.st_mtime_ns, before.st_ino, before.st_size) == (after.st_mtime_ns, after.st_ino, after.st_size)
    assert check_dataset(tmp_path) == "ready"
    with h5py.File(source) as file:
        assert len(file) == 5  # still three timepoints, a setup and the types
