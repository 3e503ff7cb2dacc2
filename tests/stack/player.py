"""The parts of the client that these tests play: its requests, its files and its ears."""

import io
import json
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pika
import pika.exceptions
import requests
import tifffile

from client.defaults import body
from stack.running import RunningServer, wait_until

QUEUES = ("update", "dataset", "log", "prediction")
CHUNK = 10 * 2**20


def write_movie(path: Path, frames: np.ndarray) -> None:
    """Write (T, Z, Y, X) uint16 as BigDataViewer does: signed cells that hold unsigned values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["s00/resolutions"] = np.ones((1, 3))
        file["s00/subdivisions"] = np.array([[32, 32, 4]], dtype=np.int32)
        for t, frame in enumerate(frames):
            cells = frame.astype(np.uint16).view(np.int16)
            file.create_dataset(f"t{t:05d}/s00/0/cells", data=cells, chunks=True, compression="gzip")


def blobs(shape: tuple[int, ...], n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of `n` round nuclei, and their centres (n, 3), Z, Y, X."""
    rng = np.random.default_rng(seed)
    centres = np.stack([rng.uniform(3, s - 3, n) for s in shape], axis=1)
    grid = np.stack(np.meshgrid(*(np.arange(s) for s in shape), indexing="ij"), axis=-1)
    image = rng.normal(20, 3, shape)
    for centre in centres:
        image += 150 * np.exp(-((grid - centre) ** 2).sum(-1) / (2 * 2.5**2))
    return np.clip(image, 0, 255).astype(np.uint16), centres


def spot(t: int, centre: np.ndarray, radius: float = 4.0, tag: str = "tp") -> dict[str, Any]:
    covariance = (np.eye(3) * radius**2).ravel().tolist()
    return {"t": t, "pos": centre[::-1].tolist(), "covariance": covariance, "tag": tag, "label": "1", "id": 1}


class Player:
    """A client of a running server."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self._pool = ThreadPoolExecutor(8)

    def post(self, path: str, sent: dict[str, Any], timeout: float = 180) -> requests.Response:
        return requests.post(self.server.base_url + path, json=sent, timeout=timeout)

    def later(self, path: str, sent: dict[str, Any]) -> "Future[requests.Response]":
        return self._pool.submit(self.post, path, sent)

    def state(self) -> int:
        answer = requests.get(self.server.base_url + "state/process", timeout=60).json()
        assert answer["success"] is True
        return int(answer["state"])

    def wait_for_state(self, state: int, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while self.state() != state:
            assert time.monotonic() < end, f"the state stays {self.state()}, expected {state}"
            time.sleep(0.05)

    def wait_for_running_job(self, seconds: float = 60) -> None:
        """Wait until a worker has begun a job, not just until one is queued."""

        wait_until(lambda: "running" in self.phases(), seconds, "a worker to begin the job")

    def phases(self) -> list[str]:
        """Return the phase of each job that there is; none where the page cannot be had right now."""
        status = requests.get(self.server.base_url + "dashboard/api/status", timeout=60)
        return [job["phase"] for job in status.json()["jobs"]] if status.ok else []

    def abort(self) -> requests.Response:
        return self.post("state/process", {"state": 0})

    def make_dataset(self, name: str, frames: np.ndarray, **body: Any) -> requests.Response:
        return self.later_dataset(name, frames, **body).result()

    def later_dataset(self, name: str, frames: np.ndarray, **body: Any) -> "Future[requests.Response]":
        folder = self.server.workspace / "datasets" / name
        write_movie(folder / f"{Path(name).name}.h5", frames)
        return self.later("dataset/generate", {"dataset_name": name, "is_2d": False, **body})


def filled(request: str, dataset: str, **changes: Any) -> dict[str, Any]:
    """Return what a fresh client sends, but for a small movie of cubic voxels, and for what is changed."""
    sent = body(request, is_3d=True)
    of_movie = {"dataset_name": dataset, "scales": [1, 1, 1], "n_keep_axials": 0, "input_size": None}
    return sent | {key: of_movie[key] for key in sent.keys() & of_movie.keys()} | changes


def train_body(dataset: str, spots: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return what starts a quick training with all augmentations."""
    quick = {"crop_size": [32, 32, 16], "n_crops": 2, "n_epochs": 2, "timepoint": 0, "log_dir": "run"}
    augmented = {"aug_scale_factor_base": 0.2, "aug_rotation_angle": 90, "aug_contrast": 0.5}
    return filled("seg/train", dataset, **{"spots": spots, **quick, **augmented, **changes})


def predict_body(dataset: str, **changes: Any) -> dict[str, Any]:
    """Return what asks for nuclei of any size."""
    return filled("seg/predict", dataset, **{"r_max": 50, **changes})


def update_body(dataset: str, spots: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return what writes labels."""
    return filled("seg/update", dataset, spots=spots, **changes)


def reset_body(dataset: str, **changes: Any) -> dict[str, Any]:
    """Return what starts a model from the intensities of a dataset."""
    return filled("seg/reset default", dataset, **{"crop_size": [32, 32, 8], "n_crops": 1, **changes})


def export_body(dataset: str, spots: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return what asks for masks of spots that have a value each."""
    return filled("download/ctc", dataset, spots=spots, **changes)


class Uploader:
    """Sends files as the client does: in pieces of 10 MiB, whatever it is answered."""

    def __init__(self, server: RunningServer, dataset: str, path: str = "upload/image") -> None:
        self.url = server.base_url + path
        self.folder = server.workspace / "datasets" / dataset
        self.dataset = dataset
        self.staging = server.workspace / "datasets" / ".uploads"

    def step(self, filename: str, action: str, piece: bytes | None = None) -> requests.Response:
        fields = {"dataset_name": self.dataset, "filename": filename, "action": action}
        files = None if piece is None else {"file": (filename, piece)}
        return requests.post(self.url, data=fields, files=files, timeout=60)

    def pieces(self, file: Path) -> Iterator[bytes]:
        """Read into one buffer of 10 MiB: leftovers of the piece before stay behind the end of the last one."""
        buffer = bytearray(CHUNK)
        with file.open("rb") as source:
            while source.readinto(buffer):
                yield bytes(buffer)

    def send(self, file: Path) -> list[int]:
        """Send a file up to `complete`; return the statuses."""
        steps = [self.step(file.name, "append" if i else "init", p) for i, p in enumerate(self.pieces(file))]
        return [step.status_code for step in [*steps, self.step(file.name, "complete")]]


def masks_of(content: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: tifffile.imread(io.BytesIO(archive.read(name))) for name in archive.namelist()}


class Ears:
    """Consumes the queues as the client does: not durable, exclusive or auto-delete, acknowledged automatically."""

    def __init__(self, server: RunningServer, queues: tuple[str, ...] = QUEUES) -> None:
        self._queues = queues
        self._parameters = pika.ConnectionParameters(
            "127.0.0.1", server.rabbitmq_port, "/", pika.PlainCredentials("user", server.rabbitmq_password)
        )
        self.heard: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self.expirations: list[str | None] = []
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Ears":
        self._thread.start()
        assert self._ready.wait(60), "the broker does not answer"
        assert "error" not in self.heard, f"the broker does not let the client consume: {self.heard['error']}"
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def bodies(self, queue: str) -> list[Any]:
        texts = [text for _, text in self.heard[queue]]
        return [json.loads(text) for text in texts] if queue in ("dataset", "log") else texts

    def said(self, level: str) -> str:
        """Return what was logged at a level, a line each."""
        return "\n".join(entry["message"] for entry in self.bodies("log") if entry["level"] == level)

    def wait_for(self, condition: Callable[["Ears"], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < end, f"not heard; heard was {dict(self.heard)}"
            time.sleep(0.05)

    def _run(self) -> None:
        try:
            self._listen()
        except pika.exceptions.AMQPError as error:
            # The client's connection ends with the broker's: a wait for a message then says why none comes.
            self.heard["error"].append((time.monotonic(), repr(error)))
        finally:
            self._ready.set()

    def _listen(self) -> None:
        connection = pika.BlockingConnection(self._parameters)
        channel = connection.channel()
        for queue in self._queues:
            channel.queue_declare(queue, durable=False, exclusive=False, auto_delete=False)
            channel.queue_purge(queue)
            channel.basic_consume(queue, self._hear, auto_ack=True)
        self._ready.set()
        while not self._stop.is_set():
            connection.process_data_events(0.1)
        connection.close()

    def _hear(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.expirations.append(properties.expiration)
        self.heard[method.routing_key].append((time.monotonic(), body.decode()))
