import pytest
import redis

from elephant_server.state import Bulletin, Line, MemoryBulletin, Poster, RedisBulletin
from elephant_server.state.bulletin import MOST_KEPT, News

MOST_LINES = 500


@pytest.fixture(params=["redis", "memory"])
def bulletin(request: pytest.FixtureRequest, redis_url: str) -> Bulletin:
    if request.param == "memory":
        return MemoryBulletin()
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return RedisBulletin(redis_url)


def lines(first: int, n: int) -> News:
    return News([Line(1.0, "INFO", str(i)) for i in range(first, first + n)])


def texts(found: list[Line]) -> list[str]:
    return [line.text for line in found]


def test_the_last_lines_are_kept_and_read_on_from_any_of_them(bulletin: Bulletin) -> None:
    assert bulletin.lines() == []
    bulletin.put(lines(0, MOST_LINES))
    bulletin.put(lines(MOST_LINES, 2))
    found = bulletin.lines()
    assert texts(found) == [str(i) for i in range(2, MOST_LINES + 2)]
    assert bulletin.last_id() == found[-1].id
    assert texts(bulletin.lines(found[-3].id)) == texts(found[-2:])
    assert bulletin.wait_for_lines(found[-2].id, 1) == found[-1:]
    assert bulletin.wait_for_lines(found[-1].id, 0.05) == []


def test_ids_are_of_one_form_and_rise(bulletin: Bulletin) -> None:
    bulletin.put(lines(0, 20))
    ids = [tuple(map(int, line.id.split("-"))) for line in bulletin.lines()]
    assert ids == sorted(set(ids))
    assert all(len(both) == 2 for both in ids)


def test_what_is_known_of_a_job_adds_up(bulletin: Bulletin) -> None:
    assert bulletin.latest_job() == ""
    bulletin.put(News(jobs={"a": {"started": 1.0, "name": "x"}}, datasets={"d": {"voxel_size": [2, 1, 1]}}))
    bulletin.put(News(jobs={"a": {"done": 2, "values": {"loss": 0.5}}, "b": {"done": 1}}))
    assert bulletin.jobs(["a", "none"]) == [{"started": 1.0, "name": "x", "done": 2, "values": {"loss": 0.5}}, {}]
    assert bulletin.latest_job() == "a"
    assert bulletin.dataset("d") == {"voxel_size": [2, 1, 1]}
    assert bulletin.dataset("none") == {}


def test_jobs_and_datasets_of_long_ago_are_let_go(bulletin: Bulletin) -> None:
    for i in range(MOST_KEPT + 2):
        bulletin.put(News(jobs={str(i): {"done": i}}, datasets={str(i): {"z": i}}))
        bulletin.put(News(jobs={"1": {"again": i}}))
    assert bulletin.jobs(["0", "1", "2", "3", str(MOST_KEPT)]) == [
        {},
        {"done": 1, "again": MOST_KEPT + 1},
        {},
        {"done": 3},
        {"done": MOST_KEPT},
    ]
    assert [bulletin.dataset(name) for name in ("1", "2")] == [{}, {"z": 2}]


def test_a_line_may_hold_what_is_no_character(bulletin: Bulletin) -> None:
    # So Python writes names of files that are not in UTF-8.
    bulletin.put(News([Line(1.0, "INFO", "caf\udce9.h5 ü")]))
    (line,) = bulletin.lines()
    assert line.text.startswith("caf")
    assert line.text.endswith(".h5 ü")


def test_what_cannot_be_put_up_does_not_keep_back_what_follows() -> None:
    class Choosy(MemoryBulletin):
        def put(self, news: News) -> None:
            if any(line.text == "bad" for line in news.lines):
                raise ValueError("not this one")
            super().put(news)

    bulletin = Choosy()
    poster = Poster(bulletin)
    poster.line("INFO", "bad")
    assert poster.flush(10)
    poster.line("INFO", "good")
    assert poster.flush(10)
    assert texts(bulletin.lines()) == ["good"]
