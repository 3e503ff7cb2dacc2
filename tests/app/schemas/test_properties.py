"""Whatever comes in a body, it is refused with a reason, or becomes something that a worker can do."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.schemas.requests import ELLIPSOID, LINK, SPOT, Sent, bodies_of, client_of, core_of
from client.wire import written
from elephant.config import Params
from elephant.errors import InvalidInputError
from elephant_server.api.parsing import parse
from elephant_server.schemas.common import Body, MovieBody
from elephant_server.schemas.detection import SegPredictBody, SegTrainBody, SegUpdateBody
from elephant_server.schemas.flow import FlowPredictBody, FlowTrainBody, FlowUpdateBody

BODIES = bodies_of(client_of())
FLAT = bodies_of(client_of(is_3d=False))
MOVIES = [model for model in BODIES if issubclass(model, MovieBody)]

NUMBERS = st.integers() | st.sampled_from([2**31, 2**63, -(2**63), 10**400]) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
# What is nearly right finds more than what is not.
NEARLY = st.lists(NUMBERS, min_size=1, max_size=10) | st.lists(st.integers(-3, 10**12), min_size=3, max_size=6)
EDGES = st.floats(1e-3, 1e3)
COUNTS = st.integers(1, 2**31 - 1)
POSITIONS = st.floats(-1e6, 1e6)
ANY_Z = st.integers(-(2**63), 2**63 - 1)


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(item)
    elif isinstance(value, int | float):
        yield value


def sizes_in(value: Any) -> Iterator[int]:
    """Yield every number of voxels in parameters."""
    for key, item in value.items() if isinstance(value, dict) else ():
        if key in ("crop_size", "input_size", "patch", "size") and item is not None:
            yield from item
        yield from sizes_in(item)


def parsed(model: type[Body], text: str | bytes) -> tuple[Body | None, str]:
    """Return a body, or why it is refused."""
    try:
        return parse(model, text), ""
    except InvalidInputError as error:
        return None, str(error)


def is_sound(model: type[Body], text: str | bytes) -> Body | None:
    """Return what a body says, or None where it is refused with a reason; fail at anything else."""
    body, reason = parsed(model, text)
    if body is None:
        assert 10 < len(reason) < 2000
        return None
    dumped = body.model_dump_json()
    assert model.model_validate_json(dumped, extra="forbid") == body
    assert all(math.isfinite(number) for number in numbers_in(json.loads(dumped)))
    core = core_of(body)
    for params in (value.model_dump(mode="json") for value in core.values() if isinstance(value, Params)):
        assert all(size >= 1 for size in sizes_in(params))
        assert all(math.isfinite(number) for number in numbers_in(params))
    return body


@pytest.mark.parametrize("model", BODIES, ids=lambda model: model.__name__)
@given(data=st.data())
def test_any_value_in_any_field_is_sound_or_refused(model: type[Body], data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(model.model_fields)), min_size=1, max_size=3, unique=True))
    changes = {name: data.draw(JSON | NEARLY) for name in names}
    is_sound(model, json.dumps({**data.draw(st.sampled_from([BODIES, FLAT]))[model], **changes}))


@pytest.mark.parametrize("model", [m for m in BODIES if "spots" in m.model_fields], ids=lambda model: model.__name__)
@given(data=st.data())
def test_any_value_in_any_field_of_a_spot_is_sound_or_refused(model: type[Body], data: st.DataObject) -> None:
    body = data.draw(st.sampled_from([BODIES, FLAT]))[model]
    (spot,) = body["spots"]
    names = data.draw(st.lists(st.sampled_from(sorted(spot)), min_size=1, max_size=2, unique=True))
    changed = {name: data.draw(JSON | NEARLY | st.lists(st.floats(), min_size=9, max_size=9)) for name in names}
    is_sound(model, json.dumps({**body, "spots": [spot, {**spot, **changed}]}))


@pytest.mark.parametrize("model", BODIES, ids=lambda model: model.__name__)
@given(value=JSON, content=st.binary(max_size=50), end=st.integers(0, 200))
def test_any_body_is_sound_or_refused(model: type[Body], value: Any, content: bytes, end: int) -> None:
    whole = json.dumps(BODIES[model]).encode()
    for text in (json.dumps(value).encode(), content, whole[:end], whole[:end] + content + whole[end:]):
        is_sound(model, text)


@pytest.mark.parametrize("model", BODIES, ids=lambda model: model.__name__)
@given(data=st.data())
def test_unknown_keys_are_ignored_and_the_last_of_repeated_ones_counts(model: type[Body], data: st.DataObject) -> None:
    body = BODIES[model]
    expected = parse(model, written(body))
    unknown = data.draw(st.dictionaries(st.text().filter(lambda key: key not in model.model_fields), JSON, max_size=3))
    before = data.draw(st.dictionaries(st.sampled_from(sorted(body)), JSON, max_size=3))
    text = "{" + ",".join(json.dumps(part)[1:-1] for part in (unknown, before, body) if part) + "}"
    if "\\ud" not in text:  # half of a character is no JSON to the server, wherever it stands
        assert parse(model, text) == expected


@given(
    edges=st.tuples(EDGES, EDGES, EDGES),
    sizes=st.tuples(COUNTS, COUNTS, COUNTS),
    origin=st.tuples(*[st.integers(0, 2**31)] * 3),
)
def test_vectors_are_turned_around_exactly(
    edges: tuple[float, ...], sizes: tuple[int, ...], origin: tuple[int, ...]
) -> None:
    changes = {"scales": edges, "patch": sizes, "input_size": sizes, "crop_box": [*origin, *sizes]}
    for model in (SegPredictBody, FlowPredictBody):
        params = parse(model, written({**BODIES[model], **changes})).params()
        prediction = params.prediction
        voxel = (params.spots if model is SegPredictBody else params.displacement).voxel_size
        assert voxel.zyx == edges[::-1]
        assert prediction.patch == prediction.image.input_size == prediction.crop_box.size == sizes[::-1]
        assert prediction.crop_box.origin == origin[::-1]
    for model in (SegTrainBody, FlowTrainBody):
        params = parse(model, written({**BODIES[model], "crop_size": sizes, "input_size": sizes})).params()
        assert params.crop_size == params.image.input_size == sizes[::-1]


@given(pos=st.tuples(*[POSITIONS] * 3), moved=st.tuples(*[POSITIONS] * 3), axes=st.tuples(*[st.floats(0.1, 100)] * 3))
def test_spots_are_turned_around_exactly(
    pos: tuple[float, ...], moved: tuple[float, ...], axes: tuple[float, ...]
) -> None:
    x, y, z = axes
    covariance = [x, 0, x / 99, 0, y, 0, x / 99, 0, z + x]
    spot = {"pos": pos, "covariance": covariance}
    for model, sent in ((SegUpdateBody, SPOT), (FlowUpdateBody, LINK), (FlowPredictBody, {**ELLIPSOID, "id": 7})):
        body = {**BODIES[model], "spots": [{**sent, **spot, **({"displacement": moved} if sent is LINK else {})}]}
        core = core_of(parse(model, written(body)))
        (found,) = next(core[name] for name in ("annotations", "asked") if name in core)
        assert found["pos"] == list(pos[::-1])
        assert np.ravel(found["covariance"]).tolist() == covariance[::-1]
        if sent is LINK:
            assert found["displacement"] == list(moved[::-1])


@pytest.mark.parametrize("model", MOVIES, ids=lambda model: model.__name__)
@given(z=ANY_Z, far=st.floats(allow_nan=False, allow_infinity=False))
def test_in_2d_whatever_stands_at_z_is_ignored(model: type[Body], z: int, far: float) -> None:
    flat = FLAT[model]
    changed: Sent = {name: [*flat[name][:2], z] for name in ("patch", "input_size", "crop_size") if name in flat}
    changed |= {name: [*flat[name][:2], far] for name in ("scales", "dim_weights") if name in flat}
    if "crop_box" in flat:
        changed["crop_box"] = [*flat["crop_box"][:2], z, *flat["crop_box"][3:5], z]
    for spot in flat.get("spots", ()):
        covariance = [*spot["covariance"][:2], far, *spot["covariance"][3:5], far, far, far, far]
        changed["spots"] = [{**spot, "covariance": covariance}]
    expected, found = (core_of(parse(model, written({**flat, **more}))) for more in ({}, changed))
    assert found == expected


@pytest.mark.parametrize("model", BODIES, ids=lambda model: model.__name__)
@given(number=st.floats(1e-9, 1.0), whole=st.integers(1, 1000))
def test_numbers_may_be_written_as_java_writes_them(model: type[Body], number: float, whole: int) -> None:
    """A whole double loses its ``.0``, a small one has an exponent: ``1``, ``1.0E-5``."""
    doubles = ("lr", "p_thresh", "false_weight", "auto_bg_thresh", "r_min", "r_max")
    for value in (number, float(whole)):
        body = {**BODIES[model], **{name: value for name in doubles if name in BODIES[model]}}
        texts = (written(body), json.dumps(body))
        found = [parsed(model, text) for text in texts]
        # The value is repeated as it was written.
        assert found[0][0] == found[1][0], texts
        assert found[0][1].split(", got ")[0] == found[1][1].split(", got ")[0], texts


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    for model, key in ((SegPredictBody, "timepoint"), (SegTrainBody, "lr"), (SegUpdateBody, "c_ratio")):
        text = written({**BODIES[model], key: "@"}).replace('"@"', "9" * 5000)
        assert parsed(model, text)[0] is None
        assert "thousands of digits" in parsed(model, text)[1]
