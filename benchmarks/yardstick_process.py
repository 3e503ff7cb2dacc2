"""Yardsticks in processes of their own: plain PyTorch with memory as the C library hands it out, and with memory kept.

How memory is handed out is a matter of a whole process and cannot be undone. So each yardstick runs in a new one, which
does a round when it is asked to. The project's own networks run in the benchmark's process, which keeps memory as the
server does.
"""

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measuring import Work
from benchmarks.yardsticks import fitting, forward_pass, plain_of, random_network, training_step
from elephant.memory import keep_memory
from elephant.models.unet import DetectionNet, FlowNet

PLAIN, KEPT = "plain", "kept"
_STOP_S = 10.0


@dataclass(frozen=True)
class Yardstick:
    """A network in plain PyTorch, and what it is given.

    Attributes
    ----------
    network
        The project's network of which it is the plain one.
    n_keep_axials
        Of the network.
    shape
        Z, Y, X of the image, before it is enlarged to what the poolings divide.
    crop
        An image, (1, 1, Z, Y, X), and labels, (1, Z, Y, X), of a training step; none: a forward pass.
    """

    network: type[DetectionNet] | type[FlowNet]
    n_keep_axials: int
    shape: tuple[int, ...]
    crop: tuple[NDArray[np.float32], NDArray[np.uint8]] | None = None

    def work(self) -> Work:
        """Return a round of it, P or T, in this process."""
        model = random_network(self.network, self.n_keep_axials)
        plain = plain_of(model, self.shape)
        if self.crop is not None:
            image, labels = self.crop
            return training_step(plain, torch.from_numpy(image), torch.from_numpy(labels))
        n_inputs = 1 if self.network is DetectionNet else 2
        return forward_pass(plain, torch.rand(1, n_inputs, *fitting(model, self.shape)))


@contextmanager
def in_processes(yardstick: Yardstick) -> Iterator[dict[str, Work]]:
    """Run a yardstick in two processes while the block runs.

    Yields
    ------
    dict of str to callable
        A round of ``plain``, P or T, and of ``kept``, P* or T*: on Linux alone, where memory can be kept.
    """
    names = (PLAIN, KEPT) if sys.platform == "linux" else (PLAIN,)
    with ExitStack() as ends:
        yield {name: ends.enter_context(_process(yardstick, name == KEPT)) for name in names}


@contextmanager
def _process(yardstick: Yardstick, is_kept: bool) -> Iterator[Work]:
    ours, theirs = multiprocessing.Pipe()
    process = _context().Process(target=_serve, args=(theirs, yardstick, is_kept), daemon=True)  # type: ignore[attr-defined]
    process.start()
    theirs.close()

    def round_() -> None:
        ours.send(None)
        ours.recv()

    try:
        yield round_
    finally:
        ours.close()  # the process ends itself then
        process.join(_STOP_S)
        process.kill()


def _serve(connection: Connection, yardstick: Yardstick, is_kept: bool) -> None:
    """Do a round whenever something arrives, and say when it is done, until nobody asks any more."""
    if is_kept:
        keep_memory()
    work = yardstick.work()
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        work()
        connection.send(None)


@cache
def _context() -> BaseContext:
    """Return what starts processes: where it can, as copies of one that has imported PyTorch and done nothing yet."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
