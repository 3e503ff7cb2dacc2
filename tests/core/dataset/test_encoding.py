import numpy as np
import pytest

from elephant.dataset.layout import steady

STEP = 1 / 64


@pytest.mark.parametrize("shape", [(50,), (7, 50), (3, 4, 5, 50), (2, 1)])
def test_values_are_multiples_of_the_step_and_no_further_away_than_one(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    kept = steady(values, STEP)
    assert kept.shape == shape
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept / STEP, np.rint(kept / STEP))
    assert np.abs(kept - values).max() <= STEP


def test_what_wavers_by_less_than_a_step_stays_the_same_along_x_but_no_drift_is_lost() -> None:
    x = np.arange(200)
    wavering = (0.5 + 0.9 * STEP * np.sin(x)).astype(np.float32)
    assert len(np.unique(steady(wavering, STEP))) == 1
    rising = np.linspace(0, 1, 200, dtype=np.float32)
    assert np.abs(steady(rising, STEP) - rising).max() <= STEP
    np.testing.assert_array_equal(steady(np.stack([wavering, rising]), STEP)[1], steady(rising, STEP))


def test_a_large_array_is_rounded_as_its_parts_are(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).uniform(0, 1, (10, 11, 12)).astype(np.float32)
    whole = steady(values, STEP)
    monkeypatch.setattr("elephant.dataset.layout._AT_ONCE", 50)
    np.testing.assert_array_equal(steady(values, STEP), whole)


def test_nan_is_not_rounded() -> None:
    kept = steady(np.array([0.5, np.nan, 0.5, np.inf], dtype=np.float32), STEP)
    np.testing.assert_array_equal(kept, [0.5, np.nan, 0.5, np.inf])
