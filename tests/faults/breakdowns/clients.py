"""Clients that go away, that ask at once, that ask too much, and that abort at any moment."""

import json
import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import requests
import zarr

from client.wire import written
from faults.breakdowns.ledger import N_VARIANTS, Ledger
from faults.breakdowns.recovery import (
    ANSWER_LIMIT_S,
    assert_explained,
    assert_models_are_whole,
    assert_works,
    changed_at,
    entries,
    frozen,
    slow_predict_body,
    train_long,
    wait_until_queued_or_running,
)
from faults.cases import Case
from faults.ground import Body, Ground
from stack.player import Uploader
from stack.running import wait_until

ABORT_LIMIT_S = 10.0
N_ABORTS = 8


def leave(g: Ground, path: str, body: Body, after: Callable[[], object] = lambda: None) -> None:
    """Send a request, and close its connection when `after` has returned."""
    with _connection(g) as connection:
        connection.sendall(_request(path, written(body).encode()))
        after()


def leaves_a_training(g: Ground) -> None:
    client = g.volume
    body = client.seg_train_body(client.annotated(0, client.movie.drawn(0)), n_epochs=1000, n_crops=1, log_dir=None)
    model = g.workspace / "models" / client.detection
    leave(g, "seg/train", body, lambda: wait_until_queued_or_running(g, "running"))
    before = changed_at(model)
    wait_until(lambda: changed_at(model) != before, 60, "the training to go on")
    assert g.player.state() == 1
    g.player.abort()
    assert_works(g)


def leaves_a_label_update(g: Ground) -> None:
    ledger = Ledger(g.volume)
    with frozen(g, "answering"):
        leave(g, "seg/update", ledger.body(3, 2), lambda: wait_until_queued_or_running(g, "queued"))
    labels = g.dataset() / "seg_labels.zarr"
    g.wait_until_idle()
    assert zarr.open_array(labels, mode="r")[3].any()
    ledger.acknowledge(3, 2)
    assert_works(g, ledger)


def leaves_predictions(g: Ground) -> None:
    for _ in range(10):
        leave(g, "seg/predict", g.volume.seg_predict_body(0))
    assert_works(g)


def leaves_in_the_middle_of_a_request(g: Ground) -> None:
    before = g.snapshot()
    content = _request("seg/update", written(g.bodies()["seg/update"]).encode())
    for end in (10, len(content) // 2, len(content) - 1):
        with _connection(g) as connection:
            connection.sendall(content[:end])
    g.assert_untouched(before)
    assert_works(g)


def two_trainings(g: Ground) -> None:
    first = train_long(g)
    model = g.workspace / "models" / g.volume.detection
    for path in ("seg/train", "flow/train", "seg/reset", "flow/reset"):
        answer = g.post(path, g.bodies(g.plane)[path])
        assert answer.status_code == 500
        assert "a process is running" in assert_explained(answer)
    before = changed_at(model)
    wait_until(lambda: changed_at(model) != before, 60, "the first one to go on")
    g.player.abort()
    assert first.result(ANSWER_LIMIT_S).json() == {"completed": False}
    assert_works(g, training=True)


def of_many_trainings_at_once_one_runs(g: Ground) -> None:
    body = g.bodies()["seg/train"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: g.post("seg/train", body), range(6)))
    done = [answer for answer in answers if answer.status_code == 200]
    assert done
    assert all(answer.json() == {"completed": True} for answer in done)
    assert all("a process is running" in assert_explained(a) for a in answers if a not in done)
    assert_works(g)


def predictions_of_two_clients_while_a_training_runs(g: Ground) -> None:
    training = train_long(g)
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(g.post, "seg/predict", client.seg_predict_body(t))
            for t in range(4)
            for client in (g.volume, g.plane)
        ]
        for answer in (a.result(60) for a in asked):
            assert answer.json()["completed"] is True
    assert not training.done()
    g.player.abort()
    assert_works(g)


def label_updates_of_one_timepoint(g: Ground) -> None:
    ledger = Ledger(g.volume)
    with ThreadPoolExecutor(N_VARIANTS) as pool:
        bodies = [ledger.body(4, variant) for variant in range(N_VARIANTS)]
        for answer in pool.map(lambda body: g.post("seg/update", body), bodies * 3):
            assert answer.json() == {"completed": True}
    ledger.assert_kept()
    assert_works(g, ledger)


def two_uploads_of_one_file(g: Ground) -> None:
    dataset = "faults/uploaded"
    with ThreadPoolExecutor(2) as pool:
        uploads = [pool.submit(Uploader(g.server, dataset).send, g.volume.movie.file) for _ in range(2)]
        statuses = [upload.result(60) for upload in uploads]
    assert all(set(found) <= {200, 400} for found in statuses), statuses
    # Whatever became of the two, one that is alone succeeds, and what is there is whole.
    assert set(Uploader(g.server, dataset).send(g.volume.movie.file)) == {200}
    assert g.post("dataset/generate", {"dataset_name": dataset, "is_2d": False}).status_code == 200
    assert_works(g)


def more_than_can_be_held(g: Ground) -> None:
    training = train_long(g)
    n = 130
    with frozen(g, "answering"), ThreadPoolExecutor(n) as pool:
        asked = [pool.submit(g.post, "seg/predict", g.volume.seg_predict_body(0), 90) for _ in range(n)]
        wait_until(lambda: _n_entries(g) >= 40, 60, "many requests to be held")
        for _ in range(5):
            begin = time.monotonic()
            assert g.server.answers()
            assert g.player.state() == 2
            assert time.monotonic() - begin < 5
        begin = time.monotonic()
        assert g.player.abort().status_code == 200
        assert time.monotonic() - begin < ABORT_LIMIT_S
        # Requests may arrive after an abort.
        wait_until(lambda: g.player.abort().ok and all(future.done() for future in asked), 60, "all to be answered")
        answers = [future.result() for future in asked]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert all(a.json()["completed"] is False for a in answers if a.status_code == 200)
    assert all("too many requests" in assert_explained(a) for a in answers if a.status_code == 503)
    assert training.result(ANSWER_LIMIT_S).json() == {"completed": False}
    assert_works(g, training=True)


def aborted(path: str) -> Callable[[Ground], None]:
    """Return what aborts requests of one kind at random moments, also in their first milliseconds."""

    def play(g: Ground) -> None:
        rng = random.Random(path)
        for number in range(N_ABORTS):
            body = {"seg/predict": slow_predict_body(g.volume)}.get(path, g.bodies()[path])
            asked = g.player.later(path, body)
            time.sleep(rng.uniform(0, 0.02 if number < N_ABORTS // 2 else 0.8))
            begin = time.monotonic()
            # One abort may come before the request does.
            while not asked.done():
                g.player.abort()
                assert time.monotonic() - begin < ABORT_LIMIT_S, "it goes on"
                time.sleep(0.1)
            answer = asked.result()
            assert answer.status_code in (200, 204), answer.text
            if path not in ("download/ctc", "dataset/generate"):
                assert isinstance(answer.json()["completed"], bool)
            g.wait_until_idle()
        assert g.volume.check() == "ready"
        assert_models_are_whole(g)
        assert_works(g)

    return play


def aborted_live_session(g: Ground) -> None:
    for delay in (0, 0.01, 0.3, 1):
        asked = g.player.later("seg/train", g.volume.seg_train_body([], is_livemode=True, log_dir=None))
        time.sleep(delay)
        wait_until(lambda asked=asked: g.player.abort() and asked.done(), ABORT_LIMIT_S, "its end")
        assert asked.result().json() == {"completed": False}
    assert_works(g, training=True)


def aborted_upload_of_a_model_that_is_queued(g: Ground) -> None:
    model = (g.workspace / "models" / g.volume.detection).read_bytes()
    uploads = g.workspace / "models" / ".uploads"
    with frozen(g, "training"), ThreadPoolExecutor(1) as pool:
        data = json.dumps({**g.volume.seg_reset_body(), "model_name": "faults/uploaded.pth"})
        asked = pool.submit(
            requests.post, g.server.base_url + "seg/reset", data={"data": data}, files={"file": model}, timeout=60
        )
        wait_until_queued_or_running(g, "queued")
        assert len(list(uploads.iterdir())) == 1
        g.player.abort()
        assert asked.result(ANSWER_LIMIT_S).json() == {"completed": False}
    wait_until(lambda: not list(uploads.iterdir()), 60, "the uploaded file to be removed")
    assert not (g.workspace / "models" / "faults" / "uploaded.pth").exists()
    assert_works(g)


def _connection(g: Ground) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(g.server.base_url).port or 80), timeout=10)


def _request(path: str, body: bytes) -> bytes:
    head = f"POST /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def _n_entries(g: Ground) -> int:
    return len(entries(g.server))


KINDS = (
    *("seg/predict", "seg/train", "seg/update", "seg/reset", "flow/predict", "flow/train", "flow/update"),
    *("flow/reset", "download/ctc", "dataset/generate"),
)
CASES = [
    Case("client gone in the middle of a training", leaves_a_training),
    Case("client gone in the middle of a label update", leaves_a_label_update, is_short=True),
    Case("clients gone in the middle of predictions", leaves_predictions),
    Case("clients gone in the middle of their requests", leaves_in_the_middle_of_a_request, is_short=True),
    Case("two trainings at once", two_trainings),
    Case("six trainings in the same moment", of_many_trainings_at_once_one_runs),
    Case("predictions of two clients while a training runs", predictions_of_two_clients_while_a_training_runs),
    Case("label updates of one timepoint in the same moment", label_updates_of_one_timepoint, is_short=True),
    Case("two uploads of one file at once", two_uploads_of_one_file),
    Case("more requests than can be held", more_than_can_be_held),
    *(Case(f"{path} aborted at random moments", aborted(path), is_short=path == "seg/train") for path in KINDS),
    Case("live session aborted at random moments", aborted_live_session),
    Case("reset with a model aborted while it is queued", aborted_upload_of_a_model_that_is_queued, is_short=True),
]
