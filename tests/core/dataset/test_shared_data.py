"""Real and simulated movies that are not part of the project."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from core.dataset.helpers import images_of, make
from elephant.dataset import check_dataset

DATA = Path(__file__).parents[4] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the folder of example movies {DATA} is not there")


def unsigned(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        names = sorted(name for name in file if name[0] == "t")
        return np.stack([file[f"{name}/s00/0/cells"][:].view(np.uint16) for name in names])


def test_a_2d_movie_of_bigdataviewer(tmp_path: Path) -> None:
    values = unsigned(DATA / "FakeTracksBDV.h5")
    assert values.max() > 32767
    make(DATA / "FakeTracksBDV.h5", tmp_path, is_2d=True, dtype="uint16")
    assert check_dataset(tmp_path, (50, 128, 128)) == "ready"
    np.testing.assert_array_equal(images_of(tmp_path), values[:, 0])


@pytest.mark.parametrize(
    ("name", "shape", "dtype"), [("nuclei3d", (2, 31, 61, 57), "uint16"), ("embryo", (8, 32, 256, 256), "uint8")]
)
def test_3d_movies(tmp_path: Path, name: str, shape: tuple[int, ...], dtype: str) -> None:
    make(DATA / f"{name}.h5", tmp_path)
    assert check_dataset(tmp_path, shape) == "ready"
    images = images_of(tmp_path)
    assert images.dtype == dtype
    np.testing.assert_array_equal(images, unsigned(DATA / f"{name}.h5"))
