"""How much faster several pairs of workers are than one: ``PYTHONPATH=tests python benchmarks/workers.py [--pairs 3]``.

Starts a server with one pair and one with several, each worker with one thread, and asks both for the same 30
predictions of different timepoints at once. Printed are seconds, and their ratio within this run. It cannot be more
than there are cores, nor than there are pairs.

Where there are fewer cores than pairs, ``--share 0.3`` lets each worker compute for that part of the time only, as if
it had a slower core of its own. Then the ratio shows what the spreading of the work costs, whatever the machine.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from elephant.models.ensemble import Ensemble
from elephant.models.unet import DetectionNet
from stack.player import Player, blobs, predict_body
from stack.running import RunningServer, settings_of

N_PREDICTIONS = 30
SHAPE = (16, 128, 128)
PERIOD_S = 0.1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="of the server that is compared with one of one pair")
    parser.add_argument("--share", type=float, default=1.0, help="part of the time for which a worker may compute")
    options = parser.parse_args()
    if options.share < 1 and options.share * options.pairs > 1:
        parser.error(f"--share: expected at most {1 / options.pairs:.2f}, so that the workers can take turns")
    with tempfile.TemporaryDirectory() as folder:
        turns = Admission(options.pairs, options.share)
        seconds = {n: measured(Path(folder) / str(n), n, turns) for n in (1, options.pairs)}
    one, several = seconds.values()
    print(f"{os.cpu_count()} cores, each worker computes for {options.share:.0%} of the time")
    print(f"1 pair   {one:6.1f} s\n{options.pairs} pairs  {several:6.1f} s\nratio    {one / several:6.2f}")


@dataclass(frozen=True)
class Admission:
    """How workers take turns: in each of `n` equal turns one of them computes, also where there are fewer workers."""

    n: int
    share: float


def measured(folder: Path, n_pairs: int, turns: Admission) -> float:
    """Return how many seconds the predictions take with so many pairs of workers."""
    values = settings_of(folder) | {"ELEPHANT_WORKER_PAIRS": str(n_pairs), "OMP_NUM_THREADS": "1"}
    server = RunningServer.start(folder, values)
    try:
        server.wait_until_serving()
        player = Player(server)
        make_ground(player)
        predict(player, 4 * n_pairs)  # each worker has read the model
        with shared(server, turns):
            begin = time.monotonic()
            predict(player, N_PREDICTIONS)
            return time.monotonic() - begin
    finally:
        server.stop()


def make_ground(player: Player) -> None:
    """Make a movie and a model, which need not know anything."""
    image, _ = blobs(SHAPE, 20)
    assert player.make_dataset("movie", np.stack([image] * N_PREDICTIONS)).status_code == 200
    Ensemble([DetectionNet(3, 0)]).save(player.server.workspace / "models" / "detection.pth")


def predict(player: Player, n: int) -> None:
    """Ask for as many timepoints at once, and wait for all answers."""
    with ThreadPoolExecutor(n) as pool:
        bodies = [predict_body("movie", timepoint=t % N_PREDICTIONS, p_thresh=0.99) for t in range(n)]
        answers = list(pool.map(lambda body: player.post("seg/predict", body, timeout=3600), bodies))
    assert [answer.json()["completed"] for answer in answers] == [True] * n


@contextmanager
def shared(server: RunningServer, turns: Admission) -> Iterator[None]:
    """Let each answering worker run for a part of the time, one after the other."""
    stop = threading.Event()
    workers = [p for p in server.processes() if any("answering" in word for word in p.cmdline())]

    def pace() -> None:
        for worker in workers:
            worker.suspend()
        while not stop.is_set():
            for worker in [*workers, *[None] * (turns.n - len(workers))]:
                if worker:
                    worker.resume()
                stop.wait(PERIOD_S * turns.share)
                if worker:
                    worker.suspend()
            stop.wait(PERIOD_S * (1 - turns.share * turns.n))

    thread = threading.Thread(target=pace)
    if turns.share < 1:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if turns.share < 1:
            thread.join()
        for worker in workers:
            with suppress(psutil.Error):
                worker.resume()


if __name__ == "__main__":
    main()
