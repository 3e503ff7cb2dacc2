"""Units of length and time, as files of other programs write them."""

METRES = {
    "angstrom": 1e-10, "nanometer": 1e-9, "micrometer": 1e-6, "millimeter": 1e-3, "centimeter": 1e-2, "meter": 1.0,
    "inch": 0.0254,
}  # fmt: skip
_NAMES = {
    "å": "angstrom", "nm": "nanometer", "um": "micrometer", "micron": "micrometer", "mm": "millimeter",
    "cm": "centimeter", "m": "meter", "in": "inch", "inche": "inch", "px": "pixel", "voxel": "pixel",
}  # fmt: skip
_SECONDS = {
    "nanosecond": 1e-9, "microsecond": 1e-6, "millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0,
    "day": 86400.0,
    "ns": 1e-9, "\u00b5s": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_SYMBOL = 3  # letters at most; there, capitals mean another unit


def unit_named(text: str | None) -> str:
    """Return the name that OME has for a unit of length, such as ``micrometer`` for ``µm`` and ``Microns``.

    A unit that is not known stays as it is, in lower case; none at all is an empty string.
    """
    name = (text or "").strip().lower().replace("metre", "meter")
    # The letter, the sign, and the sign as ImageJ escapes it and as UTF-8 that was read as Latin-1.
    for mu in ("\u00e2\u00b5", "\u03bc", "\u00b5", "\\u00b5"):
        name = name.replace(mu, "u")
    if name in _NAMES:
        return _NAMES[name]
    singular = name.removesuffix("s")
    return _NAMES.get(singular, singular if singular in METRES or singular == "pixel" else name)


def factor_between(unit: str | None, other: str | None) -> float | None:
    """Return how many of one unit of length another one is; None if that is not known.

    Parameters
    ----------
    unit
        The unit in which lengths are given, as anybody writes it.
    other
        The unit in which they are wanted.
    """
    given, wanted = unit_named(unit), unit_named(other)
    if given == wanted:
        return 1.0
    if given in METRES and wanted in METRES:
        return METRES[given] / METRES[wanted]
    return None


def seconds_in(unit: str | None) -> float | None:
    """Return how many seconds a unit of time is, as OME writes it; None if that is not known."""
    name = unit or ""
    return _SECONDS.get(name if len(name) <= _SYMBOL else name.lower())
