import json
import shutil
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec

from elephant.dataset.arrays import _MOST_OPENED, TimeSeries, _opened, open_array
from elephant.dataset.layout import IMAGES, ArraySpec, array_specs
from elephant.errors import DatasetError
from elephant.types import Box


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


def test_another_array_at_the_same_path_is_opened_again(tmp_path: Path) -> None:
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


def series_of(path: Path, shape: tuple[int, ...], zarr_format: int, shards: tuple[int, ...] | None) -> TimeSeries:
    """Make a series of two timepoints of noise, each in one file or in several."""
    values = np.random.default_rng(0).integers(1, 255, (2, *shape), dtype=np.uint8)
    chunks, options = (1, *shape[:-1], shape[-1] // 2), {"shards": shards} if shards else {}
    if zarr_format == 2:
        options["compressors"] = numcodecs.Blosc()
    else:
        options["compressors"] = BloscCodec(cname="lz4", shuffle="bitshuffle")
    array = zarr.create_array(
        path, shape=values.shape, chunks=chunks, dtype="uint8", zarr_format=zarr_format, fill_value=0, **options
    )
    array[:] = values
    return TimeSeries(path, array_specs(2, shape, "uint8")[IMAGES])


@pytest.mark.parametrize(("zarr_format", "shards"), [(2, None), (3, None), (3, (1, 4, 20, 30))])
def test_a_file_that_was_cut_short_is_never_read(
    tmp_path: Path, zarr_format: int, shards: tuple[int, ...] | None
) -> None:
    series = series_of(tmp_path / "a.zarr", (4, 20, 30), zarr_format, shards)
    before = series.read(0)
    file = min(path for path, _ in series._files())
    whole = file.read_bytes()
    for n in {*range(40), *range(0, len(whole), 37), len(whole) - 1}:
        file.write_bytes(whole[:n])
        with pytest.raises(DatasetError, match=r"timepoint 0 of .*a\.zarr is damaged and cannot be read"):
            series.read(0)
    if shards is None:  # what lies in other files can be read all the same
        right = Box((0, 0, 15), (4, 20, 15))
        np.testing.assert_array_equal(series.read(0, right), before[:, :, 15:])
    file.unlink()
    assert not series.read(0)[:, :, :15].any()  # a file that is not there holds zeros
    file.write_bytes(whole)
    np.testing.assert_array_equal(series.read(0), before)
