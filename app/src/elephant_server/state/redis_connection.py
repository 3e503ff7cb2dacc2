"""Connections to Redis that never wait long, and outlive its restarts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

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
