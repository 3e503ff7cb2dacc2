"""What a prediction found, compared with a file of true nuclei."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from flask.testing import FlaskClient

from elephant.dataset import Dataset
from elephant.dataset.summary import image_version
from elephant.types import DetectedSpot
from elephant_server.dashboard import truth
from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.progress import show_found
from elephant_server.jobs.records import MOST_NUCLEI
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.schemas.detection import SegPredictBody

HEAD = "t,x,y,z,radius\n"
# Of the dataset's 6 x 20 x 30 voxels of 2 x 0.5 x 0.5; at timepoint 2 the first is found, the second is missed.
TRUTH = HEAD + "2,6,5,4,1\n2,12,5,4,1\n1,3,3,4,1\n"
FOUND = [DetectedSpot.ball((4.0, 5.0, 6.5), 1.0, 0.75), DetectedSpot.ball((8.0, 8.0, 2.0), 1.0, 0.5)]


@pytest.fixture
def feed_publisher(redis_url: str) -> FeedPublisher:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return FeedPublisher(ActivityFeed(RedisStore(redis_url)))


@pytest.fixture
def result(feed_publisher: FeedPublisher, dataset: Dataset) -> str:
    return show(feed_publisher, dataset, FOUND)


def show(feed_publisher: FeedPublisher, dataset: Dataset, spots: list[DetectedSpot], **changes: Any) -> str:
    names = {"dataset_name": "user/movie", "model_name": "m.pth", "timepoint": 2, "scales": (0.5, 0.5, 2.0)}
    show_found(feed_publisher, "one", SegPredictBody(**names | changes), image_version(dataset.folder), spots)
    assert feed_publisher.flush(10)
    return "one"


def compare(page: FlaskClient, truth: str = "truth.csv", **changes: Any) -> Any:
    query = {"id": "one", "truth": truth, "voxel_size": "0.5,0.5,2"} | changes
    return page.get("/dashboard/api/evaluation", query_string=query)


def test_files_that_may_hold_true_nuclei_are_listed(
    page: FlaskClient, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.csv", "a.tsv", "c.json", "source.json", ".hidden.csv", "notes.md", "movie.h5"):
        (dataset.folder / name).write_text(TRUTH)
    (dataset.folder / "tracks.xml").write_text('<?xml version="1.0"?>\n<TrackMate version="7"></TrackMate>')
    (dataset.folder / "movie.xml").write_text("<SpimData></SpimData>")
    (tmp_path / "secret.csv").write_text(TRUTH)
    (dataset.folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    monkeypatch.setattr(truth, "MOST_BYTES", 1000)
    (dataset.folder / "large.csv").write_text(HEAD * 100)
    answer = page.get("/dashboard/api/truths", query_string={"dataset": "user/movie"})
    assert answer.json == {"names": ["a.tsv", "b.csv", "c.json", "tracks.xml"]}
    assert page.get("/dashboard/api/truths", query_string={"dataset": "none"}).status_code == 404


def test_missed_and_wrong_nuclei_are_told(page: FlaskClient, dataset: Dataset, result: str) -> None:
    del result
    (dataset.folder / "truth.csv").write_text(TRUTH)
    answer = compare(page).json
    assert {name: answer[name] for name in ("n_true", "n_found", "n_matched", "distance")} == {
        "n_true": 2, "n_found": 2, "n_matched": 1, "distance": 1.0,
    }  # fmt: skip
    assert (answer["precision"], answer["recall"], answer["f1"]) == (0.5, 0.5, 0.5)
    (missed,) = answer["missed"]
    assert missed["pos"] == [2.0, 10.0, 24.0]  # in voxels, Z, Y, X
    assert np.array(missed["covariance"]).reshape(3, 3).diagonal().tolist() == [0.25, 4.0, 4.0]
    assert answer["wrong"] == [1]


def test_a_file_that_changes_is_read_again(page: FlaskClient, dataset: Dataset, result: str) -> None:
    del result
    path = dataset.folder / "truth.csv"
    path.write_text(TRUTH)
    assert compare(page).json["n_true"] == 2
    path.write_text(HEAD + "2,6,5,4,1\n")
    assert compare(page).json["n_true"] == 1


def test_only_the_part_that_was_predicted_counts(
    page: FlaskClient, dataset: Dataset, feed_publisher: FeedPublisher
) -> None:
    (dataset.folder / "truth.csv").write_text(TRUTH)
    show(feed_publisher, dataset, FOUND[:1], crop_box=(8, 4, 0, 10, 10, 4))  # X from 8 to 17: without the second
    answer = compare(page).json
    assert (answer["n_true"], answer["f1"], answer["missed"]) == (1, 1.0, [])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (HEAD + "1,6,5,4,1\n", "truth.csv has no nuclei at timepoint 2"),
        ("a,b\n1,2\n", "truth.csv needs a header"),
        (HEAD + "2,6,x,4,1\n", "y: expected a number"),
    ],
)
def test_what_cannot_be_compared_is_said(
    page: FlaskClient, dataset: Dataset, result: str, content: str, expected: str
) -> None:
    del result
    (dataset.folder / "truth.csv").write_text(content)
    answer = compare(page)
    assert answer.status_code == 400
    assert expected in answer.json["error"]


@pytest.mark.parametrize("name", ["none.csv", "../movie/truth.csv", "/etc/passwd", "imgs.zarr", "source.json"])
def test_other_files_are_not_read(page: FlaskClient, dataset: Dataset, result: str, name: str) -> None:
    del result
    (dataset.folder / "truth.csv").write_text(TRUTH)
    (dataset.folder / "source.json").write_text(json.dumps({}))
    answer = compare(page, name)
    assert answer.status_code == 404
    assert "there is no file" in answer.json["error"]


def test_results_that_are_gone_or_not_whole_are_refused(
    page: FlaskClient, dataset: Dataset, feed_publisher: FeedPublisher
) -> None:
    (dataset.folder / "truth.csv").write_text(TRUTH)
    assert compare(page, id="two").status_code == 404
    show(feed_publisher, dataset, FOUND[:1] * (MOST_NUCLEI + 1))
    answer = compare(page)
    assert answer.status_code == 400
    assert f"only the best {MOST_NUCLEI} of {MOST_NUCLEI + 1} nuclei are kept" in answer.json["error"]
    assert compare(page, voxel_size="1,2").status_code == 400
