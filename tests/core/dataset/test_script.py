import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import content_of, images_of, make
from elephant.dataset import check_dataset

SCRIPT = Path(__file__).parents[3] / "script" / "dataset_generator.py"


def run(*args: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_it_stores_8_bits_unless_asked(tmp_path: Path) -> None:
    values = ramp(largest=1000)
    source = write_movie(tmp_path / "m.h5", values)
    refused = run(source, tmp_path / "d")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith("error: ")
    for part in ("largest value is 1000", "at least 4", "--uint16"):
        assert part in refused.stderr
    assert not (tmp_path / "d").exists()

    assert run(source, tmp_path / "d", "--divisor", "4").returncode == 0
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values // 4)
    assert run(source, tmp_path / "d", "--uint16").returncode == 0
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values)


def test_2d(tmp_path: Path) -> None:
    done = run(write_movie(tmp_path / "m.h5", ramp(shape=(1, 9, 8))), tmp_path / "d", "--2d")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 timepoints of 8 x 9 voxels (X, Y)" in done.stdout
    assert check_dataset(tmp_path / "d", (3, 9, 8)) == "ready"


@pytest.mark.parametrize("args", [["m.h5"], ["m.h5", "d", "--divisor", "0"]])
def test_wrong_use(args: list[str]) -> None:
    done = run(*args)
    assert done.returncode == 2
    assert "Usage: dataset_generator.py" in done.stderr


def test_a_movie_that_is_not_there(tmp_path: Path) -> None:
    done = run(tmp_path / "m.h5", tmp_path / "d")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "does not exist" in done.stderr


INTERRUPTED = """
    import os, runpy, signal, sys
    from elephant.dataset import conversion

    store = conversion.StoreTimepoint.__call__

    def interrupted(self, t, cancel):
        if t == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return store(self, t, cancel)

    conversion.StoreTimepoint.__call__ = interrupted
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would ignore it
    script, *sys.argv[1:] = sys.argv[1:]
    runpy.run_path(script, run_name="__main__")
"""


def test_ctrl_c_leaves_what_was_there(tmp_path: Path) -> None:
    make(write_movie(tmp_path / "old.h5", ramp(2)), tmp_path / "d")
    before = content_of(tmp_path / "d")
    source = write_movie(tmp_path / "m.h5", ramp())
    command = [sys.executable, "-c", textwrap.dedent(INTERRUPTED), str(SCRIPT), str(source), str(tmp_path / "d")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ))
    assert done.returncode == 128 + signal.SIGINT
    assert "Traceback" not in done.stderr
    assert content_of(tmp_path / "d") == before
