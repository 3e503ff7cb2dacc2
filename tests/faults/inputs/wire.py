"""What is wrong with a request itself: methods, paths, lengths, and how its body travels."""

import json

import requests

from faults.cases import Case
from faults.ground import Ground
from faults.inputs.asking import Ask, raw, refused

JSON = b"Content-Type: application/json\r\n"


def lines(method: str, path: str, *headers: bytes, content: bytes = b"") -> Ask:
    """Send a request as it stands."""
    head = f"{method} /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
    return lambda ground: raw(ground, head + b"".join(headers) + b"\r\n" + content)


def _length(number: str) -> bytes:
    return b"Content-Length: " + number.encode() + b"\r\n"


def _method(method: str, path: str) -> Ask:
    return lambda ground: ground.send(method, path)


def _chunked(ground: Ground) -> requests.Response:
    """A body in chunks is as good as any; what it says is refused."""
    body = json.dumps({**ground.bodies()["seg/predict"], "timepoint": 99}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:10], body[10:]))
    return lines("POST", "seg/predict", JSON, b"Transfer-Encoding: chunked\r\n", content=chunks + b"0\r\n\r\n")(ground)


def _heads(ground: Ground) -> None:
    """Ask for the head alone, and for what a path allows: neither has a body, and neither does anything."""
    before = ground.snapshot()
    for path in ("seg/train", "state/process", "nothing"):
        answer = ground.send("HEAD", path)
        assert (answer.status_code, answer.content) == ({"state/process": 200, "nothing": 404}.get(path, 405), b"")
        assert answer.reason
    allowed = ground.send("OPTIONS", "seg/train")
    assert (allowed.status_code, allowed.content) == (200, b"")
    assert "POST" in allowed.headers["Allow"]
    ground.assert_untouched(before)


CHUNKS = b"Transfer-Encoding: chunked\r\n"

CASES: list[Case] = [
    Case("HEAD and OPTIONS", _heads),
    *[
        refused(f"{method} {path}", _method(method, path), "POST", method, status=405, is_short=method == "GET")
        for method, path in (
            ("GET", "seg/train"),
            ("GET", "dataset/check"),
            ("PUT", "seg/predict"),
            ("DELETE", "download/model"),
            ("PATCH", "flow/update"),
            ("GET", "upload/image"),
            ("PROPFIND", "state/process"),
        )
    ],
    *[
        refused(f"POST {path}", _method("POST", path), "GET", "POST", status=405)
        for path in ("state/gpus", "openapi.json", "docs")
    ],
    *[
        refused(f"an unknown path, {path[:40]}", _method("POST", path), "path", status=404, is_short=path == "seg")
        for path in (
            "seg",
            "seg/predict/x",
            "nothing",
            "static/../../etc/passwd",
            "%ff%fe",
            "a" * 4000,
        )
    ],
    refused("a path with NUL", _method("POST", "seg%2Fpredict%00"), "malformed"),
    refused("an address of 100 kB", _method("POST", "a" * 100_000), "address", status=414),
    refused("a body in chunks", _chunked, "timepoint", "99", is_short=True),
    refused(
        "chunks of no size", lines("POST", "seg/train", JSON, CHUNKS, content=b"xyz\r\n{}\r\n0\r\n\r\n"), "malformed"
    ),
    refused("no length and no chunks", lines("POST", "seg/train", JSON, content=b"{}"), "JSON", "empty"),
    refused("a length that is no number", lines("POST", "seg/train", JSON, _length("two"), content=b"{}"), "malformed"),
    refused("a negative length", lines("POST", "seg/train", JSON, _length("-2"), content=b"{}"), "malformed"),
    refused("two lengths", lines("POST", "seg/train", JSON, _length("2"), _length("3"), content=b"{}"), "malformed"),
    refused("a length too short", lines("POST", "state/process", JSON, _length("5"), content=b'{"state": 0}'), "JSON"),
    refused("no host", lambda g: raw(g, b"POST /seg/train HTTP/1.1\r\nConnection: close\r\n\r\n"), "malformed"),
    refused("a header of 100 kB", lines("POST", "params", b"X: " + b"a" * 100_000 + b"\r\n"), "malformed"),
    refused("no HTTP at all", lambda g: raw(g, b"hello\r\n\r\n"), "malformed"),
]
