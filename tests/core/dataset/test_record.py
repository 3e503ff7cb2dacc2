"""The record of what a dataset was taught: exact, whole or not at all, and refused where it is something else."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import make
from elephant.config import DisplacementParams, LabelParams
from elephant.dataset import Dataset
from elephant.dataset.record import FILE, LabelsEntry, LabelsOf, read_record, recorded_as
from elephant.dataset.record import log as log_module
from elephant.dataset.record.entries import LONGEST_LINE, MOST_IN_LINE
from elephant.dataset.record.lines import Chain
from elephant.dataset.record.packing import kept_runs, pack, squeeze, unpack, unsqueeze
from elephant.errors import DatasetError, NotFoundError, StorageError
from elephant.labels import detection_labels, flow_labels
from elephant.types import Link, Spot, Tag, VoxelSize

SHAPE = (5, 20, 17)
PARAMS = LabelParams(voxel_size=VoxelSize(1, 1, 1))


@pytest.fixture(autouse=True)
def _forget() -> None:
    log_module._tails.clear()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    make(write_movie(tmp_path / "m.h5", ramp(3, SHAPE)), tmp_path / "d")
    return Dataset(tmp_path / "d")


def spots(n: int, t: int = 0, seed: int = 0) -> list[Spot]:
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        root = rng.normal(size=(3, 3))
        covariance = root @ root.T + np.eye(3)
        covariance[0, 1] *= 1 + 1e-6  # what is accepted need not be symmetric to the last bit
        found.append(Spot(t, rng.uniform(0, 20, 3), covariance, list(Tag)[i % len(Tag)], i - 1))
    return found


def teach(dataset: Dataset, annotations: list[Spot], t: int = 0) -> None:
    labels = detection_labels(dataset.shape, annotations, PARAMS)
    dataset.write_labels(t, labels, LabelsOf(annotations, PARAMS.model_dump(mode="json")))


def teach_flow(dataset: Dataset, links: list[Link]) -> None:
    params = DisplacementParams(voxel_size=PARAMS.voxel_size, max_displacement=9)
    labels = flow_labels(dataset.shape, links, params)
    dataset.write_flow_labels(1, labels, LabelsOf(links, params.model_dump(mode="json")))


def same(a: Spot | Link, b: Spot | Link) -> bool:
    names = ("t", "pos", "covariance", *(("tag", "id") if isinstance(a, Spot) else ("displacement",)))
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def taught(folder: Path) -> list[tuple[str, list[Spot] | list[Link]]]:
    record = read_record(folder)
    found = [(entry.what, annotations) for entry, annotations in record.taught()]
    assert not record.damage
    return found


def test_each_update_can_be_read_back_to_the_last_bit(dataset: Dataset) -> None:
    first = spots(40)
    moved = [*first[:10], *spots(1, seed=5), *first[11:]]
    fewer = [moved[-1], *moved[:20], *moved[25:-1]]
    for update in (first, moved, moved, fewer, []):
        teach(dataset, update)
    links = [Link(1, one.pos, one.covariance, one.pos * 0.1) for one in first[:7]]
    teach_flow(dataset, links)
    found = taught(dataset.folder)
    expected: list[list[Spot] | list[Link]] = [[], first, moved, moved, fewer, [], links]
    assert [what for what, _ in found] == ["begin", *["labels"] * 6]
    for (_, got), wanted in zip(found, expected, strict=True):
        assert len(got) == len(wanted)
        assert all(same(a, b) for a, b in zip(got, wanted, strict=True))


def test_what_has_not_changed_is_not_written_again(dataset: Dataset) -> None:
    update = spots(400)
    file = dataset.folder / FILE
    sizes = []
    for i in range(3):
        teach(dataset, update)
        sizes.append(file.stat().st_size)
        update = [*update[:i], *spots(1, seed=9 + i), *update[i + 1 :]]
    whole, *changes = np.diff([0, *sizes])
    assert whole > 20_000
    assert max(changes) < 1500
    log_module._tails.clear()  # another process knows what was there
    teach(dataset, update)
    assert file.stat().st_size - sizes[-1] < 1500
    assert len(taught(dataset.folder)[-1][1]) == 400


def test_more_annotations_than_a_line_holds(dataset: Dataset) -> None:
    many = spots(2 * MOST_IN_LINE + 5)
    teach(dataset, many)
    lines = (dataset.folder / FILE).read_bytes().splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) < LONGEST_LINE
    *_, (_, found) = taught(dataset.folder)
    assert len(found) == len(many)
    assert all(same(a, b) for a, b in zip(found, many, strict=True))


def test_entries_say_who_when_and_how(dataset: Dataset) -> None:
    before = time.time()
    with recorded_as("seg/update", "Ada"):
        teach(dataset, spots(3, t=2), 2)
    teach(dataset, spots(3, t=2), 2)
    dataset.clear_labels()
    dataset.write_labels(1, np.ones(SHAPE, np.uint8))
    begin, by_ada, by_nobody, cleared, written = read_record(dataset.folder).entries()
    assert isinstance(by_ada, LabelsEntry)
    assert (by_ada.who, by_ada.request, by_ada.method, by_ada.t, by_ada.n) == ("Ada", "seg/update", "detection", 2, 3)
    assert before - 1 < by_ada.when < time.time() + 1
    assert LabelParams.model_validate(by_ada.params) == PARAMS
    assert (by_nobody.who, by_nobody.request) == (None, None)
    assert [begin.what, cleared.what, written.what] == ["begin", "cleared", "written"]


def test_labels_before_the_record_are_named(dataset: Dataset) -> None:
    teach(dataset, spots(3, t=2), 2)
    (dataset.folder / FILE).unlink()
    teach(dataset, spots(3))
    begin = next(read_record(dataset.folder).entries())
    assert begin.model_dump()["labelled_before"] == {"detection": [2]}


def test_a_movie_that_is_converted_again_clears_labels_in_the_record(dataset: Dataset, tmp_path: Path) -> None:
    teach(dataset, spots(3))
    make(write_movie(tmp_path / "new.h5", ramp(2, SHAPE)), dataset.folder)
    assert [what for what, _ in taught(dataset.folder)] == ["begin", "labels", "cleared"]


# Teaches again and again until it is killed, or has done so often enough.
TEACHER = """
    import sys
    from pathlib import Path
    import numpy as np
    from elephant.config import LabelParams
    from elephant.dataset import Dataset
    from elephant.dataset.record import LabelsOf
    from elephant.labels import detection_labels
    from elephant.types import Spot, Tag, VoxelSize

    dataset, places = Dataset(Path(sys.argv[1])), np.random.default_rng(int(sys.argv[2])).uniform(0, 15, (30, 3))
    params = LabelParams(voxel_size=VoxelSize(1, 1, 1))
    some = [Spot(0, place, np.eye(3), Tag.TP) for place in places]
    for n in range(int(sys.argv[3])):
        given = some[n % 20:]
        labels = detection_labels(dataset.shape, given, params)
        dataset.write_labels(0, labels, LabelsOf(given, params.model_dump(mode="json")))
        print(n, flush=True)
"""


def teacher(dataset: Dataset, seed: int, most: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(TEACHER), str(dataset.folder), str(seed), str(most)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_append_one_after_the_other(dataset: Dataset) -> None:
    teach(dataset, spots(2))
    others = [teacher(dataset, seed, 8) for seed in range(2)]
    for other in others:
        with other:
            other.communicate()
        assert other.returncode == 0
    record = read_record(dataset.folder)
    found = list(record.taught())
    assert not record.damage
    assert [entry.entry for entry, _ in found] == list(range(2 + 2 * 8))


def test_an_incomplete_last_entry_is_skipped_and_said(dataset: Dataset) -> None:
    teach(dataset, spots(3))
    teach(dataset, spots(4))
    file = dataset.folder / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    record = read_record(dataset.folder)
    assert [len(found) for _, found in record.taught()] == [0, 3]
    assert "the last entry" in record.damage[0]
    assert "incomplete" in record.damage[0]
    teach(dataset, spots(5))
    record = read_record(dataset.folder)
    assert [(entry.entry, len(found)) for entry, found in record.taught()] == [(0, 0), (1, 3), (2, 5)]
    assert len(record.damage) == 1


def test_an_incomplete_first_entry_is_no_record_yet(dataset: Dataset) -> None:
    (dataset.folder / FILE).write_bytes(b'{"entry":0,"what":"beg')
    record = read_record(dataset.folder)
    assert list(record.entries()) == []
    assert "incomplete" in record.damage[0]
    teach(dataset, spots(3))
    assert [what for what, _ in taught(dataset.folder)] == ["begin", "labels"]


def test_a_changed_entry_is_noticed(dataset: Dataset) -> None:
    for n in (3, 4, 5):
        teach(dataset, spots(n, seed=n))
    file = dataset.folder / FILE
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], lines[2].replace(b'"n":4', b'"n":3'), lines[3]]))
    record = read_record(dataset.folder)
    assert [entry.entry for entry, _ in record.taught()] == [0, 1, 3]
    assert "has been changed" in record.damage[0]


def test_an_update_that_fails_leaves_no_entry(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    teach(dataset, spots(3))
    before = (dataset.folder / FILE).read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("elephant.dataset.transaction.replacing", fail)
        with pytest.raises(StorageError):
            teach(dataset, spots(4))
    assert (dataset.folder / FILE).read_bytes() == before
    teach(dataset, spots(4))
    assert [len(found) for _, found in taught(dataset.folder)] == [0, 3, 4]


@pytest.mark.parametrize(
    "content",
    [
        b"other\n",
        b"\0" * 100,
        b'{"entry":0}\n',
        b"x" * (LONGEST_LINE + 10),
        Chain().line({"what": "cleared", "when": 1.0}),
        Chain().line({"what": "begin", "when": 1.0, "format": "elephant annotations", "version": 99}),
    ],
    ids=["text", "zeros", "JSON", "long", "another entry", "later version"],
)
def test_what_is_no_record_is_refused(dataset: Dataset, content: bytes) -> None:
    (dataset.folder / FILE).write_bytes(content)
    with pytest.raises(DatasetError, match=r"record of|this is no record"):
        list(read_record(dataset.folder).taught())
    with pytest.raises(DatasetError, match="record of"):
        teach(dataset, spots(3))
    assert (dataset.folder / FILE).read_bytes() == content
    assert not dataset.read_labels(0).any()


def test_a_link_is_not_followed(dataset: Dataset, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine\n")
    (dataset.folder / FILE).symlink_to(other)
    with pytest.raises(StorageError, match="cannot be written"):
        teach(dataset, spots(3))
    with pytest.raises(DatasetError, match="cannot be read"):
        list(read_record(dataset.folder).taught())
    assert other.read_text() == "mine\n"


def test_without_a_record_there_is_nothing_to_read(dataset: Dataset) -> None:
    with pytest.raises(NotFoundError, match="no record of annotations"):
        list(read_record(dataset.folder).entries())


HOSTILE = [
    {"n": 3, "n_packed": 3, "packed": "!!"},
    {"n": 2, "n_packed": 2, "packed": squeeze(pack("detection", spots(3)))},
    {"n": 4, "n_packed": 3, "packed": squeeze(pack("detection", spots(3)))},
    {"n": 3, "base": 1, "kept": [[0, 3, 0]]},
    {"n": 2, "base": 2, "kept": [[0, 1, 0], [0, 1, 0]]},
    {"n": 9, "base": 2, "kept": [[0, 9, 0]]},
    {"n": 0, "parts": [1]},
    {"n": 1 << 40, "n_packed": 0},
    {"n": 1 << 19, "base": 2, "kept": [[0, 1, i] for i in range(1001)]},
]


@pytest.mark.parametrize("wrong", HOSTILE, ids=range(len(HOSTILE)))
def test_entries_that_do_not_fit_together_are_skipped_and_said(dataset: Dataset, wrong: dict[str, object]) -> None:
    chain = Chain()
    head = {"what": "begin", "when": 1.0, "format": "elephant annotations", "version": 1}
    labels = {"what": "labels", "when": 1.0, "method": "detection", "t": 0, "params": {}, "shape": SHAPE, "checksum": 0}
    good = {"n": 3, "n_packed": 3, "packed": squeeze(pack("detection", spots(3)))}
    bodies = (head, {"what": "cleared", "when": 1.0}, labels | good, labels | wrong, {"what": "cleared", "when": 1.0})
    (dataset.folder / FILE).write_bytes(b"".join(map(chain.line, bodies)))
    record = read_record(dataset.folder)
    assert [entry.entry for entry, _ in record.taught()] == [0, 1, 2, 4]
    assert len(record.damage) == 1


def test_packing_keeps_every_bit() -> None:
    some = spots(9)
    rows = pack("detection", some)
    back = unpack("detection", 0, unsqueeze("detection", squeeze(rows), 9))
    assert all(same(a, b) for a, b in zip(some, back, strict=True))
    assert kept_runs(rows, rows[[0, 1, 2, 8, 3, 3]]) == [(0, 3, 0), (8, 9, 3), (3, 4, 4), (3, 4, 5)]


def test_a_process_that_is_killed_leaves_a_record_that_agrees_with_the_labels(dataset: Dataset) -> None:
    rng, n_before = random.Random(4), 0
    for seed in range(2):
        with teacher(dataset, seed, 10**6) as killed:
            assert killed.stdout is not None
            for _ in range(rng.randrange(2, 9)):
                killed.stdout.readline()
            time.sleep(rng.random() * 0.01)  # at any moment
            killed.send_signal(signal.SIGKILL)
        log_module._tails.clear()
        with dataset.labels_lock():  # tidies up
            labels = dataset.read_labels(0)
        record = read_record(dataset.folder)
        found = list(record.taught())
        assert len(found) > n_before
        n_before = len(found)
        last, annotations = found[-1]
        assert isinstance(last, LabelsEntry)
        teach(dataset, annotations)  # type: ignore[arg-type]
        np.testing.assert_array_equal(dataset.read_labels(0), labels)
        assert len(record.damage) <= seed + 1


def test_lines_are_json(dataset: Dataset) -> None:
    teach(dataset, spots(3))
    lines = [json.loads(line) for line in (dataset.folder / FILE).read_text().splitlines()]
    assert [line["entry"] for line in lines] == [0, 1]
