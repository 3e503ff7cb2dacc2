"""Names that lead out of their root, to what is not theirs, or nowhere."""

import json
from pathlib import Path

import requests

from faults.cases import Case
from faults.ground import Ground
from faults.inputs.asking import Ask, changed, refused

# By what the error calls them.
OUTSIDE = {
    "../../etc": "'..'",
    "a/../../../etc/passwd": "'..'",
    "..": "'..'",
    "/etc/passwd": "absolute",
    "//server/share": "absolute",
    "\\\\server\\share": "backslash",
    "..\\..\\etc": "dot",
    "C:/Windows/system32": "drive",
    "c:model": "drive",
    "a\x00b": "control characters",
    "a\nX-Injected: 1": "control characters",
    "a\u2028b": "control characters",
    "a\u202egpj.exe": "control characters",
    "": "at least 1 character",
    "   ": "is empty",
    ".": "folder",
    "./": "folder",
    ".uploads/x": "begins with a dot",
    "a/.generations/b": "begins with a dot",
    ".hidden": "begins with a dot",
    "a" * 256: "255 bytes",
    "ü" * 128: "255 bytes",
    "a/" * 500 + "b": "1000",
    "x" * 50_000: "1000",
}
NAMED = {
    "dataset_name": ("dataset/check", "dataset/generate", "seg/predict"),
    "model_name": ("seg/train", "flow/train", "download/model"),
    "log_dir": ("seg/train",),
}
ALIKE = (
    ("dataset/check", "dataset_name"),
    ("dataset/generate", "dataset_name"),
    ("seg/predict", "dataset_name"),
    ("seg/predict", "model_name"),
    ("seg/train", "dataset_name"),
    ("seg/train", "log_dir"),
    ("seg/update", "dataset_name"),
    ("seg/reset", "dataset_name"),
    ("seg/reset", "model_name"),
    ("flow/predict", "dataset_name"),
    ("flow/predict", "model_name"),
    ("flow/train", "dataset_name"),
    ("flow/train", "log_dir"),
    ("flow/update", "dataset_name"),
    ("flow/reset", "model_name"),
    ("download/model", "model_name"),
    ("download/ctc", "dataset_name"),
)


def _surrogate(path: str, key: str) -> Ask:
    """Send half a character, which JSON can write and no file name can hold."""

    def ask(ground: Ground) -> requests.Response:
        text = json.dumps({**ground.bodies()[path], key: "@"}).replace('"@"', '"a\\ud800b"')
        return ground.send("POST", path, data=text)

    return ask


def _through_a_link(path: str, key: str, top: str, target: str) -> Ask:
    """Send a name that is a symbolic link out of its root."""

    def ask(ground: Ground) -> requests.Response:
        link = ground.workspace / top / "leaving"
        link.symlink_to(target)
        try:
            return ground.post(path, {**ground.bodies()[path], key: "leaving/x"})
        finally:
            link.unlink()

    return ask


def _in_a_circle(ground: Ground) -> requests.Response:
    link: Path = ground.workspace / "models" / "round"
    link.symlink_to(link)
    try:
        return ground.post("seg/train", {**ground.bodies()["seg/train"], "model_name": "round"})
    finally:
        link.unlink()


CASES: list[Case] = [
    *[
        changed("dataset/check", {"dataset_name": name}, word, is_short=name.startswith(("..", "/etc", "a\x00")))
        for name, word in OUTSIDE.items()
    ],
    *[changed("seg/train", {"model_name": name}, word) for name, word in OUTSIDE.items() if name],
    *[
        changed(path, {key: "../../outside"}, "'..'", "../../outside", name=f"{key} leaves its root")
        for path, key in ALIKE
    ],
    *[refused(f"{path}: {key} holds half a character", _surrogate(path, key), "JSON") for path, key in ALIKE[:2]],
    *[
        refused(f"{path}: {key} goes through a link that leaves", _through_a_link(path, key, top, "/etc"), "leads out")
        for path, key, top in (
            ("dataset/check", "dataset_name", "datasets"),
            ("dataset/generate", "dataset_name", "datasets"),
            ("seg/update", "dataset_name", "datasets"),
            ("seg/reset", "model_name", "models"),
            ("download/model", "model_name", "models"),
            ("flow/train", "log_dir", "logs"),
        )
    ],
    refused("seg/train: model_name is a link to itself", _in_a_circle, "round", "choose another"),
    # Names of what is there, but something else
    changed(
        "seg/train",
        {"model_name": "ground/volume"},
        "folder",
        "choose another",
        name="model_name is a folder",
        is_short=True,
    ),
    changed("flow/train", {"model_name": "ground/volume"}, "folder", "choose another", name="model_name is a folder"),
    changed("flow/reset", {"model_name": "ground/volume"}, "folder", "choose another", name="model_name is a folder"),
    changed("seg/predict", {"model_name": "ground/volume"}, "folder", "choose another", name="model_name is a folder"),
    changed(
        "seg/reset",
        {"model_name": "ground/volume/flow.pth/x"},
        "flow.pth",
        "choose another",
        name="a model within a model",
    ),
    changed(
        "flow/predict",
        {"model_name": "ground/volume/flow.pth/x"},
        "flow.pth",
        "choose another",
        name="a model within a model",
    ),
    changed("seg/reset", {"model_name": "pretrained/versatile3d.pth"}, "pretrained", "choose another"),
    changed("flow/train", {"model_name": "pretrained/x.pth"}, "pretrained", "choose another"),
    changed("seg/predict", {"dataset_name": "ground/volume/volume.h5"}, "volume.h5", status=404),
    changed("dataset/check", {"dataset_name": 7}, "dataset_name", "string"),
]
