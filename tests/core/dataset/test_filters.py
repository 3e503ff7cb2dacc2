"""Movies compressed with filters that HDF5 does not include."""

import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from core.dataset.bdv import describe, ramp
from core.dataset.test_bigdataviewer import read_all
from elephant.dataset.readers import hdf5
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.errors import DatasetError

PACKERS = ["Blosc", "Blosc2", "LZ4", "Zstd", "Bitshuffle", "BZip2"]
NUMBER = 32768  # of no registered filter


def packed(path: Path, packer: str) -> np.ndarray:
    """Write a movie whose blocks are packed by a class of hdf5plugin."""
    package = pytest.importorskip("hdf5plugin")
    values = ramp()
    with h5py.File(path, "w") as file:
        describe(file)
        for t, volume in enumerate(values.view(np.int16)):
            file.create_dataset(f"t{t:05d}/s00/0/cells", data=volume, chunks=(2, 8, 8), **getattr(package, packer)())
    return values


@pytest.mark.parametrize("packer", PACKERS)
def test_they_are_read(tmp_path: Path, packer: str) -> None:
    values = packed(tmp_path / "m.h5", packer)
    np.testing.assert_array_equal(read_all(BigDataViewerReader.open(tmp_path / "m.h5")), values)


READING = """
import sys
from pathlib import Path
import numpy as np
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader

if sys.argv[2] == "without":
    sys.modules["hdf5plugin"] = None
movie = BigDataViewerReader.open(Path(sys.argv[1]))
with movie.timepoint(1) as timepoint:
    print(int(timepoint[tuple(slice(0, s) for s in movie.shape)].sum()))
"""


WORKING = """
import pickle, sys

with pickle.loads(bytes.fromhex(sys.argv[1])).timepoint(1) as timepoint:
    print(int(timepoint[(slice(0, 5), slice(0, 20), slice(0, 17))].sum()))
"""


def test_a_process_that_helps_with_a_movie_loads_them(tmp_path: Path) -> None:
    values = packed(tmp_path / "m.h5", "LZ4")
    movie = pickle.dumps(BigDataViewerReader.open(tmp_path / "m.h5")).hex()
    done = subprocess.run([sys.executable, "-c", WORKING, movie], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (str(int(values[1].sum())), "")


@pytest.mark.parametrize("packer", ["Blosc", "Zstd"])
def test_a_process_that_never_heard_of_them_loads_them(tmp_path: Path, packer: str) -> None:
    values = packed(tmp_path / "m.h5", packer)
    done = subprocess.run(
        [sys.executable, "-c", READING, str(tmp_path / "m.h5"), "with"], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == (str(int(values[1].sum())), "")


def test_without_the_package_the_filter_is_named(tmp_path: Path) -> None:
    packed(tmp_path / "m.h5", "Blosc")
    done = subprocess.run(
        [sys.executable, "-c", READING, str(tmp_path / "m.h5"), "without"], capture_output=True, text=True, check=False
    )
    said = done.stderr.strip().splitlines()[-1]
    assert "compressed with the HDF5 filter 32001 (Blosc), which is not installed here" in said
    assert "h5repack -f GZIP=4 m.h5 repacked.h5" in said
    assert "install the Python package hdf5plugin" in said


def test_an_unknown_filter_is_named_with_a_way_around_it(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((1, 4, 4))
        settings.set_filter(NUMBER, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((2, 8, 8))
        file.create_group("t00000/s00/0")
        h5py.h5d.create(file.id, b"t00000/s00/0/cells", h5py.h5t.NATIVE_INT16, space, settings)
    with pytest.raises(DatasetError, match=rf"compressed with the HDF5 filter {NUMBER} \(of unknown name\).*h5repack"):
        BigDataViewerReader.open(path)


def test_the_package_is_loaded_for_those_movies_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    hdf5._load_package.cache_clear()
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("t00000/s00/0/cells", data=ramp(1)[0].view(np.int16), compression="gzip", shuffle=True)
    assert BigDataViewerReader.open(tmp_path / "m.h5").filters == (1, 2)


def test_blocks_that_are_far_larger_than_the_image_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        how = {"chunks": (1024, 1024, 1024), "maxshape": (None,) * 3, "compression": "gzip"}
        file.create_dataset("t00000/s00/0/cells", (1, 2, 2), np.int16, **how)
    with pytest.raises(DatasetError, match=r"blocks of at most 1 GiB, got blocks of 1024 x 1024 x 1024 voxels.*CHUNK"):
        BigDataViewerReader.open(tmp_path / "m.h5")
