"""Spots as JSON: what the server is sent and answers."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from elephant.annotations.base import AnnotationReader, MovieFacts
from elephant.annotations.records import HEADER, SpotRecord, record_from
from elephant.annotations.text import encoding_of, first_letter, not_text
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.progress import CancelToken

_LONGEST_SHOWN = 80
_EVERY = 10_000

logger = logging.getLogger(__name__)


class JsonReader(AnnotationReader):
    """Reads ``{"spots": [{"t", "pos", "covariance", "tag"}]}``, or the list alone."""

    suffixes = (".json",)

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Tell whether a file is JSON, by its name or its first letter."""
        if path.is_dir() or path.suffix.lower() in (".csv", ".tsv", ".txt"):
            return False
        return super().claims(path, head) or first_letter(head) in ("{", "[")

    def read(
        self,
        path: Path,
        params: AnnotationParams,
        movie: MovieFacts,  # noqa: ARG002 - all is physical
        cancel: CancelToken,
    ) -> Sequence[SpotRecord]:
        """Read all spots."""
        name = path.name
        content = path.read_bytes()
        encoding = encoding_of(content)
        try:
            text = content.decode(encoding)
        except UnicodeError as error:
            raise not_text(name, encoding, error) from error
        if not text.strip():
            raise empty(name)
        found = []
        for i, spot in enumerate(_spots(text, name)):
            if i % _EVERY == 0:
                cancel.check()
            found.append(_record(f"{name}, spots[{i}]", spot, params.radius))
        for option, is_given in (("spots_unit", params.spots_unit == "pixel"), ("first_frame", params.first_frame)):
            if is_given:
                logger.warning(
                    "%s: `%s` is ignored: spots in JSON are always physical, and timepoints from 0", name, option
                )
        return found


def empty(name: str) -> InvalidInputError:
    """Return the error for an empty file."""
    return InvalidInputError(
        f"{name}: the file is empty: expected spots, as JSON or as a table with a header such as {HEADER}"
    )


def _spots(text: str, name: str) -> list[Any]:
    expected = 'expected {"spots": [{"t", "pos", "covariance"}]}; a CSV file must be named .csv'
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{name} is not valid JSON ({error}): {expected}") from error
    spots = content.get("spots") if isinstance(content, dict) else content
    if not isinstance(spots, list):
        raise InvalidInputError(f"{name} has no list of spots: {expected}")
    return spots


def _record(where: str, value: Any, radius: float | None) -> SpotRecord:
    try:
        return record_from(value, radius)
    except (ValidationError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{where}: {_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors(include_url=False)[0]
    field = ".".join(map(str, problem["loc"])) or "spot"
    found = "" if problem["type"] == "missing" else f", got {shortened(problem['input'])}"
    message = "field required" if problem["type"] in ("missing", "missing_argument") else problem["msg"]
    return f"{field}: {message[:1].lower()}{message[1:]}{found}"


def shortened(value: Any) -> str:
    """Return a value as JSON, shortened if long; a long list is not written out first."""
    text = json.dumps(value[:_LONGEST_SHOWN] if isinstance(value, list | str) else value, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
