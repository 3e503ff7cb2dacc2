"""Connections to Redis that never wait long, and outlive its restarts."""

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

CONNECT_TIMEOUT_S = 3.0
# Of a Redis that accepts connections and does not answer; longer than any of the blocking reads.
ANSWER_TIMEOUT_S = 4.0


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
        # A kept connection of a Redis that was restarted fails once; one that does not answer fails at once.
        retry=Retry(ConstantBackoff(0.1), 1, (redis.ConnectionError,)),
        health_check_interval=30,
    )
