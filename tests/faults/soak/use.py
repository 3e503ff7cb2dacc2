"""People who use the server, each in a thread: what they asked, and what became of it."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pika
import pika.exceptions
import requests

from client.released import ReleasedClient
from faults.breakdowns.ledger import N_VARIANTS, Ledger
from faults.ground import Ground
from stack.player import Uploader

REQUEST_LIMIT_S = 150.0
# Timepoints whose labels the annotators write; trainings label the last one.
ANNOTATED = range(5)
TRAINED = 5
# What a request may be answered with while something is down, besides that it was done.
PASSING = (502, 503)
EXPLAINED = ("died", "was lost", "a process is running", "too many requests", "was given up")


class Records:
    """What was asked and answered, counted; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.problems: list[str] = []
        self.last_done = 0.0

    def count(self, what: str, result: str) -> None:
        with self._lock:
            self.counts[what, result] += 1
            if result == "done" and what == "seg/predict":
                self.last_done = time.monotonic()

    def problem(self, text: str) -> None:
        with self._lock:
            self.problems.append(text)


class Person(threading.Thread):
    """Does one thing after the other until told to stop; pauses while the server is started afresh."""

    def __init__(self, name: str, act: Callable[[], None], records: Records, pause_s: float) -> None:
        super().__init__(name=name, daemon=True)
        self._act = act
        self._records = records
        self._pause_s = pause_s
        self._stopped = threading.Event()
        self._may_act = threading.Event()
        self._may_act.set()
        self._is_calm = threading.Event()
        self._rng = random.Random(name)

    def run(self) -> None:
        while not self._stopped.wait(self._rng.uniform(0, 2 * self._pause_s)):
            self._is_calm.set()
            self._may_act.wait()
            self._is_calm.clear()
            try:
                self._act()
            except Exception as error:  # noqa: BLE001 - whatever a person comes upon is a finding
                self._records.problem(f"{self.name}: {type(error).__name__}: {error}"[:400])
        self._is_calm.set()

    def hold(self) -> None:
        """Begin nothing more."""
        self._may_act.clear()

    def wait_until_calm(self) -> None:
        """Return when what was begun has ended."""
        assert self._is_calm.wait(REQUEST_LIMIT_S + 30), f"{self.name} waits for an answer without end"

    def go_on(self) -> None:
        self._may_act.set()

    def stop(self) -> None:
        self._stopped.set()
        self._may_act.set()
        self.join(REQUEST_LIMIT_S + 30)


class Use:
    """All that people do with one server."""

    def __init__(self, ground: Ground, records: Records, seed: int) -> None:
        self.ground = ground
        self.records = records
        self.ledgers = [Ledger(ground.volume), Ledger(ground.plane)]
        self._rng = random.Random(seed)
        acts: list[tuple[str, Callable[[], None], float]] = [
            ("annotator in 3D", lambda: self._annotate(self.ledgers[0], ground.volume), 0.7),
            ("annotator in 2D", lambda: self._annotate(self.ledgers[1], ground.plane), 0.7),
            ("tracker", self._track, 0.7),
            ("trainer", self._train, 1.0),
            ("uploader", self._upload, 4.0),
            ("exporter", self._export, 4.0),
            ("polling", self._poll, 0.5),
            ("listener", self._listen, 0.5),
        ]
        self.people = [Person(name, act, records, pause) for name, act, pause in acts]

    def assert_kept(self) -> None:
        """Fail where a label update that was acknowledged is not in the arrays."""
        for ledger in self.ledgers:
            ledger.assert_kept()

    def ask(self, path: str, body: dict[str, Any], **request: Any) -> requests.Response | None:
        """Send a request and count its answer; None where it was not done."""
        try:
            if request:
                answer = requests.post(self.ground.server.base_url + path, timeout=REQUEST_LIMIT_S, **request)
            else:
                answer = self.ground.post(path, body, timeout=REQUEST_LIMIT_S)
        except requests.Timeout:
            self.records.problem(f"{path}: nothing was answered for {REQUEST_LIMIT_S:.0f} s")
            self.records.count(path, "hung")
        except requests.RequestException:
            # The connection broke, or there was none: NGINX or uWSGI is down.
            self.records.count(path, "cut off")
        else:
            result = self._judge(path, answer)
            self.records.count(path, result)
            return answer if result == "done" else None
        return None

    def _judge(self, path: str, answer: requests.Response) -> str:
        if answer.headers.get("Content-Type") != "application/json":
            return "done" if answer.status_code in (200, 204) else self._unexplained(path, answer)
        found = answer.json()
        error = str(found.get("error", "")) if isinstance(found, dict) else ""
        if answer.status_code == requests.codes.ok and not error:
            return "aborted" if isinstance(found, dict) and found.get("completed") is False else "done"
        if answer.status_code in PASSING and error:
            return "refused"
        if any(words in error for words in EXPLAINED) or "cannot be reached" in error:
            return "refused"
        if path == "upload/image" and answer.status_code == requests.codes.bad_request:
            return "refused"
        return self._unexplained(path, answer)

    def _unexplained(self, path: str, answer: requests.Response) -> str:
        self.records.problem(f"{path}: {answer.status_code} {answer.text[:300]}")
        return "wrong"

    def _annotate(self, ledger: Ledger, client: ReleasedClient) -> None:
        t, variant = self._rng.choice(ANNOTATED), self._rng.randrange(N_VARIANTS)
        body = ledger.body(t, variant)
        if self._rng.random() < 0.3:
            body["is_livemode"] = True
        if self.ask("seg/update", body):
            ledger.acknowledge(t, variant)
        if self._rng.random() < 0.3:
            self.ask("flow/update", client.flow_update_body(client.movie.links(t)))

    def _track(self) -> None:
        client, t = self._rng.choice([self.ground.volume, self.ground.plane]), self._rng.randrange(1, 6)
        self.ask("dataset/check", client.check_body())
        self.ask("seg/predict", client.seg_predict_body(t, output_prediction=self._rng.random() < 0.3))
        self.ask("flow/predict", client.flow_predict_body(t, client.movie.drawn(t)))

    def _train(self) -> None:
        client = self._rng.choice([self.ground.volume, self.ground.plane])
        spots = client.annotated(TRAINED, client.movie.drawn(TRAINED))
        small = {"n_crops": 1, "log_dir": "soak"}
        what = self._rng.random()
        if what < 0.35:
            self.ask("seg/train", client.seg_train_body(spots, n_epochs=self._rng.randint(1, 6), **small))
        elif what < 0.6:
            self.ask("flow/train", client.flow_train_body(client.movie.links(0), n_epochs=2, **small))
        elif what < 0.7:
            self.ask("seg/reset", {**client.seg_reset_body(), "model_name": f"{client.dataset}/again.pth"})
        elif what < 0.8:
            self._upload_model(client)
        else:
            self._live(client, spots, small)

    def _live(self, client: ReleasedClient, spots: list[dict[str, Any]], small: dict[str, Any]) -> None:
        """Hold a live session for some seconds; the annotators' updates belong to it."""
        body = client.seg_train_body(spots, is_livemode=True, **small)
        session = threading.Thread(target=self.ask, args=("seg/train", body), daemon=True)
        session.start()
        time.sleep(self._rng.uniform(2, 10))
        # A session goes on without the connection that asked for it: only an abort that was heard ends it.
        while not self.ask("state/process", {"state": 0}) or session.is_alive():
            session.join(2)

    def _upload_model(self, client: ReleasedClient) -> None:
        path = self.ground.workspace / "models" / client.detection
        data = json.dumps({**client.seg_reset_body(), "model_name": f"{client.dataset}/uploaded.pth"})
        self.ask("seg/reset", {}, data={"data": data}, files={"file": path.read_bytes()})

    def _upload(self) -> None:
        uploader, movie = Uploader(self.ground.server, "soak/uploaded"), self.ground.volume.movie
        fields = {"dataset_name": uploader.dataset, "filename": movie.file.name}
        for number, piece in enumerate(uploader.pieces(movie.file)):
            action = "append" if number else "init"
            self.ask("upload/image", {}, data={**fields, "action": action}, files={"file": (movie.file.name, piece)})
        done = self.ask("upload/image", {}, data={**fields, "action": "complete"})
        if done or (uploader.folder / movie.file.name).exists():
            self.ask("dataset/generate", {"dataset_name": uploader.dataset, "is_2d": False})

    def _export(self) -> None:
        client = self.ground.volume
        spots = [{**s, "value": 1} for s in client.annotated(0, client.movie.drawn(0))]
        self.ask("download/ctc", client.export_body(spots, 0, 5))
        self.ask("download/model", {"model_name": client.detection})

    def _poll(self) -> None:
        for path in ("state/gpus", "state/process", "params"):
            try:
                answer = requests.get(self.ground.server.base_url + path, timeout=20)
            except requests.Timeout:
                self.records.count(path, "hung")
                self.records.problem(f"{path}: nothing was answered for 20 s")
            except requests.RequestException:
                self.records.count(path, "cut off")
            else:
                self.records.count(path, self._judge(path, answer))

    def _listen(self) -> None:
        """Connect to the broker as the client does each second."""
        credentials = pika.PlainCredentials("user", "user")
        parameters = pika.ConnectionParameters(
            "127.0.0.1", self.ground.server.rabbitmq_port, "/", credentials, socket_timeout=5, stack_timeout=10
        )
        try:
            pika.BlockingConnection(parameters).close()
        except (pika.exceptions.AMQPError, OSError):
            self.records.count("RabbitMQ", "cut off")
        else:
            self.records.count("RabbitMQ", "done")
