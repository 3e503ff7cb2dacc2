"""The store in Redis, where all processes of a server see it.

A document is a string that is changed in an optimistic transaction: Redis refuses it where another process has changed
the document since it was read, and it is tried again. Readers of queues and logs block in Redis.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError, WatchError
from redis.retry import Retry

from elephant_server.jobs.store_memory import Change, Document, Effects, LogEntry, T

# What was pushed and nobody has taken goes after so long.
KEEP_QUEUE_S = 3600
# Shorter than the connection waits for an answer.
LONGEST_BLOCK_S = 2.0
# Between two tries to change a document that others change as well; drawn at random up to here, so that they part.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.001, 0.032
GIVE_UP_S = 20.0
BEFORE_ALL = "0-0"
CONNECT_TIMEOUT_S = 3.0
# Of a Redis that accepts connections and does not answer; longer than any of the blocking reads.
ANSWER_TIMEOUT_S = 4.0
# A kept connection of a Redis that was restarted fails once; one that does not answer fails at once.
RETRY = Retry(ConstantBackoff(0.1), 1, (redis.ConnectionError,))


def connect(url: str, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> redis.Redis:
    """Return a client of Redis that gives texts; connects to nothing yet.

    Parameters
    ----------
    url
        The database.
    answer_timeout_s
        How long an answer may take, and connecting no longer.
    """
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=min(CONNECT_TIMEOUT_S, answer_timeout_s),
        socket_timeout=answer_timeout_s,
        retry=RETRY,
        health_check_interval=30,
    )


class RedisStore:
    """A :class:`~elephant_server.jobs.store_memory.Store` in Redis.

    Making one connects to nothing; every method may raise :class:`redis.exceptions.RedisError`.

    Parameters
    ----------
    url
        The database.
    prefix
        What all keys start with.
    """

    def __init__(self, url: str, prefix: str = "elephant:") -> None:
        self._redis = connect(url)
        self._prefix = prefix

    def read(self, name: str) -> Document:
        """Return a document; an empty one where there is none."""
        return _parse(self._redis.get(self._key(name)))

    def update(self, name: str, change: Change[T]) -> T:
        """Change a document and return what the function returns."""
        end, pause = time.monotonic() + GIVE_UP_S, FIRST_PAUSE_S
        while True:
            try:
                return RETRY.call_with_retry(lambda: self._try_update(self._key(name), change), lambda _: None)
            except WatchError:
                if time.monotonic() > end:
                    raise
            time.sleep(random.uniform(0, pause))  # noqa: S311 - nothing secret
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def pop(self, queues: Sequence[str], timeout_s: float, most: int = 1) -> tuple[str, list[str]] | None:
        """Take from the first of the queues that holds something; None after `timeout_s` seconds."""
        keys = [self._key(queue) for queue in queues]
        found = _block(lambda seconds: self._redis.blpop(keys, timeout=seconds), timeout_s)
        if not found:
            return None
        key, texts = found[0], [found[1]]
        if most > 1:
            with suppress(RedisError):  # what was taken first must not be lost
                more: Any = self._redis.lpop(key, most - 1)
                texts += more or []
        return queues[keys.index(key)], texts

    def append(self, log: str, texts: Sequence[str], keep: int) -> None:
        """Append to a log, of which the last `keep` entries stay."""
        with self._redis.pipeline() as pipe:
            for text in texts:
                pipe.xadd(self._key(log), {"text": text}, maxlen=keep, approximate=False)
            pipe.execute()

    def entries(self, log: str, after: str = "", timeout_s: float = 0) -> list[LogEntry]:
        """Return the entries after an id, or all; blocks until there are some, for `timeout_s` seconds at most."""
        known: dict[Any, Any] = {self._key(log): after or BEFORE_ALL}
        if timeout_s > 0:
            found = _block(lambda seconds: self._redis.xread(known, block=int(1000 * seconds)), timeout_s)
        else:
            found = self._redis.xread(known)
        return [LogEntry(entry_id, fields["text"]) for _, entries in found or () for entry_id, fields in entries]

    def last_id(self, log: str) -> str:
        """Return the id of a log's newest entry; one that comes before all where there is none."""
        newest: Any = self._redis.xrevrange(self._key(log), count=1)
        return str(newest[0][0]) if newest else BEFORE_ALL

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _try_update(self, key: str, change: Change[T]) -> T:
        with one_connection(self._redis) as ask:
            _, before = ask(("WATCH", key), ("GET", key))
            document, effects = _parse(before), Effects()
            value = change(document, effects)
            after = json.dumps(document)
            if after == before and not effects:
                ask(("UNWATCH",))
                return value
            *_, done = ask(("MULTI",), ("SET", key, after), *self._commands(effects), ("EXEC",))
        if done is None:
            raise WatchError("another process changed it first")
        if failures := [answer for answer in done if isinstance(answer, Exception)]:
            raise failures[0]
        return value

    def _commands(self, effects: Effects) -> Iterator[tuple[str | int, ...]]:
        """Yield the commands of a transaction that make effects happen."""
        for name, text in effects.pushes:
            yield ("RPUSH", self._key(name), text)
            yield ("EXPIRE", self._key(name), KEEP_QUEUE_S)
        for name, document in effects.writes.items():
            yield ("DEL", self._key(name)) if document is None else ("SET", self._key(name), json.dumps(document))
        for name in effects.notices:
            yield ("XADD", self._key(name), "MAXLEN", 1, "*", "text", "")


def _parse(text: Any) -> Document:
    return {} if text is None else json.loads(text)


def _block(ask: Callable[[float], Any], timeout_s: float) -> Any:
    """Ask until something is found, in commands that each block for as long as a connection may; None at the end."""
    end = time.monotonic() + timeout_s
    while True:
        left = end - time.monotonic()
        # 0 would mean without end.
        found = ask(max(min(left, LONGEST_BLOCK_S), 0.001))
        if found or left <= LONGEST_BLOCK_S:
            return found


@contextmanager
def one_connection(client: redis.Redis) -> Iterator[Callable[..., list[Any]]]:
    """Give a function that sends commands together, over the same connection each time, and returns their answers.

    A pipeline of redis-py waits for the answer to WATCH, and to each read after it, before it sends more: this makes a
    transaction in two round trips instead of three. Where the block raises, the connection is closed, and with it ends
    what was watched.
    """
    pool = client.connection_pool
    connection: Any = pool.get_connection()

    def ask(*commands: tuple[Any, ...]) -> list[Any]:
        connection.send_packed_command(connection.pack_commands(commands))
        return [connection.read_response() for _ in commands]

    try:
        yield ask
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
