"""Ctrl-C while a movie is converted: a real signal to the processes of a terminal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from core.dataset.bdv import describe

# Run before the command: small movies take several processes, too, and a file tells that it is time for Ctrl-C.
PREPARED = """
import sys
from pathlib import Path
sys.argv[0] = "elephant"
from elephant.cli.main import main
from elephant.dataset import conversion, workers
conversion._PARALLEL_FROM = {parallel_from}
workers.n_cores = lambda: 2
{then}
if __name__ == "__main__":
    sys.exit(main())
"""
AT_THE_FIRST_TIMEPOINT = """
from elephant.console import Bars
Bars.progress = lambda *args, **values: Path("ready").touch()
"""
WITH_THE_FIRST_HELPER = """
if __name__ == "__main__":
    submit = workers.ProcessPoolExecutor.submit
    def told(*args):
        future = submit(*args)
        Path("ready").touch()
        return future
    workers.ProcessPoolExecutor.submit = told
"""
BEFORE_THE_COMMAND = """
if __name__ == "__main__":
    import time
    Path("ready").touch()
    time.sleep(60)
"""
FEW, MANY = 10**12, 0


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """Give a movie that takes much longer to convert than a signal to arrive."""
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        describe(file)
        cells = np.random.default_rng(0).integers(0, 30000, (16, 128, 128)).astype(np.int16)
        first = file.create_dataset("t00000/s00/0/cells", data=cells, chunks=(4, 32, 32), compression="gzip")
        for t in range(1, 2000):
            file[f"t{t:05d}/s00/0/cells"] = first  # the same one again takes no room
    return path


@pytest.mark.parametrize(
    ("parallel_from", "then", "status"),
    [
        (MANY, AT_THE_FIRST_TIMEPOINT, 130),
        (MANY, WITH_THE_FIRST_HELPER, 130),
        (FEW, BEFORE_THE_COMMAND, -signal.SIGINT),
    ],
    ids=["several processes", "while helpers start", "before the command"],
)
@pytest.mark.skipif(os.name != "posix", reason="Windows has no process groups that a signal reaches")
def test_ctrl_c_leaves_no_traceback_and_nothing_else(
    parallel_from: int, then: str, status: int, movie: Path, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PREPARED.format(parallel_from=parallel_from, then=then))
    before = {path.name for path in tmp_path.iterdir()} | {"ready"}
    command = [sys.executable, "program.py", "convert", "m.h5", "lab/d", "--as-path"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # What a shell starts in the background ignores Ctrl-C, and so would this.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - on POSIX alone
    ) as running:
        try:
            wait_for((tmp_path / "ready").exists, running)
            os.killpg(running.pid, signal.SIGINT)
            said, _ = running.communicate(timeout=120)
        finally:
            running.kill()
    assert "Traceback" not in said
    assert running.returncode == status
    assert {path.name for path in tmp_path.iterdir()} == before
    if status == 130:
        assert said.splitlines()[-1] == "interrupted: the dataset's folder is unchanged"
    else:
        assert said == ""


def wait_for(is_true: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    while not is_true():
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)


def test_ctrl_c_leaves_the_dataset_that_was_there(movie: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").write_text("kept")
    (tmp_path / "program.py").write_text(PREPARED.format(parallel_from=FEW, then=AT_THE_FIRST_TIMEPOINT))
    command = [sys.executable, "program.py", "convert", "m.h5", "./d", "--overwrite"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        try:
            wait_for((tmp_path / "ready").exists, running)
            os.killpg(running.pid, signal.SIGINT)
            assert "Traceback" not in running.communicate(timeout=120)[1]
        finally:
            running.kill()
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["mine.txt"]
