"""All programs are killed in the same moment, while something is written; then the server is started again.

The disk keeps what the kernel was given: `tests/core/test_power_cuts.py` has what is left when the power goes.
"""

import random
import signal
import time
from contextlib import suppress

import psutil
import zarr

from faults.breakdowns.ledger import N_VARIANTS, Ledger
from faults.breakdowns.recovery import assert_models_are_whole, assert_works, train_long
from faults.cases import Case
from faults.ground import Ground
from stack.player import CHUNK, Uploader
from stack.running import STOP_SECONDS, RunningServer, wait_until


def kill_all(g: Ground) -> None:
    """Kill everything at once, and start the server again in the same workspace."""
    left = g.server.processes()
    # The workers first, in the middle of what they do; the launcher's end is everybody's end.
    for process in sorted(left, key=lambda p: p.pid, reverse=True):
        with suppress(psutil.NoSuchProcess):  # one that a killed one ended
            process.kill()
    g.server.stop(signal.SIGKILL)
    wait_until(lambda: not g.server.processes(), STOP_SECONDS, "everything to end")
    g.server.process = RunningServer.start(g.server.folder, g.server.values).process
    g.server.wait_until_serving()
    assert g.player.state() == 0


def while_a_model_is_saved(g: Ground) -> None:
    asked = train_long(g)
    time.sleep(random.Random(0).uniform(0.2, 1))
    kill_all(g)
    assert asked.done() or asked.exception(30) is not None
    assert_models_are_whole(g)
    assert_nothing_is_left(g)
    assert_works(g, training=True)


def while_labels_are_written(g: Ground) -> None:
    ledger, rng = Ledger(g.volume), random.Random(1)
    for _ in range(6):
        t, variant = rng.randrange(6), rng.randrange(N_VARIANTS)
        assert g.post("seg/update", ledger.body(t, variant)).json() == {"completed": True}
        ledger.acknowledge(t, variant)
    asked = [g.player.later("seg/update", ledger.body(t, rng.randrange(N_VARIANTS))) for t in range(6)]
    time.sleep(0.15)
    kill_all(g)
    assert all(one.done() or one.exception(30) is not None for one in asked)
    ledger.assert_kept()
    assert_nothing_is_left(g)
    assert_works(g, ledger)


def while_a_movie_is_converted(g: Ground) -> None:
    images = g.dataset() / "imgs.zarr"
    before = zarr.open_array(images, mode="r")[...]
    assert _caught(g), "each conversion was over before it was seen"
    kill_all(g)
    assert (zarr.open_array(images, mode="r")[...] == before).all()
    assert g.volume.check() == "ready"
    assert_works(g)
    assert g.volume.generate().status_code == 200
    assert_nothing_is_left(g)
    assert g.volume.label(g.volume.annotated(0, g.volume.movie.drawn(0)))


def _caught(g: Ground) -> bool:
    """Start conversions, which take a tenth of a second, until one is in the middle of it."""
    new_arrays = g.dataset() / ".conversion"
    for _ in range(20):
        asked = g.player.later("dataset/generate", g.volume.generate_body())
        while not asked.done():
            if new_arrays.is_dir():
                return True
    return False


def while_a_movie_is_uploaded(g: Ground) -> None:
    uploader = Uploader(g.server, "faults/interrupted")
    place = uploader.folder / "movie.h5"
    assert uploader.step("movie.h5", "init", b"x" * CHUNK).status_code == 200
    kill_all(g)
    uploader.step("movie.h5", "complete")
    assert not place.exists()
    content = g.volume.movie.file.read_bytes()
    assert uploader.step("movie.h5", "init", content).status_code == 200
    assert uploader.step("movie.h5", "complete").status_code == 200
    assert place.read_bytes().startswith(content)
    assert_works(g)


def assert_nothing_is_left(g: Ground) -> None:
    """Fail where files of what was interrupted stay; those that are in passing are removed within a minute."""

    def left() -> list[str]:
        found = [path for name in ("models", "datasets") for path in (g.workspace / name).rglob("*")]
        return [str(p) for p in found if p.name.endswith((".tmp", ".part")) or p.parent.name == ".staging"]

    wait_until(lambda: not left(), 60, f"nothing to be left of {left()}")


CASES = [
    Case("everything killed while a model is saved", while_a_model_is_saved),
    Case("everything killed while labels are written", while_labels_are_written),
    Case("everything killed while a movie is converted", while_a_movie_is_converted),
    Case("everything killed while a movie is uploaded", while_a_movie_is_uploaded),
]
