import uuid
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import redis

from app.jobs.remote import remote_store
from elephant_server.feed import MOST_KEPT, MOST_LINES, ActivityFeed, FeedPublisher, Line, News
from elephant_server.jobs.records import MOST_BYTES, MOST_NUCLEI, MOST_RESULTS, Nuclei, Result
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.store_redis import RedisStore


@pytest.fixture(params=["redis", "memory", "pipes"])
def feed(request: pytest.FixtureRequest) -> Iterator[ActivityFeed]:
    if request.param == "memory":
        yield ActivityFeed(MemoryStore())
    elif request.param == "pipes":
        with remote_store(MemoryStore()) as store:
            yield ActivityFeed(store)
    else:
        yield ActivityFeed(RedisStore(request.getfixturevalue("redis_url"), prefix=f"test-{uuid.uuid4().hex}:"))


def lines(first: int, n: int) -> News:
    return News([Line(1.0, "INFO", str(i)) for i in range(first, first + n)])


def texts(found: list[Line]) -> list[str]:
    return [line.text for line in found]


def test_the_last_lines_are_kept_and_read_on_from_any_of_them(feed: ActivityFeed) -> None:
    assert feed.lines() == []
    feed.put(lines(0, MOST_LINES))
    feed.put(lines(MOST_LINES, 2))
    found = feed.lines()
    assert texts(found) == [str(i) for i in range(2, MOST_LINES + 2)]
    assert feed.last_id() == found[-1].id
    assert texts(feed.lines(found[-3].id)) == texts(found[-2:])
    assert feed.wait_for_lines(found[-2].id, 1) == found[-1:]
    assert feed.wait_for_lines(found[-1].id, 0.05) == []


def test_ids_are_of_one_form_and_rise(feed: ActivityFeed) -> None:
    feed.put(lines(0, 20))
    ids = [tuple(map(int, line.id.split("-"))) for line in feed.lines()]
    assert ids == sorted(set(ids))
    assert all(len(both) == 2 for both in ids)


def test_what_is_known_of_a_job_adds_up(feed: ActivityFeed) -> None:
    assert feed.latest_job() == ""
    feed.put(News(jobs={"a": {"started": 1.0, "name": "x"}}, datasets={"d": {"voxel_size": [2, 1, 1]}}))
    feed.put(News(jobs={"a": {"done": 2, "values": {"loss": 0.5}}, "b": {"done": 1}}))
    assert feed.jobs(["a", "none"]) == [{"started": 1.0, "name": "x", "done": 2, "values": {"loss": 0.5}}, {}]
    assert feed.latest_job() == "a"
    assert feed.dataset("d") == {"voxel_size": [2, 1, 1]}
    assert feed.dataset("none") == {}


def test_jobs_and_datasets_of_long_ago_are_let_go(feed: ActivityFeed) -> None:
    for i in range(MOST_KEPT + 2):
        feed.put(News(jobs={str(i): {"done": i}}, datasets={str(i): {"z": i}}))
        feed.put(News(jobs={"1": {"again": i}}))
    assert feed.jobs(["0", "1", "2", "3", str(MOST_KEPT)]) == [
        {},
        {"done": 1, "again": MOST_KEPT + 1},
        {},
        {"done": 3},
        {"done": MOST_KEPT},
    ]
    assert [feed.dataset(name) for name in ("1", "2")] == [{}, {"z": 2}]


def result(number: int, n_bytes: int = 10) -> Result:
    return Result(str(number), 1.0, "user/movie", "5", number, "m.pth", 3, nuclei="x" * n_bytes)


def test_the_last_results_are_kept_with_their_nuclei(feed: ActivityFeed) -> None:
    assert feed.results() == []
    assert feed.result("0") is None
    feed.put(News(results=[result(i) for i in range(MOST_RESULTS + 2)]))
    feed.put(News(results=[replace(result(5), box=[0, 0, 0, 1, 2, 3])]))
    told = feed.results()
    assert [entry.id for entry in told] == ["5", *(str(i) for i in reversed(range(2, MOST_RESULTS + 2)) if i != 5)]
    assert told[0] == replace(result(5), box=[0, 0, 0, 1, 2, 3], nuclei="")
    assert feed.result("5") == replace(result(5), box=[0, 0, 0, 1, 2, 3])
    assert feed.result("1") is None


def test_large_results_push_out_older_ones_and_the_newest_stays(feed: ActivityFeed) -> None:
    feed.put(News(results=[result(i, MOST_BYTES // 3) for i in range(5)]))
    assert [entry.id for entry in feed.results()] == ["4", "3", "2"]
    feed.put(News(results=[result(5, 2 * MOST_BYTES)]))
    assert [entry.id for entry in feed.results()] == ["5"]
    assert feed.result("4") is None


def test_the_nuclei_of_a_full_result_have_room_and_come_back_as_they_were() -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(size=(MOST_NUCLEI + 50, 3, 3))
    nuclei = Nuclei(rng.uniform(0, 2000, (len(half), 3)), half @ half.swapaxes(1, 2), rng.uniform(size=len(half)))
    best = nuclei.best(MOST_NUCLEI)
    assert len(best.pos) == MOST_NUCLEI
    assert best.quality.min() >= np.sort(nuclei.quality)[50]
    packed = best.pack()
    assert len(packed) < MOST_BYTES / 4
    back = Nuclei.unpack(packed)
    for name in ("pos", "covariance", "quality"):
        assert np.allclose(getattr(back, name), getattr(best, name), rtol=1e-6)


def test_a_line_may_hold_what_is_no_character(feed: ActivityFeed) -> None:
    # So Python writes names of files that are not in UTF-8.
    feed.put(News([Line(1.0, "INFO", "caf\udce9.h5 ü")]))
    (line,) = feed.lines()
    assert line.text.startswith("caf")
    assert line.text.endswith(".h5 ü")


def test_results_wait_while_nothing_can_be_put_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(ActivityFeed):
        is_away = True

        def put(self, news: News) -> None:
            if self.is_away:
                self.is_away = False
                raise redis.ConnectionError
            super().put(news)

    monkeypatch.setattr("elephant_server.feed.AWAY_S", 0.01)
    feed = Away(MemoryStore())
    feed_publisher = FeedPublisher(feed)
    feed_publisher.result(result(1))
    feed_publisher.result(result(2))
    assert feed_publisher.flush(10)
    assert [entry.id for entry in feed.results()] == ["2", "1"]


def test_what_cannot_be_put_up_does_not_keep_back_what_follows() -> None:
    class Choosy(ActivityFeed):
        def put(self, news: News) -> None:
            if any(line.text == "bad" for line in news.lines):
                raise ValueError("not this one")
            super().put(news)

    feed = Choosy(MemoryStore())
    feed_publisher = FeedPublisher(feed)
    feed_publisher.line("INFO", "bad")
    assert feed_publisher.flush(10)
    feed_publisher.line("INFO", "good")
    assert feed_publisher.flush(10)
    assert texts(feed.lines()) == ["good"]
