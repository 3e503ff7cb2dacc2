"""Text files of any encoding that spreadsheets write, line by line."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from elephant.errors import InvalidInputError

LONGEST_LINE = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(head: bytes) -> str:
    """Return the encoding that the mark at the beginning of a file tells; without one it is UTF-8."""
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "utf-8")


def is_text(head: bytes) -> bool:
    """Return whether the beginning of a file may be that of a text."""
    return encoding_of(head) != "utf-8" or (b"\0" not in head and not head.startswith((b"\x89", b"\x1f")))


def first_letter(head: bytes) -> str:
    """Return the first letter of a text that is neither a space nor a mark; empty if there is none."""
    return head.decode(encoding_of(head), "ignore").lstrip("\ufeff \t\r\n")[:1]


def lines_of(path: Path, name: str) -> Iterator[str]:
    """Yield the lines of a text, with their ends.

    Raises
    ------
    InvalidInputError
        It is no text in its encoding, or a line is longer than 1 MiB.
    """
    with path.open("rb") as binary:
        encoding = encoding_of(binary.read(4))
    try:
        with path.open(encoding=encoding, newline=None) as file:
            while line := file.readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE:
                    raise InvalidInputError(f"{name} has a line of more than {LONGEST_LINE} letters: expected a table")
                yield line
    except UnicodeError as error:
        raise not_text(name, encoding, error) from error


def not_text(name: str, encoding: str, error: Exception) -> InvalidInputError:
    """Return the error for a file that is not text in its encoding."""
    called = encoding.removesuffix("-sig").upper()
    return InvalidInputError(
        f"{name} is not {called} text ({error}): expected JSON or CSV; save it again as CSV in UTF-8"
    )
