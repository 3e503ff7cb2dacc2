"""A client that has just been installed, and one whose user moves a setting to an end of its range."""

import json
import math
from typing import Any

import pytest

from app.schemas.requests import core_of
from client.defaults import KINDS, body, path_of, ranges, texts
from client.wire import written
from elephant.config import n_keep_axials
from elephant.errors import InvalidInputError
from elephant.types import VoxelSize
from elephant_server.api.parsing import parse
from elephant_server.schemas.common import Body
from elephant_server.schemas.dataset import CtcBody, DatasetCheckBody, DatasetGenerateBody, ModelDownloadBody
from elephant_server.schemas.detection import SegPredictBody, SegResetBody, SegTrainBody, SegUpdateBody
from elephant_server.schemas.flow import FlowPredictBody, FlowResetBody, FlowTrainBody, FlowUpdateBody
from elephant_server.schemas.state import ParamsBody, ProcessBody

MODELS: dict[str, type[Body]] = {
    "dataset/check": DatasetCheckBody,
    "dataset/generate": DatasetGenerateBody,
    "state/process": ProcessBody,
    "params": ParamsBody,
    "seg/predict": SegPredictBody,
    "seg/train": SegTrainBody,
    "seg/update": SegUpdateBody,
    "seg/reset": SegResetBody,
    "flow/predict": FlowPredictBody,
    "flow/train": FlowTrainBody,
    "flow/update": FlowUpdateBody,
    "flow/reset": FlowResetBody,
    "download/model": ModelDownloadBody,
    "download/ctc": CtcBody,
}
LINES = [(kind, name) for kind in KINDS for name in texts(kind)]
# What no nucleus, no crop or no step can have. All other ends are valid.
REFUSED_AT_0 = {
    "batch_size": "at least 1",
    "n_crops": "at least 1",
    "c_ratio": "at least 0.001",
    "r_max": "got",
    "max_displacement": "got",
}
HAVE_NO_CROPS = ("seg/reset", "params")  # there n_crops 0 means something
LATER = ("is_3d", "input_size", "batch_size", "use_memmap", "aug_contrast", "class_weights", "false_weight", "debug")
NOT_SENT = {"rescale", "time_range"}  # they show in other fields: see below


def test_the_settings_are_those_of_the_requests() -> None:
    """The fixtures agree with each other, so that a range is known for each setting that is sent."""
    for kind, name in LINES:
        sent = json.loads(texts(kind)[name])
        defaults = {key: limits["default"] for key, limits in ranges().items() if key in sent}
        assert {key: sent[key] for key in defaults} == defaults
    sent = {key for kind, name in LINES for key in json.loads(texts(kind)[name])}
    assert set(ranges()) - NOT_SENT <= sent


@pytest.mark.parametrize(("kind", "name"), LINES)
def test_every_request_is_read_as_it_is_sent(kind: str, name: str) -> None:
    text = texts(kind)[name]
    assert written(json.loads(text)) == text
    assert core_of(parse(MODELS[path_of(name)], text))


@pytest.mark.parametrize(("kind", "name"), LINES)
def test_an_older_client_sends_less(kind: str, name: str) -> None:
    """Clients up to 0.3 do not say whether there are volumes, nor how tiles are run: all of it has defaults."""
    sent = body(name, is_3d=kind == "3d")
    less = {key: value for key, value in sent.items() if key not in LATER}
    if path_of(name) == "seg/update":
        less.pop("is_livemode", None)
    assert core_of(parse(MODELS[path_of(name)], written(less)))


def _vectors(value: float, default: list[float]) -> list[list[float]]:
    alone = [[value if i == axis else d for i, d in enumerate(default)] for axis in range(3)]
    return [*alone, [value] * 3]


def _ends() -> list[tuple[str, str, str, Any]]:
    """Return every end of every range in every request that has the setting; of vectors, on each axis and on all."""
    found: list[tuple[str, str, str, Any]] = []
    for kind, name in LINES:
        for key in body(name, is_3d=kind == "3d").keys() & ranges().keys():
            limits = ranges()[key]
            for value in (limits["min"], limits["max"]):
                is_vector = isinstance(limits["default"], list)
                values = _vectors(value, limits["default"]) if is_vector else [value]
                found += [(kind, name, key, changed) for changed in values]
    return sorted(found, key=str)


def expected_refusal(name: str, key: str, value: Any) -> str:
    """Return words of the refusal of a setting, or nothing where it is valid."""
    if key == "class_weights" and not any(value):
        return "above 0"  # a mean that is weighted by nothing
    if value == 0 and key in REFUSED_AT_0 and not (key == "n_crops" and path_of(name) in HAVE_NO_CROPS):
        return REFUSED_AT_0[key]
    return ""


@pytest.mark.parametrize(("kind", "name", "key", "value"), _ends())
def test_each_end_of_each_range_is_valid_or_refused(kind: str, name: str, key: str, value: Any) -> None:
    text = written({**body(name, is_3d=kind == "3d"), key: value})
    words = expected_refusal(name, key, value)
    if words:
        with pytest.raises(InvalidInputError, match=f"{key}.*{words}"):
            parse(MODELS[path_of(name)], text)
    else:
        assert core_of(parse(MODELS[path_of(name)], text))


def derived_keep_axials(anisotropy: float) -> int:
    """Return what the client derives from the anisotropy of rescaled voxels, by the words of the protocol."""
    if anisotropy < 2:
        return -1 if anisotropy < 0.75 else 0
    nearest = min(range(32), key=lambda exponent: (abs(2.0**exponent - anisotropy), -exponent))
    return nearest if math.isfinite(anisotropy) else 31


@pytest.mark.parametrize(
    "anisotropy", [0.01, 0.7499, 0.75, 1.0, 1.99, 2.0, 2.9, 3.0, 6.25, 12.0, 23.9, 48.0, 625.0, 2.0**40]
)
def test_what_is_derived_where_nothing_is_sent_is_what_the_client_derives(anisotropy: float) -> None:
    assert n_keep_axials(VoxelSize(anisotropy, 1.0, 1.0), 3) == derived_keep_axials(anisotropy)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("end", ["min", "max"])
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in LINES if "input_size" in texts(kind)[name]])
def test_rescaling_shows_in_the_size_and_the_poolings(kind: str, name: str, end: str, axis: int) -> None:
    sent = body(name, is_3d=kind == "3d")
    factor = [float(ranges()["rescale"][end] if i == axis else 1) for i in range(3)]
    sent["input_size"] = [round(n * f) for n, f in zip(sent["input_size"], factor, strict=True)]
    x, _, z = (edge / f if f else math.inf for edge, f in zip(sent["scales"], factor, strict=True))
    sent["n_keep_axials"] = derived_keep_axials(z / x)
    is_counted = axis < 2 or kind == "3d"
    if is_counted and not all(factor):
        with pytest.raises(InvalidInputError, match=r"input_size: .*at least 1"):
            parse(MODELS[path_of(name)], written(sent))
        return
    params = core_of(parse(MODELS[path_of(name)], written(sent)))["params"]
    image = params.prediction.image if hasattr(params, "prediction") else params.image
    n_dims = 3 if kind == "3d" else 2
    assert image.input_size == tuple(reversed(sent["input_size"][:n_dims]))


@pytest.mark.parametrize("end", ["min", "max"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_range_of_time_shows_in_an_export(kind: str, end: str) -> None:
    sent = body("download/ctc", is_3d=kind == "3d")
    last = sent["t_end"]
    sent["t_start"] = max(0, last + 1 - ranges()["time_range"][end])
    assert core_of(parse(CtcBody, written(sent)))["params"].t_end == last


NAMES = ["a", "user/a b.pth", "ü漢字", "x" * 1000, "", " ", "..", "../../etc", "/", "a\x00b", "CON", "." * 50]


@pytest.mark.parametrize("text", NAMES)
@pytest.mark.parametrize("key", ["dataset_name", "model_name", "log_dir"])
def test_names_are_any_text(key: str, text: str) -> None:
    """Whether a name stays inside its folder is judged where files are opened; of none nothing can be opened."""
    for kind, name in LINES:
        sent = body(name, is_3d=kind == "3d")
        if key not in sent:
            continue
        changed = written({**sent, key: text})
        if text or key == "log_dir":
            assert core_of(parse(MODELS[path_of(name)], changed))
        else:
            with pytest.raises(InvalidInputError, match=key):
                parse(MODELS[path_of(name)], changed)
