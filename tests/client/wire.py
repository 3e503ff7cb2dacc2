"""How the released client writes numbers and requests, and what it can read of an answer."""

import json
import math
from decimal import Decimal
from typing import Any
from urllib.parse import urljoin

import requests

HEADERS = {"Accept-Encoding": "gzip"}


def java_double(value: float) -> str:
    """Write a double as Java does, but a whole one without its ``.0``: 1, 0.4, 1.0E-5."""
    digits = Decimal(repr(float(value)))
    if not value or 1e-3 <= abs(value) < 1e7:
        return format(digits, "f").removesuffix(".0")
    mantissa, exponent = f"{digits.normalize():E}".split("E")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"


def written(value: Any) -> str:
    """Write a value as JSON without white space."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(written, value)) + "]"
    return java_double(value) if isinstance(value, float) else json.dumps(value)


def post(base_url: str, path: str, body: dict[str, Any], timeout: float = 180) -> requests.Response:
    """Send JSON to a path, which is resolved against the base URL; never again after a redirect."""
    headers = {**HEADERS, "Content-Type": "application/json"}
    content = written(body).encode()
    return requests.post(urljoin(base_url, path), data=content, headers=headers, timeout=timeout, allow_redirects=False)


def get(base_url: str, path: str) -> requests.Response:
    """Ask for a path, which is resolved against the base URL."""
    return requests.get(urljoin(base_url, path), headers=HEADERS, timeout=10, allow_redirects=False)


def read(answer: requests.Response, status: int = 200) -> Any:
    """Return the JSON of an answer that is not compressed and whose numbers are finite.

    An integer comes out as an `int` only where it was one literally: 5, and not 5.0.
    """
    assert answer.status_code == status, f"{answer.status_code} {answer.reason}: {answer.text}"
    assert "Content-Encoding" not in answer.headers
    return json.loads(answer.content, parse_float=_finite, parse_constant=_finite)


def is_number(value: Any) -> bool:
    """Say whether a value is a number, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(literal: str) -> float:
    value = float(literal)
    assert math.isfinite(value), f"{literal} is no JSON"
    return value
