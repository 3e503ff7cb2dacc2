"""What is left of a conversion that is killed, at any of its steps."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import content_of, images_of, make
from elephant.dataset import Dataset, check_dataset
from elephant.dataset.transaction import recover, staging
from elephant.errors import DatasetError

NAMES = ("a.zarr", "b.zarr", "c.zarr")


@contextmanager
def killed_at(step: int) -> Iterator[None]:
    """Kill this process right before its n-th change of the file system."""
    left = [step]

    def counting(change: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return change(*args, **kwargs)

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((os, "replace"), (os, "mkdir"), (os, "unlink"), (os, "rmdir"), (Path, "write_text")):
            patch.setattr(owner, name, counting(getattr(owner, name)))
        yield


def in_a_child(work: Callable[[], None]) -> bool:
    """Run something in a forked process, and tell whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status == 0


def fill(folder: Path, content: str) -> None:
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / "0").write_text(content + name)


def state(folder: Path) -> set[str]:
    """Return the contents of all arrays without their names: one, where they belong together."""
    assert sorted(p.name for p in folder.iterdir() if p.suffix == ".zarr") == sorted(NAMES)
    return {(folder / name / "0").read_text().removesuffix(name) for name in NAMES}


def replace_all(folder: Path) -> None:
    with staging(folder) as staged:
        fill(staged, "new ")


def test_killed_at_any_step_it_is_all_old_or_all_new(tmp_path: Path) -> None:
    outcomes, step, ended = [], 0, False
    while not ended:
        folder = tmp_path / str(step)
        fill(folder, "old ")
        (folder / "movie.h5").write_text("movie")

        def work(folder: Path = folder, step: int = step) -> None:
            with killed_at(step):
                replace_all(folder)

        ended = in_a_child(work)
        recover(folder)
        assert not (folder / ".conversion").exists()
        assert (folder / "movie.h5").read_text() == "movie"
        outcomes.append(state(folder))
        step += 1
    first_new = outcomes.index({"new "})
    assert outcomes[:first_new] == [{"old "}] * first_new
    assert outcomes[first_new:] == [{"new "}] * (len(outcomes) - first_new)
    assert len(outcomes) > first_new + 2 * len(NAMES)  # killed between the moves, too


def test_recovery_may_be_killed_as_well(tmp_path: Path) -> None:
    for first in range(10, 100):
        folder = tmp_path / str(first)
        fill(folder, "old ")

        def work(folder: Path = folder, first: int = first) -> None:
            with killed_at(first):
                replace_all(folder)

        if in_a_child(work):
            break
        for second in (0, 1, 3):

            def again(folder: Path = folder, second: int = second) -> None:
                with killed_at(second):
                    recover(folder)

            in_a_child(again)
        recover(folder)
        assert len(state(folder)) == 1
        assert not (folder / ".conversion").exists()
    else:
        pytest.fail("there are more steps than expected: widen the range")


def test_a_new_conversion_tidies_up_after_a_killed_one(tmp_path: Path) -> None:
    (tmp_path / ".conversion" / "stale" / "imgs.zarr").mkdir(parents=True)
    make(write_movie(tmp_path / "m.h5", ramp()), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == [
        ".conversion.lock",
        ".labels.lock",
        ".outputs.lock",
    ]


def test_readers_leave_a_running_conversion_alone(tmp_path: Path) -> None:
    values = ramp()
    make(write_movie(tmp_path / "m.h5", values), tmp_path)
    with staging(tmp_path) as staged:
        (staged / "imgs.zarr").mkdir()
        assert check_dataset(tmp_path) == "ready"
        np.testing.assert_array_equal(images_of(tmp_path), values)
        assert (staged / "imgs.zarr").is_dir()
        (staged / "imgs.zarr").rmdir()
    np.testing.assert_array_equal(images_of(tmp_path), values)


def test_an_interrupted_swap_is_finished_by_the_next_process(tmp_path: Path) -> None:
    make(write_movie(tmp_path / "m.h5", ramp(2)), tmp_path)
    make(write_movie(tmp_path / "n.h5", ramp(4)), tmp_path / "new")
    work = tmp_path / ".conversion"
    (work / "x").mkdir(parents=True)
    (work / "x.old").mkdir()
    for array in (tmp_path / "new").glob("*.zarr"):
        array.replace(work / "x" / array.name)
    (work / "commit").write_text("x")
    (tmp_path / "imgs.zarr").replace(work / "x.old" / "imgs.zarr")
    assert check_dataset(tmp_path, (4, 5, 20, 17)) == "ready"
    assert Dataset(tmp_path).n_timepoints == 4
    assert not work.exists()


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from elephant.config import ConversionParams
    from elephant.dataset import conversion, transaction
    from elephant.progress import NeverCancelled

    class Reporter:
        def progress(self, stage, done, total, **values):
            print("timepoint", done, flush=True)
            if where == "timepoint" and done == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)

    if __name__ == "__main__":
        source, destination, where = sys.argv[1:]
        if where == "marker":
            transaction._put_marker = die
        if where == "swap":
            transaction._swap = die
        if where == "processes":
            conversion._PARALLEL_FROM = 0
            os.sched_getaffinity = lambda pid: {0, 1}
            where = "timepoint"
        params = ConversionParams(dtype="uint16")
        conversion.convert(Path(source), Path(destination), params, Reporter(), NeverCancelled())
"""


def run_killed(tmp_path: Path, source: Path, destination: Path, where: str) -> None:
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    done = subprocess.run(
        [sys.executable, script, source, destination, where],
        env={**os.environ, "TEST_OF_KILLED": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("where", "is_new"), [("timepoint", False), ("marker", False), ("swap", True)])
def test_a_killed_conversion(tmp_path: Path, where: str, is_new: bool) -> None:
    folder = tmp_path / "d"
    old, new = ramp(2), ramp(4, largest=999)
    make(write_movie(tmp_path / "old.h5", old), folder)
    before = content_of(folder)
    source = write_movie(tmp_path / "new.h5", new)
    run_killed(tmp_path, source, folder, where)
    assert (folder / ".conversion").exists()
    np.testing.assert_array_equal(images_of(folder), new if is_new else old)
    assert is_new or content_of(folder) == before
    assert not (folder / ".conversion").exists()
    make(source, folder)
    np.testing.assert_array_equal(images_of(folder), new)


def test_the_helpers_of_a_killed_conversion_end_too(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    source = write_movie(tmp_path / "new.h5", ramp(8, largest=999))
    run_killed(tmp_path, source, folder, "processes")
    deadline = time.monotonic() + 30
    while offspring(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert offspring(tmp_path) == []
    with pytest.raises(DatasetError, match="missing"):
        Dataset(folder)
    make(source, folder)
    assert check_dataset(folder) == "ready"
    shutil.rmtree(folder)  # nobody puts anything back


def offspring(tmp_path: Path) -> list[str]:
    """Return the processes that were started, however indirectly, by :func:`run_killed`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TEST_OF_KILLED={tmp_path}\0".encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:  # it has ended meanwhile
            continue
    return found
