"""Updates of labels that are killed: each timepoint has its old labels or its new ones, in all arrays."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import make, make_as_the_original_did
from elephant.dataset import Dataset, labels_as_rgb, recover_all
from elephant.dataset.transaction import labels_journal

SHAPE = (5, 20, 17)
VALUES = ramp(3, SHAPE, largest=999)

# Forks a writer for each line: "step N" is killed before its N-th change of the file system, "go" works on.
SERVER = """
    import os, signal, sys
    from pathlib import Path
    import numpy as np
    from elephant.dataset import Dataset

    folder, what = Path(sys.argv[1]), sys.argv[2]

    def count_down(left):
        def counting(change):
            def wrapper(*args, **kwargs):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return change(*args, **kwargs)
            return wrapper
        for owner, name in ((os, "replace"), (os, "mkdir"), (os, "unlink"), (os, "rmdir"), (os, "link"), (os, "fsync")):
            setattr(owner, name, counting(getattr(owner, name)))

    def write(dataset, t, value):
        if what == "clear":
            dataset.clear_labels()
        elif what == "flow":
            dataset.write_flow_labels(t, np.full((4, *dataset.shape), value, np.float32))
        else:
            dataset.write_labels(t, np.full(dataset.shape, value, np.uint8))

    def work(line):
        dataset = Dataset(folder)
        if line[0] == "step":
            dataset.read_labels(1), dataset.read_image(1)  # all is open
            count_down([int(line[1])])
            write(dataset, 1, int(line[2]))
            return
        for n in range(1, 10**6):
            for t in range(dataset.n_timepoints):
                write(dataset, t, n % 6 + 1)
                os.write(1, f"{t} {n % 6 + 1}\\n".encode())

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                work(line.split())
                os._exit(0)
            finally:
                os._exit(1)
        os.write(1, f"pid {pid}\\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(1, f"ended {status}\\n".encode())
"""


class Writer:
    """A process that forks writers to be killed."""

    def __init__(self, script: Path, folder: Path, what: str) -> None:
        script.write_text(textwrap.dedent(SERVER))
        command = [sys.executable, str(script), str(folder), what]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, line: str) -> int:
        """Start a writer, and return its process."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        word, pid = self.read()
        assert word == "pid"
        return int(pid)

    def read(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def kills(self, line: str) -> bool:
        """Let a writer work to its end; tell whether it was killed."""
        self.ask(line)
        word, status = self.read()
        assert word == "ended"
        assert int(status) in (0, signal.SIGKILL)
        return int(status) == signal.SIGKILL

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(params=["ours", "ours in several files", "the original's"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "datasets" / "d"
    if request.param == "the original's":
        make_as_the_original_did(place, VALUES)
        return place
    if request.param == "ours in several files":
        monkeypatch.setattr("elephant.dataset.layout._CHUNK_3D", (3, 20, 20))
        monkeypatch.setattr("elephant.dataset.layout._LARGEST_FILE", 1100)
    make(write_movie(tmp_path / "m.h5", VALUES), place)
    return place


@pytest.fixture
def writer(folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Writer]:
    found = Writer(tmp_path / "writer.py", folder, getattr(request, "param", "labels"))
    yield found
    found.close()


def value_at(folder: Path, t: int) -> int:
    """Return the one value of all labels of a timepoint, as an open dataset, a viewer and the colours have it."""
    return values_at(folder, t)[0]


def values_at(folder: Path, *timepoints: int) -> tuple[int, ...]:
    """Return the same of timepoints, which are read in this order by a dataset that is opened for them."""
    dataset, found = Dataset(folder), []
    for t in timepoints:
        labels = dataset.read_labels(t)
        assert len(np.unique(labels)) == 1
        found.append(int(labels.flat[0]))
    stored = zarr.open_array(folder / "seg_labels.zarr", mode="r")
    colours = zarr.open_array(folder / "seg_labels_vis.zarr", mode="r")
    for t, value in zip(timepoints, found, strict=True):
        labels = np.full(SHAPE, value, np.uint8)
        np.testing.assert_array_equal(stored[t], labels)
        np.testing.assert_array_equal(colours[t], labels_as_rgb(labels))
    return tuple(found)


def hidden(folder: Path) -> set[str]:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return {name for name in names if name.startswith(".") or "partial" in name} - {
        ".conversion.lock",
        ".labels.lock",
        ".outputs.lock",
    }


@pytest.mark.parametrize("new", [5, 0])
def test_killed_at_any_step_a_timepoint_is_old_or_new(folder: Path, writer: Writer, new: int) -> None:
    found = []
    for t in (0, 2):
        Dataset(folder).write_labels(t, np.full(SHAPE, 2, np.uint8))
    for step in range(0, 1000, 3 if len(list((folder / "imgs.zarr").glob("0.*"))) > 1 else 1):
        Dataset(folder).write_labels(1, np.full(SHAPE, 2, np.uint8))
        was_killed = writer.kills(f"step {step} {new}")
        value, *others = values_at(folder, 1, 0, 2)
        found.append(value)
        assert hidden(folder) == set()
        assert others == [2, 2]
        if not was_killed:
            break
    first_new = found.index(new)
    assert found == [2] * first_new + [new] * (len(found) - first_new)
    assert first_new > 3
    assert len(found) - first_new > 2  # it was killed between the moves, too


@pytest.mark.parametrize("writer", ["clear"], indirect=True)
def test_a_killed_clearing_is_carried_out_or_never_happened(folder: Path, writer: Writer) -> None:
    found = []
    for step in range(0, 1000, 2):
        for t in (0, 2):
            Dataset(folder).write_labels(t, np.full(SHAPE, 2, np.uint8))
        was_killed = writer.kills(f"step {step} 0")
        values = {*values_at(folder, 0, 2)}
        assert len(values) == 1
        found += values
        if not was_killed:
            break
    assert set(found) == {2, 0}
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("writer", ["flow"], indirect=True)
def test_flow_labels_are_old_or_new(folder: Path, writer: Writer) -> None:
    found = []
    for step in range(0, 1000, 4):
        Dataset(folder).write_flow_labels(1, np.full((4, *SHAPE), 2, np.float32))
        was_killed = writer.kills(f"step {step} 3")
        values = np.unique(Dataset(folder).read_flow_labels(1)).tolist()
        assert len(values) == 1
        found += values
        if not was_killed:
            break
    assert found == sorted(found)
    assert set(found) == {2, 3}


def test_killed_at_random_moments_nothing_acknowledged_is_lost(folder: Path, writer: Writer) -> None:
    rng = random.Random(7)
    last = {0: 0, 1: 0, 2: 0}
    n_acknowledged = 0
    for _ in range(20):
        pid = writer.ask("go")
        first = writer.read()  # it has begun
        time.sleep(rng.uniform(0, 0.15))
        os.kill(pid, signal.SIGKILL)
        while first[0] != "ended":
            last[int(first[0])] = int(first[1])
            n_acknowledged += 1
            first = writer.read()
        values = dict(zip(last, values_at(folder, *last), strict=True))
        assert hidden(folder) == set()
        for t, acknowledged in last.items():
            assert values[t] in (acknowledged, acknowledged % 6 + 1, 2), (t, acknowledged, values[t])
        # Only what came next may be there, unanswered.
        assert sum(values[t] != acknowledged for t, acknowledged in last.items()) <= 1
        last = values
    assert n_acknowledged > 20


def test_a_reader_that_is_open_already_carries_on_what_was_killed(folder: Path, writer: Writer) -> None:
    dataset = Dataset(folder)
    for step in range(0, 1000, 4):
        dataset.write_labels(1, np.full(SHAPE, 2, np.uint8))
        was_killed = writer.kills(f"step {step} 4")
        assert len(np.unique(dataset.read_labels(1))) == 1
        if not was_killed:
            return


def test_recovery_settles_all_datasets_and_touches_nothing_else(folder: Path, tmp_path: Path) -> None:
    Dataset(folder).write_labels(0, np.full(SHAPE, 2, np.uint8))
    mine = folder / ".mine"
    mine.write_text("a person's own")
    half = labels_journal(folder)._work / "files" / "seg_labels.zarr"
    half.mkdir(parents=True)
    (half / "c.0.0.0.0").write_bytes(b"half")
    (folder / ".conversion" / "abc").mkdir(parents=True)
    recover_all(tmp_path / "datasets")
    assert hidden(folder) == {".mine"}
    assert value_at(folder, 0) == 2
    recover_all(tmp_path / "not there")


def test_recovery_leaves_alone_what_is_at_work(folder: Path, tmp_path: Path) -> None:
    dataset = Dataset(folder)
    with labels_journal(folder).transaction() as changes:
        recover_all(tmp_path / "datasets")
        assert changes.folder.is_dir()
    dataset.write_labels(0, np.full(SHAPE, 3, np.uint8))
    assert value_at(folder, 0) == 3


@pytest.mark.parametrize(
    "content", ["", "{", '{"moved": ["../../x"], "removed": []}', '{"moved": 3}', '{"moved": [3]}']
)
def test_a_marker_that_makes_no_sense_is_not_followed(
    folder: Path, content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outside = tmp_path / "datasets" / "x"
    outside.write_text("precious")
    work = labels_journal(folder)._work
    work.mkdir()
    (work / "commit").write_text(content)
    assert Dataset(folder).labelled_timepoints() == []
    assert not work.exists()
    assert outside.read_text() == "precious"
    assert "is not valid" in caplog.text


def test_a_lock_ends_with_its_process(folder: Path, writer: Writer) -> None:
    pid = writer.ask("go")
    writer.read()
    os.kill(pid, signal.SIGSTOP)  # it may hold the lock now
    os.kill(pid, signal.SIGKILL)
    Dataset(folder).write_labels(0, np.full(SHAPE, 3, np.uint8))
    assert value_at(folder, 0) == 3
