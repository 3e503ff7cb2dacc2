"""Arrays of NumPy as movies."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.dataset.helpers import make
from elephant.dataset import Dataset, check_dataset, describe_change
from elephant.dataset.readers.npy import NpyReader
from elephant.errors import DatasetError, InvalidInputError

SHAPE = (3, 4, 20, 30)


def values(dtype: str = "uint16", shape: tuple[int, ...] = SHAPE) -> NDArray[Any]:
    image = np.random.default_rng(0).integers(0, 200, shape)
    return (image - 100 if np.dtype(dtype).kind == "i" else image).astype(dtype)


def read(path: Path, setup: int | None = None, axes: str | None = None) -> NDArray[Any]:
    movie = NpyReader.open(path, setup, axes=axes)
    out = np.zeros((movie.n_timepoints, *movie.shape), movie.dtype)
    for t in range(movie.n_timepoints):
        with movie.timepoint(t) as voxels:
            for part in (slice(0, 13), slice(13, movie.shape[2])):
                region = (slice(0, movie.shape[0]), slice(0, movie.shape[1]), part)
                out[(t, *region)] = voxels[region]
    return out


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2", ">i2", ">f4", "float64", "bool"])
def test_any_type_and_order(tmp_path: Path, dtype: str, order: str) -> None:
    path, image = tmp_path / "m.npy", values(dtype)
    np.save(path, np.asarray(image, order=order))  # type: ignore[call-overload]
    np.testing.assert_array_equal(read(path), image)


@pytest.mark.parametrize("axes", ["TCZYX", "CTZYX", "ZTCYX", "TZYX", "CZYX", "CYX", "YX", "zyx"])
def test_axes_are_what_the_person_says(tmp_path: Path, axes: str) -> None:
    path, image = tmp_path / "m.npy", values(shape=(2, 3, 4, 20, 30)[-len(axes) :])
    np.save(path, image)
    names = axes.upper()
    for missing in (name for name in "TCZ" if name not in names):
        image, names = image[None], missing + names
    image = image.transpose([names.index(name) for name in "TCZYX"])
    for channel in range(image.shape[1]):
        np.testing.assert_array_equal(read(path, channel, axes), image[:, channel])


def test_a_change_of_the_channel_that_is_used_is_noticed(tmp_path: Path) -> None:
    path, image = tmp_path / "m.npy", values(shape=(2, 4, 3, 20, 30))
    np.save(path, image)
    make(path, tmp_path / "d", axes="TZCYX", setup=1)
    image[:, :, 1] += 1
    np.save(path, image)
    assert "has changed since" in describe_change(tmp_path / "d")


def test_three_axes_are_not_guessed(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", values()[0])
    with pytest.raises(
        DatasetError, match=r"m\.npy is a stack of 4 images, .*: give `axes` ZYX for one volume, or TYX"
    ):
        NpyReader.open(tmp_path / "m.npy")
    make(tmp_path / "m.npy", tmp_path / "m", axes="TYX", is_2d=True)
    np.testing.assert_array_equal(Dataset(tmp_path / "m").read_image(2), values()[0][2])
    (tmp_path / "m.npy").touch()
    assert check_dataset(tmp_path / "m") == "ready"
    with pytest.raises(InvalidInputError, match="expected `axes` to name the axes"):
        NpyReader.open(tmp_path / "m.npy", axes="TZYX")


def test_axes_of_a_format_that_says_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="the reader bigdataviewer has them from the file"):
        make(tmp_path / "m.h5", tmp_path / "m", axes="TZYX")
