"""A running server from Python: what ``elephant`` does on this machine, over HTTP on that one.

It needs neither PyTorch nor a web framework. Arrays, sizes and spots are in the order Z, Y, X and in physical units,
as in ``elephant``; the turn to X, Y, Z that requests have is made in ``elephant_server.schemas``.
"""

import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError, NotFoundError
from elephant.progress import ProgressReporter
from elephant_server.client.dataset import FLOW, RemoteDataset
from elephant_server.client.following import Follower
from elephant_server.client.transport import AbortedError, ServerError, Transport, UnreachableError
from elephant_server.schemas.answers import Device, Params, State
from elephant_server.schemas.dashboard import DatasetAnswer, ModelAnswer, Names, Status
from elephant_server.schemas.dataset import DatasetGenerateBody
from elephant_server.schemas.flow import FlowResetBody
from elephant_server.schemas.requests import WAITING, Json, sent_params
from elephant_server.schemas.state import ProcessState

__all__ = ["AbortedError", "Client", "RemoteDataset", "ServerError", "UnreachableError"]

CHUNK = 10 << 20  # bytes of a movie in each request


class Client:
    """A client of a server.

    Every method, and those of the datasets, raises :class:`ServerError` where the server refuses or fails,
    :class:`AbortedError` where somebody aborted the work, and :class:`UnreachableError` where no server answers.

    Parameters
    ----------
    url
        Address of the server; it may carry a token, as ``http://server:8080/t/TOKEN/``.
    token
        Sent with every request, where the server requires one and the address has none.
    trust
        Which certificates to trust; by default those that the system trusts.
    progress
        Receives the progress of what takes long; by default bars on a terminal or in a notebook.
        :class:`elephant.progress.NoReporter` shows nothing.

    Raises
    ------
    InvalidInputError
        The address does not start with ``http://`` or ``https://``.
    """

    def __init__(
        self,
        url: str = "http://localhost:8080/",
        token: str | None = None,
        *,
        trust: ssl.SSLContext | None = None,
        progress: ProgressReporter | None = None,
    ) -> None:
        self._transport = Transport(url, token, trust)
        self._follower = Follower(self._transport, progress)

    @property
    def address(self) -> str:
        """Where the server is, without a token."""
        return self._transport.address

    def post(self, path: str, body: Json) -> Any:
        """Send any request as it is, and return the JSON of its answer; None where there is none (204)."""
        return self._transport.post(path, body)

    # What the server does

    def devices(self) -> list[Device]:
        """Return what the server computes on, and its memory: the cheapest way to see whether it is there."""
        return self._transport.read("state/gpus", list[Device])

    def status(self) -> Status:
        """Return the jobs that run or wait, how far they are, and the memory in use."""
        return self._transport.read("dashboard/api/status", Status)

    def state(self) -> ProcessState:
        """Return what runs: nothing, a training, or something that a training waits for."""
        return ProcessState(self._transport.read("state/process", State).state)

    def abort(self) -> ProcessState:
        """End all work of the server, also that of others; a training keeps its last finished epoch."""
        return self._set_state(ProcessState.IDLE)

    def hold(self) -> ProcessState:
        """Hold the running training until :meth:`resume`."""
        return self._set_state(ProcessState.WAITING)

    def resume(self) -> ProcessState:
        """Let a training that is held go on."""
        return self._set_state(ProcessState.RUNNING)

    def params(self) -> Params:
        """Return the learning rate and the number of crops of the running, or the last, training."""
        return self._transport.read("params", Params)

    def change_params(self, *, lr: float | None = None, n_crops: int | None = None) -> Params:
        """Change the running training from its next step, or epoch, on."""
        given = {name: value for name, value in {"lr": lr, "n_crops": n_crops}.items() if value is not None}
        return self._transport.parsed("params", self._transport.post("params", given), Params)

    # Datasets

    def datasets(self) -> list[str]:
        """Return the names of the datasets."""
        return self._transport.read("dashboard/api/datasets", Names).names

    def open_dataset(self, name: str, voxel_size: Sequence[float] | None = None) -> RemoteDataset:
        """Return a dataset of the server.

        Parameters
        ----------
        name
            Its name.
        voxel_size
            Physical edges of a voxel, Z, Y, X, or Y, X for a 2D movie; by default what the server knows of it. With it,
            the server is not asked, and the dataset need not be there yet.

        Raises
        ------
        InvalidInputError
            The voxel size is not known.
        """
        if voxel_size is None:
            known = self._transport.read("dashboard/api/dataset", DatasetAnswer, dataset=name)
            axes = "ZYX"[-len(known.shape) :]
            if known.voxel_size is None:
                raise InvalidInputError(
                    f"the server does not know the voxel size of {name}: expected voxel_size=({', '.join(axes)}), "
                    "physical"
                )
            voxel_size = known.voxel_size[-len(axes) :]
        return RemoteDataset(self._transport, self._follower, name, voxel_size)

    def upload(self, dataset: str, *files: Path | str) -> None:
        """Put a BigDataViewer ``.h5`` into a dataset's folder; of a split movie, its partitions and then the master."""
        for path in map(Path, files):
            fields, left = {"dataset_name": dataset, "filename": path.name}, path.stat().st_size
            with path.open("rb") as file:
                for action in ("init", *["append"] * ((left - 1) // CHUNK)):
                    n_bytes = min(CHUNK, left)
                    self._transport.send_file("upload/image", {**fields, "action": action}, file, n_bytes)
                    left -= n_bytes
            self._transport.send_form("upload/image", {**fields, "action": "complete"})

    def generate(self, dataset: str, **params: Any) -> None:
        """Convert the movie in a dataset's folder.

        Parameters
        ----------
        **params
            Such as ``is_2d=True``, ``divisor=4`` and ``setup=1``.

        Raises
        ------
        elephant.errors.NotFoundError
            There is no ``.h5`` in the folder.
        """
        body = {"dataset_name": dataset, **sent_params(DatasetGenerateBody, params, 3, ("dataset_name",))}
        if self._follower.post("dataset/generate", body) is None:
            raise NotFoundError(f"there is no .h5 in the folder of the dataset {dataset}: upload one first")

    def create_dataset(self, name: str, images: NDArray[np.integer], voxel_size: Sequence[float]) -> RemoteDataset:
        """Make a dataset of an array.

        Parameters
        ----------
        name
            Its name; what is there under it is replaced.
        images
            A movie, (T, Z, Y, X), or (T, Y, X) for two edges of `voxel_size`; whole numbers from 0 to 65535.
        voxel_size
            Physical, (Z), Y, X.

        Raises
        ------
        InvalidInputError
            The array has other axes or other values.
        """
        from elephant.simulation.bigdataviewer import BigDataViewerWriter  # noqa: PLC0415 - h5py comes with it

        dataset = self.open_dataset(name, voxel_size)
        volumes = _as_volumes(np.asarray(images), len(dataset.voxel_size))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{Path(name).name}.h5"
            with BigDataViewerWriter(path, volumes.shape[1:], (1.0, *dataset.voxel_size)[-3:]) as writer:
                for volume in volumes:
                    writer.append(volume.astype(np.uint16))
            self.upload(name, path)
        self.generate(name, is_2d=len(dataset.voxel_size) == 2)
        return dataset

    # Models

    def models(self) -> list[ModelAnswer]:
        """Return the models, the newest first, and what they were trained on."""
        return self._transport.read("dashboard/api/models", list[ModelAnswer])

    def reset_flow(self, model: str = FLOW, *, n_dims: int = 3, file: Path | str | None = None, **params: Any) -> None:
        """Start a flow model anew, by default with random weights.

        Parameters
        ----------
        n_dims
            3, or 2 for movies of planes.
        file
            A model file (``.pth``) to start from.
        **params
            Such as ``url="Versatile"`` for the pretrained model, and ``seed``.
        """
        own = {"model_name": model, "is_3d": n_dims == 3}
        given = WAITING | params
        self._follower.reset("flow/reset", own | sent_params(FlowResetBody, given, n_dims, own), file)

    def download_model(self, model: str, path: Path | str) -> None:
        """Write a model into a file, which :func:`elephant.load_model` reads.

        Raises
        ------
        elephant.errors.NotFoundError
            There is no such model.
        """
        if not self._transport.download("download/model", {"model_name": model}, Path(path).absolute()):
            raise NotFoundError(f"there is no model {model}: check its name")

    def _set_state(self, state: ProcessState) -> ProcessState:
        answer = self._transport.post("state/process", {"state": int(state)})
        return ProcessState(self._transport.parsed("state/process", answer, State).state)


def _as_volumes(images: NDArray[np.generic], n_dims: int) -> NDArray[np.generic]:
    """Return a movie of volumes, (T, Z, Y, X)."""
    axes = ", ".join("ZYX"[3 - n_dims :])
    if images.ndim != n_dims + 1 or not images.size:
        raise InvalidInputError(f"images: expected a movie, (T, {axes}), got the shape {images.shape}")
    if images.dtype.kind not in "iu" or int(images.min()) < 0 or int(images.max()) > np.iinfo(np.uint16).max:
        raise InvalidInputError(
            f"images: expected whole numbers from 0 to 65535, got {images.dtype} from {images.min()} to "
            f"{images.max()}: scale them"
        )
    return images if n_dims == 3 else images[:, None]
