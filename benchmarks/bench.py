"""What the rows are measured with: one movie, one server, made when they are first asked for."""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import bodies
from benchmarks.movies import BenchMovie, Sizes, provide
from benchmarks.serving import Server, serve
from benchmarks.yardstick_process import Yardstick
from benchmarks.yardsticks import random_network
from elephant.config import ConversionParams
from elephant.dataset import Dataset, convert
from elephant.models.unet import DetectionNet, FlowNet
from elephant.progress import NeverCancelled, NoReporter

DATASET = "bench"


@dataclass
class Bench:
    """The ground of a run; used as a context that ends the server.

    Attributes
    ----------
    folder
        For everything that is made.
    sizes
        How large that is.
    given
        A movie to use in place of the simulated one.
    stack
        Whether the server is the whole stack.
    device
        What computes in this process; the server chooses by itself.
    has_learnt
        Whether the server's models have learnt from the whole movie.
    """

    folder: Path
    sizes: Sizes
    given: Path | None = None
    stack: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    has_learnt: bool = False
    _ends: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    @cached_property
    def movie(self) -> BenchMovie:
        """The movie."""
        return provide(self.given, self.sizes, self.folder)

    @cached_property
    def dataset(self) -> Dataset:
        """The movie's dataset, for work in this process."""
        folder = self.folder / "in-process"
        convert(self.movie.h5, folder, ConversionParams(), NoReporter(), NeverCancelled())
        return Dataset(folder)

    @cached_property
    def server(self) -> Server:
        """A server that has the movie, a detection model that was trained for some steps, and a flow model."""
        server = self._ends.enter_context(serve(self.folder / "server", stack=self.stack))
        furnish(server, self.movie, self.sizes)
        return server

    @cached_property
    def keeping_server(self) -> Server:
        """The same kind of server, which keeps what it found and computes ahead, as it does by default."""
        kept = {"ELEPHANT_KEEP_PREDICTIONS_GIB": "2"}
        server = self._ends.enter_context(serve(self.folder / "keeping", stack=self.stack, variables=kept))
        furnish(server, self.movie, self.sizes)
        return server

    def detection_net(self) -> DetectionNet:
        """Return a detection network with random weights, the same each time, on the device."""
        return random_network(DetectionNet, self.movie.n_keep_axials).to(self.device)

    def flow_net(self) -> FlowNet:
        """Return a flow network likewise."""
        return random_network(FlowNet, self.movie.n_keep_axials).to(self.device)

    def plain(self, network: type[DetectionNet] | type[FlowNet]) -> Yardstick:
        """Return the plain network's pass over a timepoint of the movie."""
        return Yardstick(network, self.movie.n_keep_axials, self.movie.truth.shape)

    def plain_training(self, image: Tensor, labels: Tensor) -> Yardstick:
        """Return the plain detection network's step on a crop: image (1, 1, Z, Y, X), labels (1, Z, Y, X)."""
        crop = (image.numpy(), labels.numpy())
        return Yardstick(DetectionNet, self.movie.n_keep_axials, labels.shape[1:], crop)


def furnish(server: Server, movie: BenchMovie, sizes: Sizes) -> None:
    """Give a server the movie, a detection model that was trained for some steps, and a flow model."""
    provide_dataset(server, DATASET, movie.h5)
    crop = sizes.crops[0]
    server.post("seg/reset", bodies.seg_reset(DATASET, movie, crop))
    some = {"n_crops": sizes.n_taught, "auto_bg_thresh": 0.1}
    server.post("seg/train", bodies.seg_train(DATASET, movie, movie.spots(0), crop, **some))
    server.client.reset_flow(bodies.FLOW, n_keep_axials=movie.n_keep_axials, seed=0)


def provide_dataset(server: Server, name: str, h5: Path) -> Path:
    """Make a movie a dataset of a server, and return its folder."""
    folder = server.workspace / "datasets" / name
    folder.mkdir(parents=True)
    shutil.copyfile(h5, folder / f"{name}.h5")
    server.client.generate(name)
    return folder
