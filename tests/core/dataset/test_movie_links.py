"""A movie reaches no file outside of its folder, however it names it."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from core.dataset.bdv import describe, ramp, write_movie
from core.dataset.helpers import images_of, make
from elephant.errors import DatasetError

CELLS = "t00001/s00/0/cells"
VALUES = ramp()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A movie in another user's folder."""
    (tmp_path / "theirs").mkdir()
    return write_movie(tmp_path / "theirs" / "secret.h5", VALUES + 1)


def link_to_the_image(file: h5py.File, secret: Path) -> None:
    file[CELLS] = h5py.ExternalLink(str(secret), CELLS)


def link_by_a_relative_name(file: h5py.File, secret: Path) -> None:
    file[CELLS] = h5py.ExternalLink(f"../theirs/{secret.name}", CELLS)


def link_to_the_timepoint(file: h5py.File, secret: Path) -> None:
    del file["t00001"]
    file["t00001"] = h5py.ExternalLink(str(secret), "t00001")


def link_within_a_partition(file: h5py.File, secret: Path) -> None:
    partition = Path(file.filename).with_name("m-00-00.h5")
    with h5py.File(partition, "w") as other:
        other[CELLS] = h5py.ExternalLink(str(secret), CELLS)
    file[CELLS] = h5py.ExternalLink(partition.name, CELLS)


def virtual_image(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout(VALUES.shape[1:], np.int16)
    layout[...] = h5py.VirtualSource(str(secret), CELLS, VALUES.shape[1:])
    file.create_virtual_dataset(CELLS, layout)


def external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset(CELLS, VALUES.shape[1:], np.int16, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


@pytest.mark.parametrize(
    "name_it",
    [
        link_to_the_image,
        link_by_a_relative_name,
        link_to_the_timepoint,
        link_within_a_partition,
        virtual_image,
        external_storage,
    ],
)
def test_a_file_of_somebody_else_is_not_read(
    tmp_path: Path, secret: Path, name_it: Callable[[h5py.File, Path], None]
) -> None:
    (tmp_path / "mine").mkdir()
    movie = write_movie(tmp_path / "mine" / "m.h5", VALUES)
    with h5py.File(movie, "r+") as file:
        del file[CELLS]
        name_it(file, secret)
        # The file can be read by who runs this: it is the server that must not.
        assert file[CELLS].shape == VALUES.shape[1:]
    with pytest.raises(DatasetError, match="outside of its folder"):
        make(movie, tmp_path / "dataset")
    assert not (tmp_path / "dataset" / "imgs.zarr").exists()


def test_partitions_beside_it_are_read_and_links_on_the_disk_are_followed(tmp_path: Path) -> None:
    """Symbolic links are made by users who may read their targets; a movie cannot create one."""
    (tmp_path / "mine").mkdir()
    write_movie(tmp_path / "elsewhere.h5", VALUES)
    os.symlink(tmp_path / "elsewhere.h5", tmp_path / "mine" / "m-00-00.h5")  # noqa: PTH211 - plainer
    with h5py.File(tmp_path / "mine" / "m.h5", "w") as file:
        describe(file)
        for t in range(len(VALUES)):
            file[f"t{t:05d}/s00/0"] = h5py.ExternalLink("m-00-00.h5", f"t{t:05d}/s00/0")
    make(tmp_path / "mine" / "m.h5", tmp_path / "dataset")
    np.testing.assert_array_equal(images_of(tmp_path / "dataset"), VALUES)
