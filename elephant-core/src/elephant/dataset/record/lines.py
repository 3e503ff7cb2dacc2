"""Lines of a record: each is an entry, with a digest that covers it and all lines before."""

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from elephant.dataset.record.entries import ENTRY, LONGEST_LINE, AnyEntry

_END = b',"digest":"%s"}'
_END_LENGTH = len(_END % bytes(64))


class Chain:
    """Writes and checks lines, one after the other.

    Attributes
    ----------
    number
        That of the last entry; -1 before the first.
    digest
        That of the last line, 64 hexadecimal digits; empty before the first, None if nobody knows.
    """

    def __init__(self, number: int = -1, digest: bytes | None = b"") -> None:
        self.number = number
        self.digest = digest

    def line(self, body: Mapping[str, Any]) -> bytes:
        """Return the line of the next entry.

        Raises
        ------
        ValueError
            It would be longer than a line may be, or holds what JSON does not know.
        """
        text = to_json({"entry": self.number + 1, **body}, inf_nan_mode="strings")[:-1]
        digest = self._digest(text)
        line = text + _END % digest + b"\n"
        if len(line) > LONGEST_LINE:
            raise ValueError(f"an entry of the record takes {len(line)} bytes, and may take {LONGEST_LINE}")
        self.number += 1
        self.digest = digest
        return line

    def read(self, line: bytes) -> AnyEntry:
        """Return the entry of a line without its end.

        Raises
        ------
        ValueError
            It is damaged, or belongs to another record.
        """
        text, digest = line[:-_END_LENGTH], line[-66:-2]
        if line[-_END_LENGTH:] != _END % digest or not _is_hexadecimal(digest):
            raise ValueError("it is incomplete")
        is_right = self.digest is None or digest == self._digest(text)
        self.digest = digest
        if not is_right:
            raise ValueError("it, or what was before it, has been changed")
        try:
            entry = ENTRY.validate_python(from_json(text + b"}"))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        self.number = entry.entry
        return entry

    def pass_over(self, number: int, line: bytes) -> None:
        """Go on behind a line without its end, whose entry nobody wants to know.

        Raises
        ------
        ValueError
            It is incomplete.
        """
        digest = line[-66:-2]
        if line[-_END_LENGTH:] != _END % digest or not _is_hexadecimal(digest):
            raise ValueError("it is incomplete")
        self.number, self.digest = number, digest

    def _digest(self, text: bytes) -> bytes:
        return hashlib.sha256((self.digest or b"") + text).hexdigest().encode("ascii")


def _is_hexadecimal(text: bytes) -> bool:
    return not text.strip(b"0123456789abcdef")
