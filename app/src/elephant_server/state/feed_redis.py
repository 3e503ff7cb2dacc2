"""The bulletin in Redis, where all processes of a server put it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from elephant_server.state.feed import MOST_KEPT, Fields, Line, News
from elephant_server.state.redis_connection import connect
from elephant_server.state.results import MOST_BYTES, MOST_RESULTS, Result

MOST_LINES = 500
LONGEST_TEXT = 4000
KEEP_S = 24 * 3600
BEFORE_ALL = "0-0"
# What is known of one thing, and a list of such things with the newest first: those of long ago are let go.
_ADD = """
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('LREM', KEYS[1], 0, ARGV[2])
redis.call('LPUSH', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
while redis.call('LLEN', KEYS[1]) > tonumber(ARGV[3]) do
  redis.call('DEL', ARGV[1] .. redis.call('RPOP', KEYS[1]))
end
"""
# A result, and the list of all of them with the newest first: no more than so many, and so many bytes of nuclei.
_KEEP = """
redis.call('HSET', KEYS[2], 'told', ARGV[3], 'nuclei', ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('LREM', KEYS[1], 0, ARGV[2])
redis.call('LPUSH', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[5])
local n, size = 0, 0
for i, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  size = size + redis.call('HSTRLEN', ARGV[1] .. id, 'nuclei')
  if i == 1 or (i <= tonumber(ARGV[6]) and size <= tonumber(ARGV[7])) then n = i else break end
end
while redis.call('LLEN', KEYS[1]) > n do
  redis.call('DEL', ARGV[1] .. redis.call('RPOP', KEYS[1]))
end
"""


class RedisFeed:
    """A :class:`~elephant_server.state.feed.ActivityFeed` over Redis.

    Making one connects to nothing; every method may raise :class:`redis.exceptions.RedisError`.

    Parameters
    ----------
    url
        The database.
    prefix
        What all keys start with.
    """

    def __init__(self, url: str, prefix: str = "elephant:shown:") -> None:
        self._redis = connect(url)
        self._prefix = prefix

    def put(self, news: News) -> None:
        """See :meth:`ActivityFeed.put`."""
        with self._redis.pipeline(transaction=False) as pipe:
            for line in news.lines:
                fields: Any = {"at": repr(line.at), "level": line.level, "text": _in_utf8(line.text[:LONGEST_TEXT])}
                pipe.xadd(self._log, fields, maxlen=MOST_LINES, approximate=False)
            for kind, about in (("job", news.jobs), ("dataset", news.datasets)):
                for name, values in (about or {}).items():
                    self._add(pipe, kind, name, values)
            for job_id in [job_id for job_id, fields in (news.jobs or {}).items() if "started" in fields][-1:]:
                pipe.set(f"{self._prefix}latest", job_id)
            for result in news.results:
                self._keep(pipe, result)
            pipe.execute()

    def lines(self, after: str = "") -> list[Line]:
        """See :meth:`ActivityFeed.lines`."""
        found: Any = self._redis.xrange(self._log, min=f"({after}" if after else "-")
        return [_line(*entry) for entry in found]

    def wait_for_lines(self, after: str, timeout_s: float) -> list[Line]:
        """See :meth:`ActivityFeed.wait_for_lines`."""
        found: Any = self._redis.xread({self._log: after}, block=max(1, int(1000 * timeout_s)))
        return [_line(*entry) for _, entries in found or [] for entry in entries]

    def last_id(self) -> str:
        """See :meth:`ActivityFeed.last_id`."""
        newest: Any = self._redis.xrevrange(self._log, count=1)
        return str(newest[0][0]) if newest else BEFORE_ALL

    def jobs(self, ids: Sequence[str]) -> list[Fields]:
        """See :meth:`ActivityFeed.jobs`."""
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hgetall(f"{self._prefix}job:{job_id}")
            return [_fields(found) for found in pipe.execute()]

    def latest_job(self) -> str:
        """See :meth:`ActivityFeed.latest_job`."""
        found: Any = self._redis.get(f"{self._prefix}latest")
        return found or ""

    def dataset(self, name: str) -> Fields:
        """See :meth:`ActivityFeed.dataset`."""
        return _fields(self._redis.hgetall(f"{self._prefix}dataset:{name}"))

    def results(self) -> list[Result]:
        """See :meth:`ActivityFeed.results`."""
        ids: Any = self._redis.lrange(f"{self._prefix}results", 0, -1)
        with self._redis.pipeline(transaction=False) as pipe:
            for result_id in ids:
                pipe.hget(f"{self._prefix}result:{result_id}", "told")
            # One that was let go since has nothing to tell.
            return [Result(**json.loads(told)) for told in pipe.execute() if told]

    def result(self, result_id: str) -> Result | None:
        """See :meth:`ActivityFeed.result`."""
        found: Any = self._redis.hgetall(f"{self._prefix}result:{result_id}")
        return Result(**json.loads(found["told"]) | {"nuclei": found["nuclei"]}) if found else None

    def _keep(self, pipe: Any, result: Result) -> None:
        told = json.dumps(asdict(replace(result, nuclei="")))
        keys = [f"{self._prefix}results", f"{self._prefix}result:{result.id}"]
        bounds = (KEEP_S, MOST_RESULTS, MOST_BYTES)
        pipe.eval(_KEEP, len(keys), *keys, f"{self._prefix}result:", result.id, told, result.nuclei, *bounds)

    def _add(self, pipe: Any, kind: str, name: str, fields: Fields) -> None:
        pairs = [text for field, value in fields.items() for text in (field, json.dumps(value))]
        if pairs:
            keys = [f"{self._prefix}{kind}s", f"{self._prefix}{kind}:{name}"]
            pipe.eval(_ADD, len(keys), *keys, f"{self._prefix}{kind}:", name, MOST_KEPT, KEEP_S, *pairs)

    @property
    def _log(self) -> str:
        return f"{self._prefix}log"


def _in_utf8(text: str) -> str:
    """Return a text that Redis takes: names of files may hold bytes that are no characters."""
    return text.encode(errors="backslashreplace").decode()


def _line(line_id: str, fields: dict[str, str]) -> Line:
    return Line(float(fields["at"]), fields["level"], fields["text"], line_id)


def _fields(found: Any) -> Fields:
    return {name: json.loads(text) for name, text in found.items()}
