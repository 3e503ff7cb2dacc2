"""Blocks that are decompressed outside of HDF5 hold what HDF5 itself returns."""

import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dataset.bdv import ramp, write_movie
from core.dataset.test_bigdataviewer import read_all
from elephant.dataset.layout import regions
from elephant.dataset.readers import blocks, hdf5_blocks
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.dataset.readers.hdf5_blocks import Blocks, fastest

DTYPES = ["<i2", ">i2", "<u2", ">u2", "u1", "<f4", ">f4", "<f8", ">f8"]
SHAPE, CHUNKS = (5, 20, 17), (2, 8, 8)
WHOLE = tuple(slice(0, s) for s in SHAPE)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read with as many threads, however few blocks there are."""
    monkeypatch.setattr(blocks, "_LEAST_BYTES", 1)
    monkeypatch.setattr(blocks, "cores_of_this_task", lambda: request.param)


def outcome(image: Any, region: tuple[slice, ...]) -> tuple[object, ...]:
    """Return what a read gives: values, or a kind of error and its words."""
    try:
        values = image[region]
    except (OSError, RuntimeError) as error:
        return type(error), str(error)
    return values.dtype, values.tolist()


def of_deflate(cells: h5py.Dataset) -> Blocks:
    """Return an image whose blocks are decompressed outside of HDF5; skip where the package is missing."""
    pytest.importorskip("deflate")
    found = fastest(cells)
    assert isinstance(found, Blocks)
    return found


def axis() -> st.SearchStrategy[tuple[int, int, int, int]]:
    """Return the length of an axis, that of a block, and where a region begins and ends."""

    def within(lengths: tuple[int, int]) -> st.SearchStrategy[tuple[int, int, int, int]]:
        starts = st.integers(0, lengths[0] - 1)
        return starts.flatmap(lambda a: st.tuples(*map(st.just, (*lengths, a)), st.integers(a + 1, lengths[0])))

    return st.tuples(st.integers(1, 14), st.integers(1, 17)).flatmap(within)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_they_hold_what_hdf5_returns(data: st.DataObject) -> None:
    axes = data.draw(st.tuples(axis(), axis(), axis()))
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    options = {
        "compression": data.draw(st.sampled_from(["gzip", "lzf", None])),
        "shuffle": data.draw(st.booleans()),
        "fletcher32": data.draw(st.booleans()),
        "fillvalue": data.draw(st.integers(0, 9)),
    }
    shape, chunks = (tuple(a[i] for a in axes) for i in (0, 1))
    region = tuple(slice(a, b) for *_, a, b in axes)
    n_levels = data.draw(st.sampled_from([2, 300]))
    values = np.random.default_rng(0).integers(0, n_levels, shape).astype(dtype)
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        cells = file.create_dataset("cells", shape, dtype, chunks=chunks, maxshape=(None,) * 3, **options)
        n_written = data.draw(st.integers(0, shape[0]))  # blocks without values are not stored
        cells[:n_written] = values[:n_written]
        assert outcome(fastest(cells), region) == outcome(cells, region)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"compression": 9, "shuffle": True}])
def test_several_threads_read_a_whole_image(tmp_path: Path, options: dict[str, Any]) -> None:
    values = ramp(1, SHAPE, 60_000)[0].view(np.int16)
    with h5py.File(tmp_path / "image.h5", "w") as file:
        cells = file.create_dataset("cells", data=values, chunks=CHUNKS, **options)
        np.testing.assert_array_equal(of_deflate(cells)[WHOLE], values)


@pytest.mark.parametrize("most_kept", [0, 4, 9])
def test_blocks_that_two_boxes_share_are_decompressed_once_if_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_kept: int
) -> None:
    values = ramp(1, SHAPE, 60_000)[0].view(np.int16)
    monkeypatch.setattr(blocks, "_MOST_KEPT_BYTES", most_kept * 256)
    with h5py.File(tmp_path / "image.h5", "w") as file:
        cells = file.create_dataset("cells", data=values, chunks=CHUNKS, compression="gzip")
        of_deflate(cells)  # skips without the package
        corners: list[tuple[int, ...]] = []
        inside = Blocks._content

        def counted(self: Blocks, corner: tuple[int, ...]) -> Any:
            corners.append(corner)
            return inside(self, corner)

        monkeypatch.setattr(Blocks, "_content", counted)
        image = fastest(cells, is_read_once=True)
        found = np.empty(SHAPE, np.int16)
        for box in regions(SHAPE, (1, 7, 9)):
            found[box] = image[box]
    np.testing.assert_array_equal(found, values)
    n_blocks = 3 * 3 * 3
    assert len(set(corners)) == n_blocks
    assert (len(corners) == n_blocks) == (most_kept == 9)
    assert isinstance(image, Blocks)
    assert not image._kept


BLOCK = np.arange(128, dtype=np.int16).tobytes()
PACKED = zlib.compress(BLOCK)
STORED = {
    "by another level": zlib.compress(BLOCK, 1),
    "with more behind": PACKED + b"more",
    "cut off": PACKED[:-20],
    "without its checksum": PACKED[:-4],
    "with a wrong checksum": PACKED[:-1] + bytes([PACKED[-1] ^ 1]),
    "with a wrong bit": PACKED[:30] + bytes([PACKED[30] ^ 4]) + PACKED[31:],
    "not packed": BLOCK,
    "too long": zlib.compress(BLOCK + BLOCK),
    "no stream": b"xyz",
}


def with_a_block(path: Path, stored: bytes, corner: tuple[int, ...], skipped: int = 0) -> h5py.Dataset:
    """Return an image of which one block was stored by other means."""
    with h5py.File(path, "w") as file:
        cells = file.create_dataset("cells", data=ramp(1, SHAPE)[0], chunks=CHUNKS, compression="gzip")
        cells.id.write_direct_chunk(corner, stored, filter_mask=skipped)
    return h5py.File(path, "r", rdcc_nbytes=0)["cells"]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("stored", STORED.values(), ids=STORED)
@pytest.mark.parametrize("corner", [(0, 0, 0), (4, 16, 16)])
def test_blocks_that_were_stored_otherwise(tmp_path: Path, stored: bytes, corner: tuple[int, ...]) -> None:
    cells = with_a_block(tmp_path / "image.h5", stored, corner)
    assert outcome(of_deflate(cells), WHOLE) == outcome(cells, WHOLE)


def test_blocks_that_skip_a_filter_are_marked_so(tmp_path: Path) -> None:
    cells = with_a_block(tmp_path / "image.h5", BLOCK, (0, 0, 0), skipped=1)
    assert of_deflate(cells)[0:2, 0:8, 0:8].tobytes() == BLOCK


def test_a_block_that_is_too_short_is_refused(tmp_path: Path) -> None:
    cells = with_a_block(tmp_path / "image.h5", zlib.compress(BLOCK[:-2]), (0, 8, 8))
    with pytest.raises(OSError, match=r"expected 256 bytes of the block at \(0, 8, 8\), got 254"):
        of_deflate(cells)[WHOLE]


def test_values_that_hdf5_converts_are_left_to_it(tmp_path: Path) -> None:
    of_12_bits = h5py.h5t.STD_I16LE.copy()
    of_12_bits.set_precision(12)
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((2, 2))
    settings.set_deflate(4)
    with h5py.File(tmp_path / "image.h5", "w") as file:
        h5py.h5d.create(file.id, b"cells", of_12_bits, h5py.h5s.create_simple((4, 4)), settings)
        assert isinstance(fastest(file["cells"]), h5py.Dataset)


def test_without_the_package_hdf5_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = write_movie(tmp_path / "m.h5", ramp())
    monkeypatch.setitem(sys.modules, "deflate", None)
    hdf5_blocks._inflate.cache_clear()
    try:
        np.testing.assert_array_equal(read_all(BigDataViewerReader.open(movie)), ramp())
        with h5py.File(movie) as file:
            assert isinstance(fastest(file["t00000/s00/0/cells"]), h5py.Dataset)
    finally:
        hdf5_blocks._inflate.cache_clear()
