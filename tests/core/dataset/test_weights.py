"""Datasets of the weighted sum of a movie's sources."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from core.dataset.helpers import images_of, make
from core.dataset.test_in_place import add_in_place, source_of
from core.dataset.test_ome_zarr import values, write
from elephant.dataset import check_dataset
from elephant.errors import DatasetError, InvalidInputError

NAMES = {"omero": {"channels": [{"label": "A"}, {"label": "B"}]}}


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_whole_numbers_stay_such(dtype: str, in_place: bool, tmp_path: Path) -> None:
    image = values(dtype=dtype)
    path = write(tmp_path / "m.zarr", image, more=NAMES)
    (add_in_place if in_place else make)(path, tmp_path / "d", weights=(0.7, 0.3), t_start=1)
    expected = np.rint(0.7 * image[1:, 0].astype(float) + 0.3 * image[1:, 1])
    np.testing.assert_array_equal(images_of(tmp_path / "d"), expected)
    source = source_of(tmp_path / "d")
    assert (source.setup, source.weights, source.n_setups) == (None, ((0, 0.7), (1, 0.3)), 2)
    assert source.title == "m.zarr, sum of sources: 0.7 x A + 0.3 x B, timepoints 1-2"
    assert source.factor is None
    assert check_dataset(tmp_path / "d") == "ready"
    image[:, 1] = 0
    write(path, image, more=NAMES)
    assert "has changed since" in check_dataset(tmp_path / "d")


def test_other_sums_are_scaled_as_floats_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = values()
    path = write(tmp_path / "m.zarr", image)
    make(path, tmp_path / "d", weights=(1, -0.5))
    source = source_of(tmp_path / "d")
    assert source.offset is not None
    assert source.factor is not None
    found = images_of(tmp_path / "d") / source.factor + source.offset
    np.testing.assert_allclose(found, image[:, 0] - 0.5 * image[:, 1].astype(float), atol=1 / source.factor)
    assert "they are scaled to 16 bits" in caplog.text


def test_a_weight_of_0_leaves_a_source_out(tmp_path: Path) -> None:
    path = write(tmp_path / "m.zarr", values(), more=NAMES)
    add_in_place(path, tmp_path / "d", weights=(0, 1))
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values()[:, 1])
    assert source_of(tmp_path / "d").weights == ((1, 1.0),)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"weights": (1.0,)}, r"one for each of 2 sources of m\.zarr \(source 0 \(A\), source 1 \(B\)\), got 1"),
        ({"weights": (0.0, 0.0)}, "expected a weight other than 0"),
        ({"weights": (0.5, 0.5), "setup": 1}, "expected one of `setup` and `weights`, got both"),
    ],
)
def test_wrong_weights_are_refused(params: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = write(tmp_path / "m.zarr", values(), more=NAMES)
    with pytest.raises(InvalidInputError, match=words):
        make(path, tmp_path / "d", **params)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(("shape", "last", "words"), [((2, 5), 1, "of one size"), ((2, 4), 0, "gaps at different")])
def test_sources_that_differ_are_refused(shape: tuple[int, ...], last: int, words: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for t in range(2):
            file[f"t{t:05d}/s00/0/cells"] = np.ones((1, 2, 4), np.int16)
        for t in range(last + 1):
            file[f"t{t:05d}/s01/0/cells"] = np.ones((1, *shape), np.int16)
    with pytest.raises(DatasetError, match=words):
        make(tmp_path / "m.h5", tmp_path / "d", weights=(0.5, 0.5), fill_gaps=True)
