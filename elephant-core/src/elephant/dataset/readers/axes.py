"""Which axes an array of a file has, where the file does not say, or says it in letters that mean other things too."""

from collections.abc import Sequence
from pathlib import Path

from elephant.errors import DatasetError, InvalidInputError

LEADING = "TCZ"
_WORDS = {
    "T": "time",
    "C": "channels",
    "Z": "planes",
    "A": "angles",
    "H": "lifetimes",
    "M": "mosaic tiles",
    "P": "positions",
    "R": "regions or tiles",
    "V": "events",
    "L": "exposures",
    "E": "wavelengths",
}


def leading_axes(found: str, sizes: Sequence[int], given: str | None, path: Path, unknown: str = "") -> str:
    """Return a letter for each axis before Y and X: T, C, Z, or a dash for one of length 1 without a meaning.

    Parameters
    ----------
    found
        A letter for each axis before Y and X, as the file has it; others than T, C and Z mean something else, or
        nothing.
    sizes
        Their lengths.
    given
        The axes that the person gives, such as ``TZYX``, in the order of the file; None if none.
    path
        The movie.
    unknown
        What axes without a meaning are taken for, one after the other, if nothing is given.

    Raises
    ------
    InvalidInputError
        The given axes do not fit.
    DatasetError
        An axis has no meaning, and nothing is given.
    """
    long = [i for i, size in enumerate(sizes) if size > 1]
    if given is not None:
        return _given(found, sizes, given.upper(), long, path)
    letters = [letter if letter in LEADING else "-" for letter in found]
    free = [letter for letter in unknown if letter not in letters]
    unclear = [i for i in long if letters[i] == "-" or letters.index(letters[i]) != i]
    if len(unclear) > len(free):
        raise DatasetError(_question([found[i] for i in unclear], [sizes[i] for i in long], path))
    for i, letter in zip(unclear, free, strict=False):
        letters[i] = letter
    return "".join(letter if letters.index(letter) == i else "-" for i, letter in enumerate(letters))


def _given(found: str, sizes: Sequence[int], given: str, long: list[int], path: Path) -> str:
    lead = given.removesuffix("S").removesuffix("YX")
    is_known = given.removesuffix("S").endswith("YX") and set(lead) <= set(LEADING) and len(set(lead)) == len(lead)
    where = long if len(lead) == len(long) else range(len(found))
    if not is_known or len(where) != len(lead):
        lengths = ", ".join(str(sizes[i]) for i in long)
        raise InvalidInputError(
            f"expected `axes` to name the axes of {path.name} in their order, each of T, C, Z once and then YX; got "
            f"{given} for {f'{len(long)} before YX, of the lengths {lengths}' if long else 'a single plane'}"
        )
    letters = ["-"] * len(found)
    for i, letter in zip(where, lead, strict=True):
        letters[i] = letter
    return "".join(letters)


def _question(unclear: list[str], sizes: list[int], path: Path) -> str:
    named = [_WORDS[letter] for letter in unclear if letter in _WORDS]
    if len(sizes) == 1 and not named:
        return (
            f"{path.name} is a stack of {sizes[0]} images, and does not say whether these are planes (Z) or timepoints "
            "(T): give `axes` ZYX for one volume, or TYX for a movie of planes"
        )
    lengths = " x ".join(map(str, sizes))
    what = f" some of which are {' and '.join(dict.fromkeys(named))}" if named else " and does not say what they are"
    example = {2: "TZYX", 3: "TZCYX"}.get(len(sizes), "TYX")
    return (
        f"{path.name} has {lengths} images,{what}: give `axes` in the order of the file, of T (time), C (channels) and "
        f"Z (planes), such as {example}"
    )
