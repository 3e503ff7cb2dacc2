"""The released client: its requests, which a fresh one has by default, and what it makes of their answers."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests

from client.defaults import body
from client.movies import ANY_Z, Drawn, Movie
from client.wire import HEADERS, get, is_number, post, read, written
from stack.player import Uploader
from stack.running import RunningServer

TAGS = ("tp", "fp", "tn", "fn", "tb", "fb", "unlabeled")

# What clients up to 0.3 call the same, and what they do not send.
OLD_PATHS = {
    **{f"{what}/{do}": f"{do}/{what}" for what in ("seg", "flow") for do in ("predict", "train", "update", "reset")},
    "download/ctc": "export/ctc",
    "download/model": "model/download",
    "state/process": "state",
    "state/gpus": "gpus",
    "upload/image": "upload",
}
NEW_KEYS = ("is_3d", "input_size", "batch_size", "use_memmap")

# What the user has changed in the dialog of settings, for a quick story.
QUICK: Mapping[str, Any] = {"crop_size": [32, 32, 8], "n_epochs": 1, "n_crops": 1, "log_interval": 10}
FRESH: Mapping[str, Any] = {}


@dataclass(frozen=True)
class ReleasedClient:
    """A client whose user has opened `movie` and uses the dataset and the models of these names.

    Every method is something that the user does; before it the client asks whether the dataset is ready. It sends what
    a fresh client sends, but for what belongs to the movie and for the `settings` that the user has changed.
    """

    server: RunningServer
    movie: Movie
    dataset: str
    detection: str = "detection.pth"
    flow: str = "flow.pth"
    is_old: bool = False
    settings: Mapping[str, Any] = field(default_factory=lambda: QUICK)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))

    # Requests

    def send(self, path: str, body: dict[str, Any]) -> requests.Response:
        """Send a request as this version of the client does."""
        if self.is_old:
            left_out = (*NEW_KEYS, "is_livemode") if path == "seg/update" else NEW_KEYS
            path, body = OLD_PATHS.get(path, path), {k: v for k, v in body.items() if k not in left_out}
        return post(self.server.base_url, path, body)

    def filled(self, request: str, **own: Any) -> dict[str, Any]:
        """Return the body of a fresh client's request, with what belongs to the movie, the names and the settings."""
        sent = body(request, is_3d=self.movie.is_3d)
        of_movie = {
            "dataset_name": self.dataset,
            "model_name": self.detection if request.startswith("seg/") else self.flow,
            "scales": self.movie.scales,
            "n_keep_axials": self.movie.n_keep_axials,
            "input_size": self._input_size(),
        }
        changed = {**of_movie, **self.settings}
        return sent | {key: changed[key] for key in sent.keys() & changed.keys()} | own

    def act(self, path: str, body: dict[str, Any]) -> requests.Response:
        """Send a request about the dataset, when it is ready."""
        assert self.check() == "ready"
        return self.send(path, body)

    def completes(self, path: str, body: dict[str, Any]) -> bool:
        """Send a request and return whether it was completed: a boolean, and nothing else."""
        completed = read(self.act(path, body))["completed"]
        assert type(completed) is bool
        return completed

    def later(self, path: str, body: dict[str, Any]) -> "Future[bool]":
        """Send a request and go on."""
        return self.pool.submit(self.completes, path, body)

    # The dataset

    def check_body(self) -> dict[str, Any]:
        n_timepoints, shape = self.movie.n_timepoints, self.movie.shape[0 if self.movie.is_3d else 1 :]
        return self.filled("dataset/check", shape=[n_timepoints, *shape])

    def check(self) -> str:
        message = read(self.send("dataset/check", self.check_body()))["message"]
        assert isinstance(message, str)
        return message

    def generate_body(self) -> dict[str, Any]:
        return self.filled("dataset/generate")

    def generate(self) -> requests.Response:
        return self.send("dataset/generate", self.generate_body())

    def upload(self) -> list[int]:
        """Send the movie in pieces of 10 MiB, each as long as the others."""
        path = "upload" if self.is_old else "upload/image"
        return Uploader(self.server, self.dataset, path).send(self.movie.file)

    # What runs

    def state(self) -> int:
        answer = read(get(self.server.base_url, OLD_PATHS["state/process"] if self.is_old else "state/process"))
        assert answer["success"] is True
        assert type(answer["state"]) is int
        return answer["state"]

    def set_state(self, state: int) -> int:
        answer = read(self.send("state/process", {"state": state}))
        assert answer["success"] is True
        assert type(answer["state"]) is int
        return answer["state"]

    def set_params(self, lr: float, n_crops: int) -> dict[str, Any]:
        return read(post(self.server.base_url, "params", {"lr": lr, "n_crops": n_crops}))

    # Detection

    def annotated(self, t: int, spots: Sequence[Drawn], tag: str = "tp") -> list[Drawn]:
        """Return drawn spots of a timepoint as they are sent with a tag."""
        assert tag in TAGS
        return [
            {"t": t, "pos": s["pos"], "covariance": s["covariance"], "tag": tag, "label": str(i), "id": i}
            for i, s in enumerate(spots)
        ]

    def seg_predict_body(self, t: int, **changes: Any) -> dict[str, Any]:
        return self.filled("seg/predict", timepoint=t, **changes)

    def detect(self, t: int, **changes: Any) -> list[Drawn]:
        answer = read(self.act("seg/predict", self.seg_predict_body(t, **changes)))
        assert answer["completed"] is True
        for spot in answer["spots"]:
            assert type(spot["t"]) is int
            assert spot["t"] == t
            assert is_number(spot["quality"])
            assert len(spot["pos"]) == 3
            assert len(spot["covariance"]) == 9
            assert all(is_number(value) for value in spot["pos"] + spot["covariance"])
            assert np.linalg.eigvalsh(np.reshape(spot["covariance"], (3, 3))).min() > 0
        return answer["spots"]

    def seg_update_body(self, spots: list[Drawn], **changes: Any) -> dict[str, Any]:
        return self.filled("seg/update", spots=spots, **changes)

    def label(self, spots: list[Drawn], **changes: Any) -> bool:
        return self.completes("seg/update", self.seg_update_body(spots, **changes))

    def clear_labels(self) -> bool:
        return self.completes("seg/update", self.filled("seg/update reset"))

    def seg_train_body(self, spots: list[Drawn], **changes: Any) -> dict[str, Any]:
        return self.filled("seg/train", **{"spots": spots, "timepoint": 0, **changes})

    def train(self, spots: list[Drawn], **changes: Any) -> bool:
        return self.completes("seg/train", self.seg_train_body(spots, **changes))

    def seg_reset_body(self, url: str | None = None) -> dict[str, Any]:
        return self.filled("seg/reset", url=url)

    def reset_detection(self, url: str | None = None, file: Path | None = None) -> requests.Response:
        return self._reset("seg/reset", self.seg_reset_body(url), file)

    # Linking

    def flow_predict_body(self, t: int, spots: Sequence[Drawn], **changes: Any) -> dict[str, Any]:
        return self.filled("flow/predict", **self._asked(t, spots), **changes)

    def track_back_body(self, t: int, spot: Drawn, crop_box: list[int]) -> dict[str, Any]:
        """Return the body of one of the requests that follow a cell back in time."""
        return self.filled("flow/predict back track", **self._asked(t, [spot]), crop_box=crop_box)

    def _asked(self, t: int, spots: Sequence[Drawn]) -> dict[str, Any]:
        return {"timepoint": t, "spots": [{key: spot[key] for key in ("pos", "covariance", "id")} for spot in spots]}

    def link(self, t: int, spots: Sequence[Drawn], **changes: Any) -> list[Drawn]:
        """Return where the spots were, in their order, with the shapes that they have."""
        answer = read(self.act("flow/predict", self.flow_predict_body(t, spots, **changes)))
        assert answer["completed"] is True
        found = answer["spots"]
        assert [spot["id"] for spot in found] == [spot["id"] for spot in spots]
        axes = 3 if self.movie.is_3d else 2
        for was, spot in zip(found, spots, strict=True):
            assert type(was["id"]) is int
            assert len(was["pos"]) == 3
            assert all(is_number(value) for value in was["pos"])
            assert is_number(was["sqdisp"])
            moved = np.subtract(was["pos"], spot["pos"])[:axes]
            np.testing.assert_allclose(was["sqdisp"], (moved**2).sum(), atol=1e-6)
        return [{**spot, "pos": was["pos"]} for was, spot in zip(found, spots, strict=True)]

    def flow_update_body(self, links: list[Drawn]) -> dict[str, Any]:
        return self.filled("flow/update", spots=links)

    def label_flow(self, links: list[Drawn]) -> bool:
        return self.completes("flow/update", self.flow_update_body(links))

    def clear_flow(self) -> bool:
        return self.completes("flow/update", self.filled("flow/update reset"))

    def flow_train_body(self, links: list[Drawn], **changes: Any) -> dict[str, Any]:
        # In 2D the third weight means nothing.
        weights = {} if self.movie.is_3d else {"dim_weights": [1, 1, ANY_Z]}
        return self.filled("flow/train", **{"spots": links, **weights, **changes})

    def train_flow(self, links: list[Drawn], **changes: Any) -> bool:
        return self.completes("flow/train", self.flow_train_body(links, **changes))

    def flow_reset_body(self, url: str | None = None) -> dict[str, Any]:
        return self.filled("flow/reset", url=url)

    def reset_flow(self, url: str | None = None, file: Path | None = None) -> requests.Response:
        return self._reset("flow/reset", self.flow_reset_body(url), file)

    # Files

    def export_body(self, spots: list[Drawn], t_start: int, t_end: int) -> dict[str, Any]:
        return self.filled("download/ctc", spots=spots, t_start=t_start, t_end=t_end)

    def export(self, spots: list[Drawn], t_start: int, t_end: int) -> requests.Response:
        return self.act("download/ctc", self.export_body(spots, t_start, t_end))

    def download_model(self, name: str) -> requests.Response:
        return self.send("download/model", {"model_name": name})

    def _reset(self, path: str, body: dict[str, Any], file: Path | None) -> requests.Response:
        if file is None:
            return self.send(path, body)
        with file.open("rb") as content:
            return requests.post(
                self.server.base_url + path,
                data={"data": written(body)},
                files={"file": content},
                headers=HEADERS,
                timeout=180,
                allow_redirects=False,
            )

    def _input_size(self) -> list[int]:
        """Return the size to which the image is rescaled: its own, since the user asked for none."""
        z, y, x = self.movie.shape
        return self.movie.sizes(x, y, z)


def heard_all(heard: dict[str, list[tuple[float, str]]]) -> None:
    """Check that nothing was heard that ends the client's channel."""
    assert set(heard) <= {"update", "dataset", "log"}, heard
    for _, text in heard["dataset"]:
        message = json.loads(text)
        assert (type(message["t_max"]), type(message["t_current"])) == (int, int)
        assert 1 <= message["t_current"] <= message["t_max"]
    for _, text in heard["log"]:
        message = json.loads(text)
        assert message["level"] in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
        assert isinstance(message["message"], str)
