"""Programs of the server that are killed, or hang."""

import os
import signal
import time
from contextlib import suppress

import psutil
import zarr

from faults.breakdowns.ledger import Ledger
from faults.breakdowns.recovery import (
    ANSWER_LIMIT_S,
    assert_explained,
    assert_models_are_whole,
    assert_works,
    changed_at,
    frozen,
    job_store,
    kill,
    slow_predict_body,
    train_long,
    wait_until_queued_or_running,
)
from faults.cases import Case
from faults.ground import Ground
from stack.running import wait_until

NOTICED_LIMIT_S = 12.0


def training_worker(g: Ground) -> None:
    asked = train_long(g)
    kill(g, "training")
    begin = time.monotonic()
    answer = asked.result(ANSWER_LIMIT_S)
    assert time.monotonic() - begin < NOTICED_LIMIT_S
    assert "died" in assert_explained(answer)
    assert g.player.state() == 0
    assert_models_are_whole(g)
    assert_works(g, training=True)


def answering_worker(g: Ground) -> None:
    asked = g.player.later("seg/predict", slow_predict_body(g.volume))
    wait_until_queued_or_running(g, "running")
    kill(g, "answering")
    begin = time.monotonic()
    assert "died" in assert_explained(asked.result(ANSWER_LIMIT_S))
    assert time.monotonic() - begin < NOTICED_LIMIT_S
    assert_works(g)


def answering_worker_while_it_computes_ahead(g: Ground) -> None:
    body = slow_predict_body(g.volume) | {"input_size": [128, 128, 16], "patch": [64, 64, 16]}
    for t in (0, 1):
        assert g.post("seg/predict", {**body, "timepoint": t}).json()["completed"] is True
    worker = psutil.Process(g.server.pid("answering"))
    wait_until(lambda: worker.cpu_percent(0.2) > 20, 60, "the worker to compute ahead")
    assert g.player.state() == 0
    kill(g, "answering")
    assert g.player.state() == 0
    # What takes long begins with white space: what was found is compared.
    found, again = (g.post("seg/predict", {**body, "timepoint": 2}).json() for _ in range(2))
    assert found["completed"] is True
    assert found == again == g.post("seg/predict", {**body, "timepoint": 2, "batch_size": 2}).json()
    assert_works(g)


def answering_worker_while_a_training_runs(g: Ground) -> None:
    training = train_long(g)
    asked = g.player.later("seg/predict", slow_predict_body(g.volume))
    wait_until_queued_or_running(g, "running", "seg_predict")
    kill(g, "answering")
    assert "died" in assert_explained(asked.result(ANSWER_LIMIT_S))
    model = g.workspace / "models" / g.volume.detection
    before = changed_at(model)
    wait_until(lambda: changed_at(model) != before, 60, "the training to go on")
    assert not training.done()
    g.player.abort()
    assert training.result(ANSWER_LIMIT_S).json() == {"completed": False}
    assert_works(g)


def queued_requests_outlive_the_worker(g: Ground) -> None:
    first = g.player.later("seg/predict", slow_predict_body(g.volume))
    wait_until_queued_or_running(g, "running")
    others = [g.player.later("seg/predict", g.volume.seg_predict_body(t)) for t in range(3)]
    wait_until_queued_or_running(g, "queued")
    kill(g, "answering")
    assert_explained(first.result(ANSWER_LIMIT_S))
    assert all(other.result(60).json()["completed"] is True for other in others)
    assert_works(g)


def answering_worker_while_labels_are_written(g: Ground) -> None:
    ledger = Ledger(g.volume)
    for round_number in range(3):
        for t in range(4):
            variant = (t + round_number) % 4
            asked = g.player.later("seg/update", ledger.body(t, variant))
            if t == 3:
                time.sleep(0.01 * round_number)
                kill(g, "answering")
            answer = asked.result(60)
            if answer.status_code == 200:
                ledger.acknowledge(t, variant)
            else:
                assert_explained(answer)
        ledger.assert_kept()
    assert_works(g, ledger)


def both_workers_at_once(g: Ground) -> None:
    asked = train_long(g)
    kill(g, "training", "answering")
    assert_explained(asked.result(ANSWER_LIMIT_S))
    assert_works(g, training=True)


def training_worker_hangs(g: Ground) -> None:
    asked = train_long(g)
    before = g.server.pid("training")
    with frozen(g, "training"):
        said = assert_explained(asked.result(60))
        assert "does not answer" in said
        assert "died" not in said
        assert g.player.state() == 0
        # It is ended and started again: nobody has to wake it.
        wait_until(lambda: g.server.pid("training") not in (0, before), 60, "the worker to be started again")
        assert_works(g, training=True)


def live_session(g: Ground) -> None:
    asked = train_long(g, is_livemode=True)
    kill(g, "training")
    assert_explained(asked.result(ANSWER_LIMIT_S))
    assert g.volume.label(g.volume.annotated(0, g.volume.movie.drawn(0)), is_livemode=True)
    assert_works(g)
    again = train_long(g, is_livemode=True)
    g.player.abort()
    assert again.result(ANSWER_LIMIT_S).json() == {"completed": False}


def message_lost_with_a_worker(g: Ground) -> None:
    """Take a message out of the queue as a worker does that is killed before it begins."""
    with frozen(g, "answering"):
        asked = g.player.later("seg/predict", g.volume.seg_predict_body(0))
        queues = job_store(g.server, 1)
        wait_until(lambda: queues.llen("answering") or asked.done(), 60, "the message")
        queues.delete("answering")
    assert asked.result(60).json()["completed"] is True
    assert_works(g)


def uwsgi_workers(g: Ground) -> None:
    asked = train_long(g)
    master = g.server.pid("uwsgi")
    for process in g.server.processes():
        if process.ppid() == master:
            process.kill()
    try:
        answer = asked.result(ANSWER_LIMIT_S)
    except OSError:
        pass
    else:
        assert answer.status_code != 200 or "error" in answer.json()
    wait_until(g.server.answers, 60, "an answer")
    assert g.player.state() == 1, "a training goes on without the process that was asked for it"
    g.player.abort()
    g.wait_until_idle()
    assert_works(g, training=True)


def uwsgi_master(g: Ground) -> None:
    asked = train_long(g)
    kill(g, "uwsgi")
    with suppress(OSError):
        asked.result(ANSWER_LIMIT_S)
    wait_until(g.server.answers, 60, "an answer")
    assert g.player.state() == 1
    g.player.abort()
    g.wait_until_idle()
    assert_works(g)


def nginx(g: Ground) -> None:
    asked = train_long(g)
    kill(g, "nginx")
    with suppress(OSError):
        asked.result(ANSWER_LIMIT_S)
    wait_until(g.server.answers, 60, "an answer")
    assert g.player.state() == 1
    g.player.abort()
    assert_works(g)


def epmd(g: Ground) -> None:
    [pid] = [p.pid for p in g.server.processes() if p.name() == "epmd"]
    os.kill(pid, signal.SIGKILL)
    assert_works(g)
    wait_until(lambda: any(p.name() == "epmd" and p.pid != pid for p in g.server.processes()), 60, "epmd")


def everything_but_supervisord(g: Ground) -> None:
    kill(g, "training", "answering", "uwsgi", "nginx", "redis", "rabbitmq")
    wait_until(g.server.answers, 60, "an answer")
    assert_works(g, training=True)


def conversion(g: Ground) -> None:
    images = g.dataset() / "imgs.zarr"
    before = zarr.open_array(images, mode="r")[...]
    asked = g.player.later("dataset/generate", g.volume.generate_body())
    wait_until(lambda: g.player.state() == 2 or asked.done(), 60, "the conversion")
    kill(g, "answering")
    answer = asked.result(60)
    if answer.status_code != 200:
        assert_explained(answer)
    assert (zarr.open_array(images, mode="r")[...] == before).all()
    assert_works(g)
    assert g.volume.check() == "ready"
    assert g.volume.generate().status_code == 200
    assert g.volume.label(g.volume.annotated(0, g.volume.movie.drawn(0)))


def export(g: Ground) -> None:
    spots = [{**s, "value": 7} for s in g.volume.annotated(0, g.volume.movie.drawn(0))]
    body = g.volume.export_body(spots, 0, 5)
    with frozen(g, "answering"):
        asked = g.player.later("download/ctc", body)
        wait_until(lambda: g.player.state() == 2, 60, "the export")
        kill(g, "answering")
    # Its message still lies in the queue, or it was taken by the one that is dead.
    try:
        answer = asked.result(60)
    except OSError:
        pass
    else:
        assert answer.status_code == 200 or assert_explained(answer)
    assert_works(g)
    wait_until(lambda: not list((g.workspace / ".exports").iterdir()), 60, "what was left to be removed")


def a_worker_again_and_again(g: Ground) -> None:
    for _ in range(6):
        starts = _starts(g)
        kill(g, "answering")
        wait_until(lambda starts=starts: _starts(g) > starts, 60, "another worker to be ready")
    assert g.server.process.poll() is None, g.server.output()
    assert_works(g)


def _starts(g: Ground) -> int:
    """Count how often an answering worker has said that it is ready."""
    return (g.server.service_logs / "answering.log").read_text(errors="replace").count(" ready.")


CASES = [
    Case("training worker killed while it trains", training_worker, is_short=True),
    Case("answering worker killed while it predicts", answering_worker, is_short=True),
    Case("answering worker killed while it computes ahead", answering_worker_while_it_computes_ahead, is_short=True),
    Case("answering worker killed while a training waits for it", answering_worker_while_a_training_runs),
    Case("answering worker killed while others wait for it", queued_requests_outlive_the_worker),
    Case("answering worker killed while labels are written", answering_worker_while_labels_are_written),
    Case("both workers killed at once", both_workers_at_once),
    Case("training worker hangs for longer than its lease", training_worker_hangs),
    Case("training worker killed in a live session", live_session),
    Case("message lost with a worker that was killed", message_lost_with_a_worker, is_short=True),
    Case("uWSGI's processes killed while a request waits", uwsgi_workers),
    Case("uWSGI killed while a request waits", uwsgi_master),
    Case("NGINX killed while a request waits", nginx),
    Case("epmd killed", epmd),
    Case("all programs killed at once", everything_but_supervisord),
    Case("answering worker killed while it converts a movie", conversion),
    Case("answering worker killed while it exports", export),
    Case("answering worker killed six times in a row", a_worker_again_and_again),
]
