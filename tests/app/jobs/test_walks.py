"""What is likely to be asked for next, from what was asked for."""

import json
import uuid
import warnings
from itertools import pairwise

import pytest

from elephant_server.jobs.store_memory import MemoryStore, Store
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.jobs.walks import MOST_REMEMBERED, Request, Walks, body_of, next_steps, settings_of
from elephant_server.schemas.detection import SegPredictBody
from elephant_server.schemas.flow import FlowPredictBody

ABOUT = {"dataset_name": "movie", "model_name": "m.pth", "scales": (0.1, 0.2, 0.3)}
SPOT = {"id": 2**60, "pos": [1, 2, 3], "covariance": [4, 0, 0, 0, 4, 0, 0, 0, 4]}
SEG, FLOW = "elephant.seg_predict", "elephant.flow_predict"


def seg(t: int, person: str = "", **changes: object) -> Request:
    return Request.of(SEG, person, SegPredictBody(**{**ABOUT, "timepoint": t, **changes}))


def flow(t: int, n_spots: int = 1, person: str = "") -> Request:
    body = {**ABOUT, "model_name": "flow.pth", "timepoint": t, "spots": [SPOT] * n_spots}
    return Request.of(FLOW, person, FlowPredictBody.model_validate_json(json.dumps(body)))


def steps(*requests: Request, n: int = 2) -> list[tuple[str, int]]:
    return [(step.task, step.timepoint) for step in next_steps(requests, n)]


def test_a_walk_goes_on_in_its_direction() -> None:
    assert steps(seg(4), seg(5)) == [(SEG, 6), (SEG, 7)]
    assert steps(seg(4), seg(3)) == [(SEG, 2), (SEG, 1)]
    assert steps(seg(2), seg(1), n=5) == [(SEG, 0)]


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [seg(4)],
        [seg(4), seg(4)],
        [seg(4), seg(6)],
        [seg(4), seg(5, r_min=2.0)],
        [seg(4), seg(5, model_name="other.pth")],
        [seg(4, "Ada"), seg(5, "Ben")],
        [seg(4), flow(5)],
    ],
    ids=["nothing", "one", "the same", "a jump", "another setting", "another model", "another person", "another task"],
)
def test_no_walk(requests: list[Request]) -> None:
    assert not next_steps(requests, 4)


def test_each_setting_ends_a_walk() -> None:
    plain = seg(5)
    for name, field in SegPredictBody.model_fields.items():
        if name == "timepoint":
            continue
        body = SegPredictBody(**{**ABOUT, "timepoint": 5}).model_copy(update={name: "another"})
        with warnings.catch_warnings(action="ignore"):  # it is not the type of the field
            other = Request.of(SEG, "", body)
        assert not other.is_like(plain), field


def test_nuclei_and_links_in_turns_are_two_walks() -> None:
    walk = [seg(9), flow(9), seg(8), flow(8, n_spots=3)]
    assert steps(*walk) == [(SEG, 7), (FLOW, 7), (SEG, 6), (FLOW, 6)]
    assert steps(*walk, seg(7)) == [(FLOW, 7), (SEG, 6), (FLOW, 6), (SEG, 5)]
    assert steps(*walk, seg(3)) == [(FLOW, 7), (FLOW, 6)]


def test_a_body_asks_for_a_step_with_the_same_settings() -> None:
    body = SegPredictBody(**ABOUT, timepoint=4, crop_box=(0, 0, 0, 5, 6, 7), p_thresh=0.1 + 0.2, patch=(8, 8, 8))
    (step,) = next_steps([Request.of(SEG, "", body.model_copy(update={"timepoint": 5})), Request.of(SEG, "", body)], 1)
    assert body_of(SegPredictBody, step) == body.model_copy(update={"timepoint": 3})
    (step,) = next_steps([flow(2), flow(3, n_spots=7)], 1)
    asked = body_of(FlowPredictBody, step)
    assert (asked.timepoint, asked.spots, settings_of(asked)) == (4, (), step.settings)


@pytest.mark.parametrize("kind", ["memory", "Redis"])
def test_the_last_requests_are_shared(kind: str, request: pytest.FixtureRequest) -> None:
    store: Store = MemoryStore()
    if kind == "Redis":
        store = RedisStore(request.getfixturevalue("redis_url"), prefix=f"test-{uuid.uuid4().hex}:")
    for t in range(MOST_REMEMBERED + 3):
        Walks(store).add(seg(t))
    found = Walks(store).requests()
    assert len(found) == MOST_REMEMBERED
    assert all(b.timepoint == a.timepoint + 1 for a, b in pairwise(found))
    assert found[-1] == seg(MOST_REMEMBERED + 2)
