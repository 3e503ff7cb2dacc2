"""What every case of the suite stands on: a running server, two small datasets, a model of each kind, and labels."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from client.movies import KINDS, Movie
from client.released import ReleasedClient
from client.wire import get, read, written
from stack.player import Player
from stack.running import RunningServer, wait_until

# In the folder of pretrained models.
DAMAGED = ("versatile3d.pth", "Fluo-N3DH-CE_flow.pth")
WATCHED = ("datasets", "models", "logs", ".exports")
# What may come and go by itself below them: locks, and why an upload was given up.
PASSING_SUFFIX, PASSING_NAME = ".lock", ".reason"
UPLOADS = ".uploads"

# For the workers: networks this small gain nothing from threads, which wait for each other on a busy machine.
MODEST = {"OMP_NUM_THREADS": "1"}

Body = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """What a bad input must leave as it was: files by their names in the workspace, and what is known of trainings."""

    files: dict[str, str]
    state: int
    params: dict[str, Any]


@dataclass(frozen=True)
class Ground:
    """A running, idle server on which `volume` and `plane` are users with a dataset, models and labels.

    Attributes
    ----------
    server, player
        The server, and a plain client of it.
    volume, plane
        The released client with a 3D and with a 2D movie: their datasets are ready, detection and flow models are
        there, timepoint 0 has labels, and the links from timepoint 0 have flow labels.
    folder
        For what a case writes outside of the workspace.
    """

    server: RunningServer
    player: Player
    volume: ReleasedClient
    plane: ReleasedClient
    folder: Path

    @classmethod
    def prepared(cls, server: RunningServer, folder: Path) -> "Ground":
        """Prepare a server that runs; what is there already is kept."""
        clients = [_settled(server, kind, folder) for kind in KINDS]
        for name in DAMAGED:
            (server.workspace / "models" / "pretrained").mkdir(exist_ok=True)
            (server.workspace / "models" / "pretrained" / name).write_bytes(b"damaged")
        ground = cls(server, Player(server), *clients, folder)
        ground.wait_until_idle()
        return ground

    @property
    def workspace(self) -> Path:
        return self.server.workspace

    def dataset(self, client: ReleasedClient | None = None) -> Path:
        """Return the folder of a client's dataset, that of `volume` where none is given."""
        return self.workspace / "datasets" / (client or self.volume).dataset

    # Asking

    def post(self, path: str, body: Body, timeout: float = 60) -> requests.Response:
        """Send JSON as the client does."""
        return self.send("POST", path, data=written(body).encode(), timeout=timeout)

    def send(self, method: str, path: str, timeout: float = 60, **request: Any) -> requests.Response:
        """Send anything; as JSON where it says nothing else. Not by a session: every request has its connection."""
        headers = {"Content-Type": "application/json", **request.pop("headers", {})}
        if "files" in request or headers["Content-Type"] is None:
            del headers["Content-Type"]
        url = self.server.base_url + path
        return requests.request(method, url, headers=headers, timeout=timeout, allow_redirects=False, **request)

    def bodies(self, client: ReleasedClient | None = None) -> dict[str, Body]:
        """Return a request of each kind that takes JSON, as the released client sends it; each would succeed.

        Those that work are small: one epoch of one crop.
        """
        client = client or self.volume
        spots, links = client.annotated(0, client.movie.drawn(0)), client.movie.links(0)
        marked = [{"t": 0, "pos": s["pos"], "covariance": s["covariance"], "value": 1 + s["id"]} for s in spots]
        return {
            "state/process": {"state": 0},
            "params": {"lr": 0.001, "n_crops": 5},
            "dataset/check": client.check_body(),
            "dataset/generate": client.generate_body(),
            "seg/predict": client.seg_predict_body(0),
            "seg/train": client.seg_train_body(spots, n_crops=1, log_dir=client.dataset),
            "seg/update": client.seg_update_body(spots),
            "seg/reset": client.seg_reset_body(),
            "flow/predict": client.flow_predict_body(1, client.movie.drawn(1)),
            "flow/train": client.flow_train_body(links, log_dir=client.dataset),
            "flow/update": client.flow_update_body(links),
            "flow/reset": client.flow_reset_body(),
            "download/model": {"model_name": client.detection},
            "download/ctc": client.export_body(marked, 0, 1),
        }

    # Looking

    def snapshot(self) -> Snapshot:
        """Return what the server holds at the moment."""
        params = read(get(self.server.base_url, "params"))
        return Snapshot(dict(_files(self.workspace)), self.player.state(), params)

    def assert_untouched(self, before: Snapshot) -> None:
        """Fail where anything is not as it was."""
        now = self.snapshot()
        changed = {n: (before.files.get(n), now.files.get(n)) for n in before.files.keys() | now.files.keys()}
        changed = {name: both for name, both in sorted(changed.items()) if both[0] != both[1]}
        assert not changed, f"files before and now: {changed}"
        assert (now.state, now.params) == (before.state, before.params)

    def wait_until_idle(self, seconds: float = 60) -> None:
        """Return when nothing runs."""
        wait_until(lambda: self.player.state() == 0, seconds, "the server to be idle")

    def logged(self) -> str:
        """Return what the services have written into their logs: no request may leave a traceback there."""
        names = ("uwsgi.log", "answering.log", "training.log")
        return "\n".join((self.server.service_logs / name).read_text(errors="replace") for name in names)


def _settled(server: RunningServer, kind: str, folder: Path) -> ReleasedClient:
    """Return a client whose dataset, models and labels are there."""
    name = f"ground/{kind}"
    models = server.workspace / "models"
    movie = Movie.of_kind(kind, folder / f"{kind}.h5")
    client = ReleasedClient(server, movie, name, f"{name}/detection.pth", f"{name}/flow.pth")
    if client.check() != "ready":
        assert set(client.upload()) == {200}
        assert client.generate().status_code == 200
    for model, reset in ((client.detection, client.reset_detection), (client.flow, client.reset_flow)):
        if not (models / model).is_file():
            _completed(reset)
    assert client.label(client.annotated(0, movie.drawn(0)))
    assert client.label_flow(movie.links(0))
    return client


def _completed(ask: Callable[[], requests.Response]) -> None:
    assert read(ask()) == {"completed": True}


def _files(workspace: Path) -> list[tuple[str, str]]:
    """Return every file and folder below what is watched, with what it holds."""
    found = [path for top in WATCHED for path in sorted((workspace / top).rglob("*"))]
    return [(str(path.relative_to(workspace)), _content(path)) for path in found if not _is_passing(path)]


def _is_passing(path: Path) -> bool:
    is_its_folder = path.name == UPLOADS or (path.parent.name == UPLOADS and path.is_dir())
    return is_its_folder or path.suffix == PASSING_SUFFIX or path.name == PASSING_NAME


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"a link to {path.readlink()}"
    try:
        return "a folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return "gone"
