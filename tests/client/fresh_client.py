"""A client that has just been installed, on a movie that its requests are about."""

import json
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import requests
import torch
import zarr

from client.defaults import path_of, texts
from client.wire import HEADERS, read, written
from elephant.models.ensemble import Ensemble
from elephant.models.unet import DetectionNet, FlowNet
from stack.player import Uploader, write_movie
from stack.running import RunningServer

N_TIMEPOINTS = 10
DATASET, DETECTION, FLOW = "dataset", "detection.pth", "flow.pth"

# What has to change for a movie that is small enough for two cores: its size, what lies within it, and for how long it
# is learnt from.
SMALL = {
    "[10,31,512,512]": "[10,8,32,32]",
    '"input_size":[512,512,31]': '"input_size":[32,32,8]',
    '"crop_box":[0,0,0,384,384,24]': '"crop_box":[0,0,0,32,24,8]',
    "[80.16,75.2,30]": "[5.12,5.12,8]",
}
# Ten epochs of a fresh client are learnt from by ``make test-client``.
QUICK = {} if "ELEPHANT_TEST_CLIENT" in os.environ else {'"n_epochs":10': '"n_epochs":2'}


@dataclass(frozen=True)
class Scene:
    """A movie that fits the requests, and how they are changed for it.

    Attributes
    ----------
    kind
        ``3d`` or ``2d``.
    shape
        Z, Y, X.
    changes
        Pieces of the requests' texts that are replaced; the rest is byte for byte what a fresh client sends.
    """

    kind: str
    shape: tuple[int, int, int]
    changes: dict[str, str]

    @property
    def n_dims(self) -> int:
        return 3 if self.kind == "3d" else 2

    def text(self, name: str) -> str:
        """Return the text of a request."""
        text = texts(self.kind)[name]
        for old, new in self.changes.items():
            text = text.replace(old, new)
        return text


SCENES = {
    "small volumes": Scene("3d", (8, 32, 32), SMALL | {'"n_epochs":10': '"n_epochs":2'}),
    "planes": Scene("2d", (1, 512, 512), QUICK),
    "volumes": Scene("3d", (31, 512, 512), {}),
}


@dataclass(frozen=True)
class FreshClient:
    """Plays the requests of a fresh client."""

    server: RunningServer
    scene: Scene
    folder: Path
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))

    def play(self, name: str, **changes: Any) -> requests.Response:
        """Send a request, with other values for settings that the user has moved."""
        if changes:
            return self.post(path_of(name), {**self.body(name), **changes})
        return self._send(path_of(name), self.scene.text(name))

    def post(self, path: str, body: dict[str, Any]) -> requests.Response:
        """Send a body of its own."""
        return self._send(path, written(body))

    def later(self, name: str, **changes: Any) -> "Future[requests.Response]":
        """Send a request and go on."""
        return self.pool.submit(self.play, name, **changes)

    def body(self, name: str) -> dict[str, Any]:
        """Return the body of a request."""
        found: dict[str, Any] = json.loads(self.scene.text(name))
        return found

    def state(self) -> int:
        answer = read(requests.get(self.server.base_url + "state/process", headers=HEADERS, timeout=60))
        return int(answer["state"])

    # The first use

    def begin(self) -> None:
        """Send the movie and make the dataset, where there was none."""
        self.clear()
        assert read(self.play("dataset/check"))["message"] not in ("", "ready")
        without = self.play("dataset/generate")
        assert (without.status_code, without.content) == (204, b"")
        movie = self.folder / f"{DATASET}.h5"
        write_movie(movie, self.frames())
        assert set(Uploader(self.server, DATASET).send(movie)) == {200}
        assert read(self.play("dataset/generate"))["completed"] is True
        assert read(self.play("dataset/check")) == {"message": "ready"}

    def clear(self) -> None:
        """Remove what an earlier scene has left under the same names."""
        workspace = self.server.workspace
        for folder in ("datasets/dataset", "models/.history", "models/pretrained"):
            shutil.rmtree(workspace / folder, ignore_errors=True)
        for name in (DETECTION, FLOW):
            (workspace / "models" / name).unlink(missing_ok=True)

    def frames(self) -> np.ndarray:
        """Return a movie of the one nucleus that the requests are about, on black: (T, Z, Y, X)."""
        spot, scales = self.body("seg/train")["spots"][0], self.body("seg/train")["scales"]
        link = self.body("flow/train")["spots"][0]
        frames = np.zeros((N_TIMEPOINTS, *self.scene.shape), np.uint16)
        axes = [np.arange(n) * edge for n, edge in zip(self.scene.shape, scales[::-1], strict=True)]
        for t in range(N_TIMEPOINTS):
            # It is at `pos` at the last timepoint, and comes from `displacement` off it at each one before.
            at = np.array(spot["pos"]) + (N_TIMEPOINTS - 1 - t) * np.array(link["displacement"])
            if self.scene.n_dims == 2:
                at[2] = 0
            parts = [np.exp(-(((axis - x) / 2.0) ** 2)) for axis, x in zip(axes, at[::-1], strict=True)]
            frames[t] = np.round(200 * parts[0][:, None, None] * parts[1][:, None] * parts[2])
        return frames

    # What lies in the workspace

    def array(self, name: str) -> np.ndarray:
        """Return an array of the dataset."""
        found: np.ndarray = zarr.open_array(self.server.workspace / "datasets" / DATASET / name, mode="r")[...]
        return found

    def model(self, name: str) -> Path:
        """Return the file of a model."""
        return self.server.workspace / "models" / name

    def put_pretrained(self, name: str) -> dict[str, torch.Tensor]:
        """Put a model where pretrained ones are looked for, and return its weights."""
        network = (FlowNet if "flow" in name else DetectionNet)(self.scene.n_dims, 0)
        Ensemble([network]).save(self.model(f"pretrained/{name}"))
        return dict(network.state_dict())

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        """Return the weights of a model of the workspace."""
        found: dict[str, torch.Tensor] = torch.load(self.model(name), weights_only=True)
        return found

    def _send(self, path: str, text: str) -> requests.Response:
        return requests.post(
            urljoin(self.server.base_url, path),
            data=text.encode(),
            headers={**HEADERS, "Content-Type": "application/json"},
            timeout=3000,
            allow_redirects=False,
        )
