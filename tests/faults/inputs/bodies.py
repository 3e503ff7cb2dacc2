"""Requests whose body is no JSON object, or not sent as one."""

import gzip
import json

import requests

from faults.cases import Case
from faults.ground import Ground
from faults.inputs.asking import Ask, refused, with_changes

EVERY = (
    "state/process",
    "params",
    "dataset/check",
    "dataset/generate",
    "seg/predict",
    "seg/train",
    "seg/update",
    "seg/reset",
    "flow/predict",
    "flow/train",
    "flow/update",
    "flow/reset",
    "download/model",
    "download/ctc",
)
DEEP = 100_000


def body(path: str, content: bytes, **headers: str | None) -> Ask:
    """Send bytes as a request's body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda ground: ground.send("POST", path, data=content, headers=named)


def text_of(ground: Ground, path: str) -> str:
    """Return a request's body that would succeed, as JSON."""
    return json.dumps(ground.bodies()[path])


def _encoded(codec: str) -> Ask:
    return lambda ground: ground.send("POST", "seg/predict", data=text_of(ground, "seg/predict").encode(codec))


def _compressed(ground: Ground) -> requests.Response:
    content = gzip.compress(text_of(ground, "seg/train").encode())
    return ground.send("POST", "seg/train", data=content, headers={"Content-Encoding": "gzip"})


def _repeated(ground: Ground) -> requests.Response:
    """The last value of a repeated key counts: the first one would succeed."""
    return ground.send("POST", "seg/predict", data=text_of(ground, "seg/predict")[:-1] + ', "timepoint": 99}')


def _cut(ground: Ground) -> requests.Response:
    return ground.send("POST", "seg/train", data=text_of(ground, "seg/train")[:-40])


def _nested_value(ground: Ground) -> requests.Response:
    changed = with_changes(ground.bodies()["seg/update"], {"anything": "@"})
    return ground.send("POST", "seg/update", data=json.dumps(changed).replace('"@"', "[" * DEEP + "]" * DEEP))


def _huge(ground: Ground) -> requests.Response:
    changed = with_changes(ground.bodies()["seg/predict"], {"timepoint": "9" * (40 << 20)})
    return ground.send("POST", "seg/predict", data=json.dumps(changed))


def _zeros(ground: Ground) -> requests.Response:
    """5 MB of what are no spots: an error for each would take gigabytes."""
    changed = with_changes(ground.bodies()["seg/update"], {"spots": "@"})
    zeros = "[" + "0," * 2_500_000 + "0]"
    return ground.send("POST", "seg/update", data=json.dumps(changed).replace('"@"', zeros))


def _too_many_spots(ground: Ground) -> requests.Response:
    changed = with_changes(ground.bodies()["seg/update"], {"spots": "@"})
    spots = "[" + "{}," * 1_100_000 + "{}]"
    return ground.send("POST", "seg/update", data=json.dumps(changed).replace('"@"', spots))


def _many_spots(ground: Ground) -> requests.Response:
    (spot, *_) = ground.bodies()["seg/update"]["spots"]
    spots = [spot] * 10_000 + [{**spot, "tag": "neither"}]
    return ground.post("seg/update", {**ground.bodies()["seg/update"], "spots": spots})


CASES: list[Case] = [
    *[
        refused(f"{path}: a list instead of an object", body(path, b"[]"), "object", "[]", is_short=path == "seg/train")
        for path in EVERY
    ],
    *[
        refused(f"{path}: no JSON at all", body(path, b"\x00\x01 no JSON"), "JSON", is_short=path == "params")
        for path in EVERY
    ],
    refused("seg/train: an empty body", body("seg/train", b""), "JSON", "empty", is_short=True),
    refused("seg/train: a body that is cut off", _cut, "JSON", "cut off"),
    refused("state/process: null", body("state/process", b"null"), "object"),
    refused("params: a number", body("params", b"7"), "object", "7"),
    refused("params: a string", body("params", b'"lr"'), "object", "lr"),
    refused("seg/predict: two objects", body("seg/predict", b"{}{}"), "JSON"),
    refused("seg/predict: a comma too many", body("seg/predict", b'{"timepoint": 0,}'), "JSON"),
    refused("seg/predict: comments", body("seg/predict", b'{"timepoint": 0} // first'), "JSON"),
    refused("seg/predict: 100,000 brackets", body("seg/predict", b"[" * DEEP), "JSON", "nested", is_short=True),
    refused("seg/predict: 100,000 objects", body("seg/predict", b'{"a":' * DEEP), "JSON", "nested"),
    refused("seg/update: 100,000 brackets at an unknown key", _nested_value, "JSON", "nested"),
    refused("seg/predict: a timepoint of 40 MiB of text", _huge, "timepoint", "integer"),
    refused("seg/update: 10,001 spots, the last with an unknown tag", _many_spots, "spots.10000.tag", "neither"),
    refused("seg/update: 5 MB of zeros in place of spots", _zeros, "spots.0", "object", is_short=True),
    refused("seg/update: 1,100,001 spots", _too_many_spots, "at most 1,000,000 spots", "several requests"),
    refused("seg/predict: UTF-16", _encoded("utf-16"), "JSON", "UTF-8", is_short=True),
    refused("seg/predict: UTF-32", _encoded("utf-32"), "JSON", "UTF-8"),
    refused("seg/predict: a byte order mark", _encoded("utf-8-sig"), "JSON", "UTF-8"),
    refused(
        "download/model: invalid UTF-8", body("download/model", b'{"model_name": "a\xff\xfe.pth"}'), "JSON", "UTF-8"
    ),
    refused("seg/train: a compressed body", _compressed, "JSON", "gzip", is_short=True),
    refused("seg/predict: a repeated key", _repeated, "timepoint", "99"),
    *[
        refused(f"{path}: sent as {kind}{more}", body(path, b"{}", Content_Type=kind + more), "application/json", kind)
        for path, kind, more in (
            ("state/process", "text/plain", ""),
            ("seg/predict", "application/x-www-form-urlencoded", ""),
            ("seg/reset", "text/json", ""),
            ("dataset/check", "application/octet-stream", ""),
            ("flow/update", "multipart/form-data", "; boundary=x"),
        )
    ],
    refused(
        "seg/train: no content type", body("seg/train", b"{}", Content_Type=None), "application/json", is_short=True
    ),
]
