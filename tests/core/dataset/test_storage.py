import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from elephant.dataset.storage import _MOST_OPENED, _opened, open_array
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
