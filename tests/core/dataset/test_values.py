"""Movies of floats: how values are scaled, and the messages about it."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import images_of, make
from elephant.config import ConversionParams
from elephant.dataset import Dataset, conversion
from elephant.dataset.values import ValueRange, choose_scaling, range_of
from elephant.errors import DatasetError


def floats(low: float = 0.0, high: float = 1.0, dtype: str = "float32") -> np.ndarray:
    """Return a movie (T, Z, Y, X) of fractions whose smallest and largest values are given."""
    values = np.random.default_rng(3).uniform(low, high, (3, 5, 20, 17)).astype(dtype)
    values[1, 2, 3, 4], values[2, 2, 3, 4] = low, high
    return values


def warnings_of(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.message for r in caplog.records if r.levelno == logging.WARNING)


@pytest.mark.parametrize("high", [1e-6, 1.0, 10.0, 3000.7, 1e9])
@pytest.mark.parametrize("low", [0.0, -0.25])
@pytest.mark.parametrize("wanted", ["auto", "uint16"])
def test_fractions_keep_16_bits_of_their_range(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, low: float, high: float, wanted: str
) -> None:
    values = floats(low * high, high)
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d", dtype=wanted)
    images = images_of(tmp_path / "d")
    assert images.dtype == np.uint16
    assert (images.min(), images.max()) == (0, 65535)
    source = Dataset(tmp_path / "d").source
    assert source is not None
    assert source.factor is not None
    assert source.offset is not None
    back = images / source.factor + source.offset
    np.testing.assert_allclose(back, values, rtol=0, atol=0.5001 * (values.max() - values.min()) / 65535)
    assert "scaled to 16 bits" in warnings_of(caplog)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("largest", "stored"), [(255, "uint8"), (65535, "uint16")])
def test_whole_numbers_stay_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: str, largest: int, stored: str
) -> None:
    values = ramp(largest=largest)
    make(write_movie(tmp_path / "m.h5", values.astype(dtype)), tmp_path / "d")
    images = images_of(tmp_path / "d")
    assert images.dtype == stored
    np.testing.assert_array_equal(images, values)
    assert not warnings_of(caplog)


@pytest.mark.parametrize("offset", [-300, 70000])
def test_whole_numbers_elsewhere_are_shifted(tmp_path: Path, caplog: pytest.LogCaptureFixture, offset: int) -> None:
    values = ramp(largest=999)
    values[0, 0, 0, 0] = 0
    make(write_movie(tmp_path / "m.h5", (values + np.float32(offset))), tmp_path / "d")
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values)
    assert f"stored = round((value - {offset}) * 1)" in warnings_of(caplog)


def test_nan_is_black_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = floats(-2.0, 5.0)
    values[0] = np.nan
    values[2, 1] = np.nan
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d")
    images = images_of(tmp_path / "d")
    assert not images[np.isnan(values)].any()
    assert images.max() == 65535
    assert f"{np.isnan(values).sum()} voxels of m.h5 are NaN" in warnings_of(caplog)


def test_a_movie_of_nothing_but_nan_is_refused(tmp_path: Path) -> None:
    movie = write_movie(tmp_path / "m.h5", np.full((2, 3, 8, 8), np.nan, np.float32))
    with pytest.raises(DatasetError, match="expected finite values"):
        make(movie, tmp_path / "d")


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize("params", [{}, {"dtype": "uint16"}, {"divisor": 0.1}])
def test_infinite_values_are_refused(tmp_path: Path, bad: float, params: dict[str, Any]) -> None:
    values = floats()
    values[1, 2, 3, 4] = bad
    with pytest.raises(DatasetError, match=r"timepoint 1 of m\.h5 has infinite values"):
        make(write_movie(tmp_path / "m.h5", values), tmp_path / "d", **params)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("params", [{"divisor": 0.1}, {"dtype": "uint8"}, {"dtype": "uint8", "divisor": 2.0}])
def test_negative_values_are_refused_where_values_are_to_be_divided(tmp_path: Path, params: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match=r"at least 0.*-0\.25 to 1 in m\.h5: without a divisor and 8 bits"):
        make(write_movie(tmp_path / "m.h5", floats(-0.25)), tmp_path / "d", **params)


def test_a_divisor_is_used_as_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = floats(0, 10)
    source = write_movie(tmp_path / "m.h5", values)
    make(source, tmp_path / "d", divisor=0.01)
    np.testing.assert_array_equal(images_of(tmp_path / "d"), np.floor(values.astype("f8") / 0.01))
    assert not warnings_of(caplog)
    make(source, tmp_path / "d", divisor=1)
    np.testing.assert_array_equal(images_of(tmp_path / "d"), np.floor(values))
    assert "at most 11 grey levels of m.h5 are left" in warnings_of(caplog)


def test_8_bits_are_refused_with_the_divisor_that_keeps_them(tmp_path: Path) -> None:
    source = write_movie(tmp_path / "m.h5", floats())
    with pytest.raises(DatasetError, match=r"0 to 1, of which 8 bits would keep 2 .* divisor of 0\.00393 .*--uint16"):
        make(source, tmp_path / "d", dtype="uint8")
    make(source, tmp_path / "d", dtype="uint8", divisor=0.00393)
    assert images_of(tmp_path / "d").max() == 254


def test_8_bits_of_larger_fractions_are_rounded_down_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = floats(0, 250)
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d", dtype="uint8")
    np.testing.assert_array_equal(images_of(tmp_path / "d"), np.floor(values))
    assert "rounded down" in warnings_of(caplog)


def test_a_few_values_far_from_all_others_cause_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = np.random.default_rng(3).uniform(0, 1, (2, 5, 64, 64)).astype("f4")
    values[1, 2, 3, 4] = 1e6
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d")
    assert "99.9% of the values" in warnings_of(caplog)


def test_a_range_without_extent_or_without_end() -> None:
    auto = ConversionParams()
    assert choose_scaling(ValueRange(0.5, 0.5, 0.5, is_whole=False), auto, "m.h5").factor == 1
    for found in (ValueRange(0, 1e-320, 0, is_whole=False), ValueRange(-1.7e308, 1.7e308, 0, is_whole=False)):
        with pytest.raises(DatasetError, match="range can be scaled"):
            choose_scaling(found, auto, "m.h5")


def test_ranges_are_joined() -> None:
    parts = [np.array([1.0, 2.0]), np.array([np.nan]), np.array([-0.5, np.nan])]
    found = ValueRange()
    for part in parts:
        found = found.joined(range_of(part, "a part"))
    assert (found.low, found.high, found.is_whole, found.n_nan) == (-0.5, 2, False, 2)


def test_several_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_movie(tmp_path / "m.h5", floats(-1, 3))
    make(source, tmp_path / "one")
    monkeypatch.setattr(conversion, "_PARALLEL_FROM", 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    make(source, tmp_path / "several")
    np.testing.assert_array_equal(images_of(tmp_path / "one"), images_of(tmp_path / "several"))
