"""The requests of a client that has just been installed, of which only what is about the movie is changed."""

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "tests" / "client" / "fresh"


@cache
def _texts(kind: str) -> dict[str, str]:
    lines = (FOLDER / f"requests_{kind}.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["request"]: line["text"] for line in map(json.loads, lines)}


def client_request(name: str, *, is_3d: bool = True) -> dict[str, Any]:
    """Return the body of a request as the client sends it with its default settings.

    Parameters
    ----------
    name
        Its path, perhaps with what tells it from others: ``seg/train``, ``seg/reset default``.
    is_3d
        Whether the movie has volumes.
    """
    body: dict[str, Any] = json.loads(_texts("3d" if is_3d else "2d")[name])
    return body


def path_of(name: str) -> str:
    """Return the path that a request goes to."""
    return name.split(maxsplit=1)[0]
