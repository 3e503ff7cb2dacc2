"""RabbitMQ is killed, gone or silent: the server works the same, only without messages."""

import time

import pika.exceptions

from faults.breakdowns.recovery import assert_works, frozen, gone, kill
from faults.cases import Case
from faults.ground import Ground
from stack.player import Ears
from stack.running import wait_until

# A label update takes a fraction of a second; slow machines have their share.
QUICK_S = 5.0
# The answer to a conversion waits for its messages, for a moment.
CONVERSION_S = 15.0


def killed(g: Ground) -> None:
    kill(g, "rabbitmq")
    assert_quick(g)
    assert_works(g)
    assert_messages_come(g)


def is_gone(g: Ground) -> None:
    with gone(g, "rabbitmq"):
        assert_quick(g)
    assert_works(g)
    assert_messages_come(g)


def is_silent(g: Ground) -> None:
    with frozen(g, "rabbitmq"):
        assert_quick(g)
        begin = time.monotonic()
        assert g.volume.generate().status_code == 200
        assert time.monotonic() - begin < CONVERSION_S
    assert_messages_come(g)
    assert_works(g)


def assert_quick(g: Ground) -> None:
    labels = g.volume.seg_update_body(g.volume.annotated(0, g.volume.movie.drawn(0)))
    for _ in range(5):
        begin = time.monotonic()
        assert g.post("seg/update", labels).json() == {"completed": True}
        assert time.monotonic() - begin < QUICK_S


def assert_messages_come(g: Ground) -> None:
    """Fail where the client hears nothing of a prediction, a minute after the broker is back."""

    def hears() -> bool:
        try:
            with Ears(g.server) as ears:
                assert g.post("seg/predict", g.volume.seg_predict_body(0)).status_code == 200
                ears.wait_for(lambda e: e.heard["prediction"], 3)
        except (AssertionError, pika.exceptions.AMQPError):
            return False
        return True

    wait_until(hears, 60, "the messages to come back")


CASES = [
    Case("RabbitMQ killed", killed),
    Case("RabbitMQ gone", is_gone),
    Case("RabbitMQ silent", is_silent),
]
