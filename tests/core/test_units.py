"""Units of length, as programs write them."""

import pytest

from elephant.units import factor_between, unit_named


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("\u00b5m", "micrometer"), ("\u03bcm", "micrometer"), ("um", "micrometer"), ("Microns", "micrometer"),
        ("\\u00B5m", "micrometer"), ("\\u00b5m", "micrometer"), ("\u00c2\u00b5m", "micrometer"),
        ("micrometres", "micrometer"), ("Nanometers", "nanometer"), ("inch", "inch"), ("Inches", "inch"),
        ("in", "inch"),
        ("pixels", "pixel"), ("furlong", "furlong"), (None, ""),
    ],
)  # fmt: skip
def test_one_name_however_it_is_written(written: str | None, name: str) -> None:
    assert unit_named(written) == name


@pytest.mark.parametrize(
    ("unit", "other", "factor"), [("inch", "mm", 25.4), ("nm", "\u00b5m", 1e-3), ("px", "um", None)]
)
def test_how_many_of_one_another_is(unit: str, other: str, factor: float | None) -> None:
    assert factor_between(unit, other) == (None if factor is None else pytest.approx(factor))
