import shutil
from typing import Any

import numpy as np
import pytest
import redis
from flask.testing import FlaskClient

from elephant.dataset import Dataset
from elephant.dataset.summary import image_version
from elephant.types import DetectedSpot, VoxelSize
from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.progress import show_found
from elephant_server.jobs.records import MOST_NUCLEI
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.schemas.detection import SegPredictBody

EDGES = VoxelSize(2.0, 0.5, 0.5)
SPOT = DetectedSpot(np.array([4.0, 5.0, 6.0]), np.diag([16.0, 4.0, 1.0]), 0.75)


@pytest.fixture
def feed_publisher(redis_url: str) -> FeedPublisher:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return FeedPublisher(ActivityFeed(RedisStore(redis_url)))


def body(**changes: Any) -> SegPredictBody:
    scales = EDGES.zyx[::-1]
    return SegPredictBody(dataset_name="user/movie", model_name="m.pth", timepoint=2, scales=scales, **changes)


def show(feed_publisher: FeedPublisher, dataset: Dataset, job_id: str = "one", n: int = 1, **changes: Any) -> None:
    show_found(feed_publisher, job_id, body(**changes), image_version(dataset.folder), [SPOT] * n)
    assert feed_publisher.flush(10)


def results(page: FlaskClient) -> list[dict[str, Any]]:
    return list(page.get("/dashboard/api/results").json or [])


def test_what_was_found_can_be_looked_at_though_no_probabilities_are_kept(
    page: FlaskClient, feed_publisher: FeedPublisher, dataset: Dataset
) -> None:
    assert results(page) == []
    show(feed_publisher, dataset)
    (told,) = results(page)
    about = {name: told[name] for name in ("id", "dataset", "timepoint", "model", "n_found", "is_kept", "is_current")}
    assert about == {
        "id": "one",
        "dataset": "user/movie",
        "timepoint": 2,
        "model": "m.pth",
        "n_found": 1,
        "is_kept": False,
        "is_current": True,
    }
    found = page.get("/dashboard/api/result", query_string={"id": "one"}).json
    assert found == {
        "n_found": 1,
        "spots": [{"pos": [2.0, 10.0, 12.0], "covariance": [4.0, 0, 0, 0, 16.0, 0, 0, 0, 4.0], "quality": 0.75}],
    }
    assert (page.get("/dashboard/api/status").json or {})["latest_result"] == "one"


def test_a_prediction_that_found_nothing_says_so(
    page: FlaskClient, feed_publisher: FeedPublisher, dataset: Dataset
) -> None:
    show(feed_publisher, dataset, n=0, crop_box=(2, 1, 0, 5, 4, 3))
    assert results(page)[0]["box"] == [0, 1, 2, 3, 4, 5]
    assert page.get("/dashboard/api/result", query_string={"id": "one"}).json == {"n_found": 0, "spots": []}


def test_of_very_many_nuclei_the_best_are_kept_and_all_are_counted(
    page: FlaskClient, feed_publisher: FeedPublisher, dataset: Dataset
) -> None:
    show(feed_publisher, dataset, n=MOST_NUCLEI + 3)
    found = page.get("/dashboard/api/result", query_string={"id": "one"}).json or {}
    assert (found["n_found"], len(found["spots"])) == (MOST_NUCLEI + 3, MOST_NUCLEI)


def test_a_result_is_never_shown_over_another_image(
    page: FlaskClient, feed_publisher: FeedPublisher, dataset: Dataset
) -> None:
    show(feed_publisher, dataset)
    shutil.rmtree(dataset.folder)
    assert results(page)[0]["is_current"] is False
    answer = page.get("/dashboard/api/result", query_string={"id": "one"})
    assert answer.status_code == 404
    assert "has changed" in (answer.json or {})["error"]


def test_a_result_that_was_let_go_says_what_to_do(page: FlaskClient, redis_url: str) -> None:
    del redis_url
    answer = page.get("/dashboard/api/result", query_string={"id": "none"})
    assert answer.status_code == 404
    assert "predict again" in (answer.json or {})["error"]
