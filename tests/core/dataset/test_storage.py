import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from elephant.dataset.arrays import _MOST_OPENED, TimeSeries, _opened, open_array
from elephant.dataset.layout import ArraySpec
from elephant.errors import DatasetError


def make(path: Path, n: int, value: int = 0, zarr_format: int = 3) -> None:
    zarr.create_array(path, shape=(n,), chunks=(2,), dtype="uint8", zarr_format=zarr_format)[:] = value


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_metadata_are_read_once_for_as_long_as_they_are_the_same(tmp_path: Path, zarr_format: int) -> None:
    make(tmp_path / "a", 4, 7, zarr_format)
    opened = open_array(tmp_path / "a")
    assert open_array(tmp_path / "a") is opened
    assert open_array(tmp_path / "a", writable=True) is not opened
    with pytest.raises(ValueError, match="read-only"):
        opened[:] = 1
    open_array(tmp_path / "a", writable=True)[:2] = 9
    np.testing.assert_array_equal(opened[:], [9, 9, 7, 7])


def test_another_array_at_the_same_place_is_opened_anew(tmp_path: Path) -> None:
    make(tmp_path / "a", 4, 7)
    open_array(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(DatasetError, match="a is missing"):
        open_array(tmp_path / "a")
    make(tmp_path / "a", 6, 8)
    np.testing.assert_array_equal(open_array(tmp_path / "a")[:], [8] * 6)
    (tmp_path / "a" / "zarr.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be read"):
        open_array(tmp_path / "a")


def test_arrays_of_long_ago_are_let_go(tmp_path: Path) -> None:
    for i in range(_MOST_OPENED + 5):
        make(tmp_path / str(i), 1)
        open_array(tmp_path / str(i))
    assert len(_opened) == _MOST_OPENED
    assert (tmp_path / str(_MOST_OPENED + 4), False) in _opened


@pytest.mark.parametrize(
    "values",
    [
        {"shape": [3, 2_000, 2_000], "chunks": [1, 1, 1]},
        {"shape": [3, 20, 20], "chunks": [10**9, 20, 20]},
        {"shape": [3, 10**12, 20], "chunks": [1, 10**12, 20]},
    ],
)
def test_metadata_of_which_loops_would_have_no_end(tmp_path: Path, values: dict[str, list[int]]) -> None:
    zarr.create_array(tmp_path / "a", shape=(3, 4, 5), chunks=(1, 4, 5), dtype="uint8", zarr_format=2)
    file = tmp_path / "a" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    with pytest.raises(DatasetError, match="parts a timepoint"):
        open_array(tmp_path / "a")


def test_metadata_that_are_too_long(tmp_path: Path) -> None:
    make(tmp_path / "a", 4)
    file = tmp_path / "a" / "zarr.json"
    file.write_text(file.read_text() + " " * (2 << 20))
    with pytest.raises(DatasetError, match="too long for an array's metadata"):
        open_array(tmp_path / "a")


def test_filled_timepoints_are_those_that_there_are(tmp_path: Path) -> None:
    """However many timepoints a file may hold."""
    array = zarr.create_array(tmp_path / "a", shape=(3, 4, 5), chunks=(900_000, 4, 5), dtype="uint8", zarr_format=2)
    array[1] = 7
    series = TimeSeries(tmp_path / "a", ArraySpec("a", "uint8", 3, (4, 5)))
    assert series.filled_timepoints() == [1]
