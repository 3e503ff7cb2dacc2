"""Redis is killed, gone, silent, or empty."""

import time

import requests

from faults.breakdowns.recovery import (
    ANSWER_LIMIT_S,
    REFUSAL_LIMIT_S,
    assert_explained,
    assert_works,
    changed_at,
    frozen,
    gone,
    job_store,
    kill,
    slow_predict_body,
    train_long,
    wait_until_queued_or_running,
)
from faults.cases import Case
from faults.ground import Ground
from stack.running import wait_until

# What answers without Redis.
ALONE = {"dataset/check", "download/model"}


def killed(g: Ground) -> None:
    kill(g, "redis")
    assert_works(g, training=True)


def killed_while_training(g: Ground) -> None:
    g.volume.set_params(0.002, 3)
    asked = train_long(g)
    g.volume.set_params(0.002, 1)
    model = g.workspace / "models" / g.volume.detection
    for _ in range(2):  # the second epoch begins with what was set
        before = changed_at(model)
        wait_until(lambda before=before: changed_at(model) != before, 60, "an epoch")  # type: ignore[misc]
    kill(g, "redis")
    wait_until(lambda: _state(g) == 1, 60, "the training to be in the job store again")
    before = changed_at(model)
    wait_until(lambda: changed_at(model) != before, 60, "the training to go on")
    params = requests.get(g.server.base_url + "params", timeout=10).json()
    assert (params["lr"], params["n_crops"]) == (0.002, 1)
    assert not asked.done(), asked.result().text
    # Predictions still come first, and an abort still ends it.
    assert_predicts(g)
    g.player.abort()
    assert asked.result(ANSWER_LIMIT_S).json() == {"completed": False}
    assert_works(g, training=True)


def killed_and_the_outcome_arrives(g: Ground) -> None:
    spots = g.volume.annotated(0, g.volume.movie.drawn(0))
    asked = g.player.later("seg/train", g.volume.seg_train_body(spots, n_epochs=3, n_crops=3, log_dir=None))
    wait_until_queued_or_running(g, "running")
    kill(g, "redis")
    answer = asked.result(90)
    assert answer.json() == {"completed": True}, answer.text
    assert_works(g)


def killed_while_predicting(g: Ground) -> None:
    asked = g.player.later("seg/predict", slow_predict_body(g.volume))
    wait_until_queued_or_running(g, "running")
    kill(g, "redis")
    answer = asked.result(60)
    assert answer.json()["completed"] is True, answer.text
    assert_works(g)


def killed_in_a_live_session(g: Ground) -> None:
    client = g.volume
    asked = train_long(g, is_livemode=True)
    kill(g, "redis")
    wait_until(lambda: _state(g) == 1, 60, "the session to be in the job store again")
    time.sleep(2)  # the session tells that it listens once a second
    model = g.workspace / "models" / client.detection
    before = changed_at(model)
    assert client.label(client.annotated(0, client.movie.drawn(0)), is_livemode=True)
    wait_until(lambda: changed_at(model) != before, 60, "an epoch")
    g.player.abort()
    assert asked.result(ANSWER_LIMIT_S).json() == {"completed": False}
    assert_works(g)


def killed_while_a_request_is_queued(g: Ground) -> None:
    with frozen(g, "training"):
        asked = g.player.later("seg/train", g.volume.seg_train_body([], is_livemode=True))
        wait_until_queued_or_running(g, "queued")
        kill(g, "redis")
        message = assert_explained(asked.result(60))
        assert "Redis" in message
    assert_works(g, training=True)


def emptied_while_training(g: Ground) -> None:
    asked = train_long(g)
    job_store(g.server).flushall()
    wait_until(lambda: _state(g) == 1, 60, "the training to be in the job store again")
    g.player.abort()
    assert asked.result(ANSWER_LIMIT_S).json() == {"completed": False}
    assert_works(g)


def is_gone(g: Ground) -> None:
    with gone(g, "redis"):
        assert_all_refused(g)
    assert_works(g, training=True)


def is_gone_while_training(g: Ground) -> None:
    asked = train_long(g)
    model = g.workspace / "models" / g.volume.detection
    with gone(g, "redis"):
        before = changed_at(model)
        wait_until(lambda: changed_at(model) != before, 60, "the training to go on without it")
        assert_explained(asked.result(60))
    wait_until(lambda: _state(g) == 1, 60, "the training to be in the job store again")
    g.player.abort()
    g.wait_until_idle()
    assert_works(g, training=True)


def is_silent(g: Ground) -> None:
    with frozen(g, "redis"):
        assert_all_refused(g)
    assert_works(g, training=True)


def is_silent_while_training(g: Ground) -> None:
    asked = train_long(g)
    with frozen(g, "redis"):
        time.sleep(6)
    wait_until(lambda: _state(g) == 1, 60, "the state")
    assert not asked.done(), asked.result().text
    g.player.abort()
    assert asked.result(ANSWER_LIMIT_S).json() == {"completed": False}
    assert_works(g, training=True)


def assert_all_refused(g: Ground) -> None:
    """Fail where a request is not answered with 503 and a reason within seconds; the polling goes on."""
    for path, body in g.bodies().items():
        begin = time.monotonic()
        answer = g.post(path, body, timeout=REFUSAL_LIMIT_S + 5)
        assert time.monotonic() - begin < REFUSAL_LIMIT_S, f"{path} took {time.monotonic() - begin:.1f} s"
        if path in ALONE:
            assert answer.status_code == 200
        else:
            assert answer.status_code == 503, f"{path}: {answer.status_code} {answer.text[:200]}"
            assert_explained(answer)
    assert requests.get(g.server.base_url + "state/gpus", timeout=5).status_code == 200


def assert_predicts(g: Ground) -> None:
    assert g.post("seg/predict", g.volume.seg_predict_body(0)).json()["completed"] is True


def _state(g: Ground) -> int:
    answer = requests.get(g.server.base_url + "state/process", timeout=10).json()
    return int(answer.get("state", -1))


CASES = [
    Case("Redis killed", killed),
    Case("Redis killed while a training runs", killed_while_training, is_short=True),
    Case("Redis killed while a training comes to its end", killed_and_the_outcome_arrives),
    Case("Redis killed while it predicts", killed_while_predicting),
    Case("Redis killed in a live session", killed_in_a_live_session),
    Case("Redis killed while a training is queued", killed_while_a_request_is_queued),
    Case("Redis emptied while a training runs", emptied_while_training),
    Case("Redis gone", is_gone, is_short=True),
    Case("Redis gone for long while a training runs", is_gone_while_training),
    Case("Redis silent", is_silent),
    Case("Redis silent for a while while a training runs", is_silent_while_training),
]
