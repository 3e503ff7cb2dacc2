"""What a client that has just been installed sends: its requests byte for byte, and the ranges of its settings."""

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "fresh"
KINDS = ("3d", "2d")


@cache
def texts(kind: str) -> dict[str, str]:
    """Return the text of each request of a fresh client whose movie has volumes, ``3d``, or planes, ``2d``."""
    lines = (FOLDER / f"requests_{kind}.jsonl").read_text().splitlines()
    return {line["request"]: line["text"] for line in map(json.loads, lines)}


def path_of(request: str) -> str:
    """Return the path that a request goes to: that of ``seg/predict back track`` is ``seg/predict``."""
    return request.split(maxsplit=1)[0]


def body(request: str, *, is_3d: bool) -> dict[str, Any]:
    """Return the body of a request as a fresh client fills it."""
    found: dict[str, Any] = json.loads(texts("3d" if is_3d else "2d")[request])
    return found


@cache
def ranges() -> dict[str, dict[str, Any]]:
    """Return by its name what the dialog allows for a setting: ``min``, ``max`` and ``default``."""
    found = json.loads((FOLDER / "ranges.json").read_text())
    return {name: limits for name, limits in found.items() if isinstance(limits, dict)}
