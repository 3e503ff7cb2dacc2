"""Uploads out of order, without their parts, and under names that no movie has."""

from typing import Any

import requests

from faults.cases import Case
from faults.ground import Ground
from faults.inputs.asking import Ask, refused

PATH = "upload/image"
PIECE = {"file": ("x.h5", b"\x89HDF\r\n\x1a\n" + bytes(1000))}


def form(action: str | None, files: Any = None, **fields: Any) -> Ask:
    """Send a step of an upload; fields that are None are left out."""
    named = {"dataset_name": "ground/volume", "filename": "other.h5", "action": action, **fields}
    data = {name: value for name, value in named.items() if value is not None}
    return lambda ground: _send(ground, data, files)


def _send(ground: Ground, data: dict[str, Any], files: Any) -> requests.Response:
    try:
        return ground.send("POST", PATH, data=data, files=files, headers={"Content-Type": None})
    finally:
        # What came of it is dropped, as far as it has a name.
        ground.send("POST", PATH, data={**data, "action": "cancel"}, headers={"Content-Type": None})


def _twice(ground: Ground) -> requests.Response:
    return _send(
        ground,
        {"dataset_name": "ground/volume", "filename": "other.h5", "action": "init"},
        [("file", PIECE["file"])] * 2,
    )


def _after_a_failure(ground: Ground) -> requests.Response:
    """Begin without a part, then go on as the client does, whatever it was answered."""
    names = {"dataset_name": "ground/volume", "filename": "volume.h5"}
    for action, files in (("init", None), ("append", PIECE)):
        ground.send("POST", PATH, data={**names, "action": action}, files=files, headers={"Content-Type": None})
    return _send(ground, {**names, "action": "complete"}, None)


def _multipart(content: bytes, kind: str = "multipart/form-data; boundary=xyz", path: str = PATH) -> Ask:
    return lambda ground: ground.send("POST", path, data=content, headers={"Content-Type": kind})


NAMES = {
    "../volume.h5": "plain name",
    "a/b.h5": "plain name",
    "/etc/passwd.h5": "plain name",
    "a\\b.h5": "backslash",
    "C:b.h5": "drive",
    "movie.tif": ".h5",
    "movie": ".h5",
    ".h5": "plain name",
    ".conversion.h5": "plain name",
    "a\x00.h5": "control characters",
    "a\r\n.h5": "control characters",
    "x" * 300 + ".h5": "255",
    "": "at least 1 character",
    "x" * 2000: "1000",
}
DATASETS = {
    "../outside": "'..'",
    "/etc": "absolute",
    ".uploads": "dot",
    ".uploads/ab": "dot",
    "ground/volume/imgs.zarr": ".zarr",
    "ground/volume/volume.h5": "volume.h5",
    "ground/volume/.conversion": "dot",
    "a\x00b": "control characters",
}
HEAD = b'--xyz\r\nContent-Disposition: form-data; name="action"\r\n\r\ninit\r\n'

CASES: list[Case] = [
    refused("upload: append before init", form("append", PIECE), "not begun", "beginning", is_short=True),
    refused("upload: complete before init", form("complete"), "not begun", "beginning", is_short=True),
    refused("upload: init without the part", form("init"), "part `file`", is_short=True),
    refused("upload: init with the part twice", _twice, "one part `file`", "2"),
    refused("upload: complete after a failed init", _after_a_failure, "given up", "beginning"),
    refused("upload: an unknown action", form("finish"), "action", "finish", "complete"),
    refused("upload: no action", form(None), "action", "required"),
    refused("upload: no dataset", form("init", PIECE, dataset_name=None), "dataset_name", "required"),
    refused("upload: no filename", form("init", PIECE, filename=None), "filename", "required"),
    *[
        refused(
            f"upload: filename is {name[:40]!r} ({len(name)} characters)",
            form("init", PIECE, filename=name),
            word,
            is_short=".." in name,
        )
        for name, word in NAMES.items()
    ],
    *[
        refused(f"upload: dataset_name is {name!r}", form("init", PIECE, dataset_name=name), word)
        for name, word in DATASETS.items()
    ],
    refused("upload: JSON", lambda g: g.post(PATH, {"action": "init"}), "expected a form", "application/json"),
    refused("upload: no boundary", _multipart(HEAD + b"--xyz--\r\n", "multipart/form-data"), "boundary"),
    refused(
        "upload: another boundary", _multipart(HEAD + b"--xyz--\r\n", "multipart/form-data; boundary=abc"), "boundary"
    ),
    refused("upload: cut off within a part", _multipart(HEAD[:-20]), "cut off"),
    refused("upload: parts without names", _multipart(b"--xyz\r\n\r\ninit\r\n--xyz--\r\n"), "boundary"),
    refused("upload: an action of 1 MB", form("x" * 1_000_000), "action"),
    refused("upload: 2,000 parts", form("init", [(f"f{i}", ("a", b"1")) for i in range(2000)]), "parts", status=413),
    refused(
        "seg/reset: multipart without `data`", _multipart(HEAD + b"--xyz--\r\n", path="seg/reset"), "`data`", "`file`"
    ),
    refused(
        "seg/reset: multipart without `file`",
        lambda g: g.send("POST", "seg/reset", files={"data": (None, "{}")}),
        "`data`",
        "`file`",
        is_short=True,
    ),
    refused(
        "seg/reset: `data` is no JSON",
        lambda g: g.send("POST", "seg/reset", data={"data": "{"}, files={"file": b"x"}),
        "JSON",
    ),
    refused(
        "flow/reset: two models",
        lambda g: g.send("POST", "flow/reset", data={"data": "{}"}, files=[("file", b"x"), ("file", b"y")]),
        "one part `file`",
    ),
    refused(
        "flow/reset: another boundary", _multipart(HEAD, "multipart/form-data; boundary=q", "flow/reset"), "`data`"
    ),
]
