"""Which files of a folder belong together as timepoints, channels and planes of a movie, by the numbers in names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from elephant.errors import DatasetError, InvalidInputError, NotFoundError

_PLACEHOLDER = re.compile(r"\{([tcz])(?::0?(\d*)d)?\}")
_BRACES = re.compile(r"\{[^{}]*\}")
_NUMBER = re.compile(r"(\d+)")
_HINTS = {"c": "c", "ch": "c", "channel": "c", "w": "c", "z": "z", "slice": "z", "plane": "z"}
_MOST_FILES = 2_000_000
_MOST_DIGITS = 18

Key = tuple[int, str, int]


@dataclass(frozen=True, slots=True)
class Members:
    """The files of a movie.

    Attributes
    ----------
    timepoints
        The numbers of the timepoints as the names have them, ascending.
    channels
        The channels as the names have them, sorted; one empty name if they have none.
    planes
        The numbers of the planes, ascending; empty: a file is a volume.
    files
        The file of each timepoint, channel and plane.
    """

    timepoints: tuple[int, ...]
    channels: tuple[str, ...]
    planes: tuple[int, ...]
    files: Mapping[Key, Path]


def is_pattern(name: str) -> bool:
    """Return whether a name stands for several files: ``t{t:03d}_c{c}.tif``, or ``t*.tif``."""
    return _PLACEHOLDER.search(name) is not None or "*" in name or "?" in name


def members_of_pattern(path: Path) -> Members:
    """Return the files that a pattern stands for.

    Parameters
    ----------
    path
        A folder and a name with ``{t}``, ``{c}`` and ``{z}``, each with the number of digits or without (``{t:03d}``),
        or with ``*`` for the one number that differs.

    Raises
    ------
    InvalidInputError
        It has other placeholders, or some in the name of a folder.
    NotFoundError
        It stands for no file.
    DatasetError
        Two files have the same numbers, or the names that ``*`` stands for differ in more than a number.
    """
    if is_pattern(str(path.parent)) and not path.parent.exists():
        raise InvalidInputError(
            f"expected placeholders in the names of files alone, got the folder {path.parent}: put the files into one "
            "folder"
        )
    if not path.parent.is_dir():
        raise NotFoundError(f"the folder {path.parent} does not exist: check its name")
    if _PLACEHOLDER.search(path.name) is None:
        names = [name for name in _names(path.parent) if fnmatchcase(name, path.name)]
        return _members(path.parent, infer(names, path), names, path)
    return _members(path.parent, path.name, _names(path.parent), path)


def members_of_folder(folder: Path, suffixes: tuple[str, ...]) -> Members:
    """Return the files of a folder, whose names differ in one number.

    Raises
    ------
    DatasetError
        They differ in more, or there is just one.
    """
    names = [name for name in _names(folder) if name.lower().endswith(suffixes)]
    if len(names) == 1:
        raise DatasetError(f"expected a file for each timepoint in {folder.name}, got {names[0]} alone: give that file")
    return _members(folder, infer(names, folder), names, folder)


def infer(names: Sequence[str], path: Path) -> str:
    """Return the pattern of names that differ in one number, of which each is a timepoint.

    Parameters
    ----------
    names
        The names.
    path
        What they were found by, for messages.

    Raises
    ------
    NotFoundError
        There are no names.
    DatasetError
        They differ in more than a number.
    """
    if not names:
        raise NotFoundError(f"there is no file of the form {path}: check the folder and the name")
    parts = [_NUMBER.split(name) for name in names]
    first = parts[0]
    odd = next((name for name, each in zip(names, parts, strict=True) if each[::2] != first[::2]), None)
    if odd is not None:
        raise DatasetError(
            f"expected the names of files in {path.name} to differ in numbers alone, got {names[0]} and {odd}: keep "
            f"other files elsewhere, or give a pattern such as '{example(first)}'"
        )
    differing = [i for i in range(1, len(first), 2) if len({each[i] for each in parts}) > 1]
    if len(differing) > 1:
        raise DatasetError(
            f"expected the names of files in {path.name} to differ in one number, the timepoint, got {len(differing)}, "
            "as "
            f"in {names[0]} and {names[-1]}: say what they are in a pattern of t (time), c (channel) and z (plane), "
            f"such as '{example(first, differing)}'"
        )
    at = differing[0] if differing else (1 if len(first) > 1 else None)
    if at is None:
        raise DatasetError(f"expected a number in the names of files in {path.name}, got {names[0]}")
    return "".join("{t}" if i == at else part for i, part in enumerate(first))


def example(parts: Sequence[str], differing: Sequence[int] | None = None) -> str:
    """Return a pattern for a name that was cut into words and numbers, with a guess what the numbers are."""
    wanted = list(range(1, len(parts), 2))[-1:] if differing is None else list(differing)
    letters: dict[int, str] = {}
    for i in wanted:
        word = re.sub(r".*[^a-z]", "", parts[i - 1].lower())
        if (letter := _HINTS.get(word, "")) and letter not in letters.values():
            letters[i] = letter
    for i in wanted:
        free = [letter for letter in "tzc" if letter not in letters.values()]
        if i not in letters and free:
            letters[i] = free[0]
    return "".join(f"{{{letters[i]}}}" if i in letters else part for i, part in enumerate(parts))


def _names(folder: Path) -> list[str]:
    names = []
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.is_file():
            names.append(path.name)
        if len(names) > _MOST_FILES:
            raise DatasetError(f"expected at most {_MOST_FILES} files in {folder}, got more")
    return sorted(names, key=lambda name: [int(p) if i % 2 else p for i, p in enumerate(_NUMBER.split(name))])


def _members(folder: Path, pattern: str, names: Iterable[str], path: Path) -> Members:
    regex = _regex(pattern)
    files: dict[Key, Path] = {}
    for name in names:
        if (match := regex.fullmatch(name)) is None:
            continue
        found = match.groupdict()
        key = (int(found.get("t", 0)), _without_zeros(found.get("c", "")), int(found.get("z", 0)))
        if key in files:
            raise DatasetError(
                f"expected a file for each timepoint, channel and plane of {pattern}, got {files[key].name} and {name} "
                "for the same: keep one of them"
            )
        files[key] = folder / name
    if not files:
        raise NotFoundError(f"there is no file of the form {path}: check the folder and the name")
    timepoints, channels, planes = (sorted({key[i] for key in files}) for i in range(3))
    numbered = all(str(channel).isdecimal() for channel in channels)
    return Members(
        tuple(int(t) for t in timepoints),
        tuple(sorted(map(str, channels), key=lambda c: (int(c) if numbered else 0, c))),
        tuple(int(z) for z in planes) if "{z" in pattern else (),
        files,
    )


def _without_zeros(channel: str) -> str:
    return str(int(channel)) if channel.isdecimal() else channel


def _regex(pattern: str) -> re.Pattern[str]:
    unknown = next((each for each in _BRACES.findall(pattern) if not _PLACEHOLDER.fullmatch(each)), None)
    if unknown is not None:
        raise InvalidInputError(
            f"expected the placeholders {{t}}, {{c}} and {{z}}, with a number of digits or without ({{t:03d}}), got "
            f"{unknown}"
        )
    out, end, seen = "", 0, set[str]()
    for match in _PLACEHOLDER.finditer(pattern):
        letter, digits = match[1], match[2]
        if len(digits or "") > 2 or int(digits or 0) > _MOST_DIGITS:
            raise InvalidInputError(f"expected numbers of at most {_MOST_DIGITS} digits in a pattern, got {match[0]}")
        out += re.escape(pattern[end : match.start()])
        if letter in seen:
            out += f"(?P={letter})"
        elif letter == "c" and digits is None:
            out += "(?P<c>.+?)"
        else:
            out += rf"(?P<{letter}>\d{{{int(digits or 1)},{_MOST_DIGITS}}})"
        seen.add(letter)
        end = match.end()
    return re.compile(out + re.escape(pattern[end:]))
