"""Model files and arrays in the workspace that were damaged: nothing is learnt, and no label is written."""

from collections.abc import Callable
from pathlib import Path

import requests

from faults.cases import Case
from faults.ground import Ground
from faults.inputs.asking import Ask, refused


def _damaged(path: str, content: Callable[[bytes], bytes], file: Callable[[Ground], Path]) -> Ask:
    """Send a request while a file holds something else."""

    def ask(ground: Ground) -> requests.Response:
        target = file(ground)
        whole = target.read_bytes()
        try:
            target.write_bytes(content(whole))
            return ground.post(path, ground.bodies()[path])
        finally:
            target.write_bytes(whole)

    return ask


def _model(name: str) -> Callable[[Ground], Path]:
    return lambda ground: ground.workspace / "models" / "ground" / "volume" / name


def _metadata(ground: Ground) -> Path:
    return ground.dataset() / "seg_labels.zarr" / "zarr.json"


def _image(ground: Ground) -> Path:
    return next((ground.dataset() / "imgs.zarr").glob("c.0.*"))


HALVED: Callable[[bytes], bytes] = lambda whole: whole[: len(whole) // 2]  # noqa: E731 - a table of changes
EMPTY: Callable[[bytes], bytes] = lambda _whole: b""  # noqa: E731
TEXT: Callable[[bytes], bytes] = lambda _whole: b"{'no': JSON"  # noqa: E731

CASES: list[Case] = [
    refused(
        "seg/train: its model is cut in half", _damaged("seg/train", HALVED, _model("detection.pth")), "detection.pth"
    ),
    refused(
        "seg/predict: its model is empty", _damaged("seg/predict", EMPTY, _model("detection.pth")), "detection.pth"
    ),
    refused("flow/train: its model is cut in half", _damaged("flow/train", HALVED, _model("flow.pth")), "flow.pth"),
    refused("flow/predict: its model is text", _damaged("flow/predict", TEXT, _model("flow.pth")), "flow.pth"),
    refused("seg/update: the labels' metadata are no JSON", _damaged("seg/update", TEXT, _metadata), "seg_labels.zarr"),
    refused("seg/predict: the image is cut in half", _damaged("seg/predict", HALVED, _image), "imgs.zarr", "damaged"),
]
