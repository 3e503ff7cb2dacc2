import pickle
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from filelock import FileLock, Timeout

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import make, make_as_the_original_did
from elephant.dataset import Dataset, labels_as_rgb
from elephant.errors import DatasetError, InvalidInputError, NotFoundError
from elephant.types import Box

VALUES = ramp(3, (5, 20, 17), largest=999)
BOX = Box((1, 4, 3), (3, 10, 7))


@pytest.fixture(params=["ours", "ours in several files", "the original's", "the original's without compression"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    folder = tmp_path / "datasets" / "user" / "d"
    if request.param == "ours in several files":
        monkeypatch.setattr("elephant.dataset.layout._CHUNK_3D", (2, 8, 8))
        monkeypatch.setattr("elephant.dataset.layout._LARGEST_IMAGE_FILE", 600)
        monkeypatch.setattr("elephant.dataset.layout._LARGEST_FILE", 5000)
    if request.param.startswith("ours"):
        make(write_movie(tmp_path / "m.h5", VALUES), folder)
    else:
        make_as_the_original_did(folder, VALUES, None if "without" in request.param else "auto")
    return Dataset.open(tmp_path / "datasets", "user/d")


def some_labels(shape: tuple[int, ...] = (5, 20, 17), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 7, shape, dtype=np.uint8)


def test_what_it_says_of_itself(dataset: Dataset, tmp_path: Path) -> None:
    assert dataset.folder == tmp_path.resolve() / "datasets" / "user" / "d"
    assert (dataset.n_timepoints, dataset.shape, dataset.n_dims, dataset.is_3d) == (3, (5, 20, 17), 3, True)
    assert dataset.dtype == np.uint16


def test_images_whole_and_in_boxes(dataset: Dataset) -> None:
    for t in range(3):
        image = dataset.read_image(t)
        assert image.dtype == np.uint16
        np.testing.assert_array_equal(image, VALUES[t])
        np.testing.assert_array_equal(dataset.read_image(t, BOX), VALUES[t, 1:4, 4:14, 3:10])


def test_labels_and_their_colours(dataset: Dataset) -> None:
    labels = some_labels()
    dataset.write_labels(1, labels)
    np.testing.assert_array_equal(dataset.read_labels(1), labels)
    np.testing.assert_array_equal(dataset.read_labels(1, BOX), labels[BOX.slices])
    assert not dataset.read_labels(0).any()
    rgb = zarr.open_array(dataset.folder / "seg_labels_vis.zarr", mode="r")
    np.testing.assert_array_equal(rgb[1], labels_as_rgb(labels))
    assert not rgb[2].any()


def test_labelled_timepoints(dataset: Dataset) -> None:
    assert dataset.labelled_timepoints() == []
    for t in (2, 0):
        one = np.zeros(dataset.shape, np.uint8)
        one[-1, -1, -1] = t + 1
        dataset.write_labels(t, one)
    assert dataset.labelled_timepoints() == [0, 2]
    dataset.write_labels(0, np.zeros(dataset.shape, np.uint8))
    assert dataset.labelled_timepoints() == [2]
    assert not dataset.read_labels(0).any()


def test_clearing_labels(dataset: Dataset) -> None:
    for t in range(3):
        dataset.write_labels(t, some_labels(seed=t))
    dataset.clear_labels()
    assert dataset.labelled_timepoints() == []
    assert not dataset.read_labels(1).any()
    assert not zarr.open_array(dataset.folder / "seg_labels_vis.zarr", mode="r")[:].any()
    dataset.write_labels(1, some_labels())
    np.testing.assert_array_equal(dataset.read_labels(1), some_labels())


def test_probabilities_whole_and_in_boxes(dataset: Dataset) -> None:
    whole = np.random.default_rng(1).random((5, 20, 17, 3), np.float32)
    dataset.write_probabilities(2, whole)
    part = np.random.default_rng(2).random((3, 10, 7, 3), np.float32)
    dataset.write_probabilities(2, part, BOX)
    whole[BOX.slices] = part
    found = dataset.read_probabilities(2)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found * 64, np.rint(found * 64))
    np.testing.assert_allclose(found, whole, atol=1 / 64)
    assert len(np.unique(found)) > 50
    np.testing.assert_array_equal(dataset.read_probabilities(2, BOX), found[BOX.slices])


def test_flow_whole_and_in_boxes(dataset: Dataset) -> None:
    whole = np.random.default_rng(1).uniform(-1, 1, (3, 5, 20, 17)).astype(np.float32)
    dataset.write_flow(1, whole)
    whole = whole.astype(np.float16)
    part = np.zeros((3, 3, 10, 7), np.float16)
    dataset.write_flow(1, part, BOX)
    whole[:, *BOX.slices] = 0
    np.testing.assert_array_equal(dataset.read_flow(1), whole)
    np.testing.assert_array_equal(dataset.read_flow(1, Box((0, 0, 0), (1, 20, 17))), whole[:, :1])


def test_channels_of_a_flow_are_stored_with_the_requested_step(dataset: Dataset) -> None:
    values = np.random.default_rng(1).uniform(-1, 1, (3, 5, 20, 17)).astype(np.float32)
    steps = [1 / 32, 1 / 64, 1 / 8]
    dataset.write_flow(0, values, steps=steps)
    for kept, channel, step in zip(dataset.read_flow(0), values, steps, strict=True):
        np.testing.assert_array_equal(kept / step, np.rint(kept / step))
        assert 0.9 * step < np.abs(kept - channel).max() <= step


def test_flow_labels(dataset: Dataset) -> None:
    labels = np.random.default_rng(1).normal(size=(4, 5, 20, 17)).astype(np.float32)
    dataset.write_flow_labels(1, labels)
    np.testing.assert_array_equal(dataset.read_flow_labels(1), labels)
    np.testing.assert_array_equal(dataset.read_flow_labels(1, BOX), labels[:, *BOX.slices])
    assert dataset.flow_labelled_timepoints() == [1]
    dataset.clear_flow_labels()
    assert dataset.flow_labelled_timepoints() == []
    assert not dataset.read_flow_labels(1).any()


def test_2d(tmp_path: Path) -> None:
    values = ramp(2, (1, 40, 30))
    make(write_movie(tmp_path / "m.h5", values), tmp_path / "d", is_2d=True)
    dataset = Dataset.open(tmp_path, "d")
    assert (dataset.shape, dataset.n_dims, dataset.is_3d) == ((40, 30), 2, False)
    np.testing.assert_array_equal(dataset.read_image(1, Box((3, 4), (5, 6))), values[1, 0, 3:8, 4:10])
    labels = some_labels((40, 30))
    dataset.write_labels(0, labels)
    np.testing.assert_array_equal(dataset.read_labels(0), labels)
    dataset.write_flow_labels(0, np.ones((3, 40, 30), np.float32))
    assert dataset.flow_labelled_timepoints() == [0]


@pytest.mark.parametrize("t", [-1, 3, 10**9])
def test_timepoints_outside_the_movie(dataset: Dataset, t: int) -> None:
    with pytest.raises(InvalidInputError, match=rf"one of the 3 timepoints.*got {t}"):
        dataset.read_image(t)
    with pytest.raises(InvalidInputError, match="timepoints"):
        dataset.write_labels(t, some_labels())


def test_the_last_timepoint_has_no_flow(dataset: Dataset) -> None:
    with pytest.raises(InvalidInputError, match="2 timepoints"):
        dataset.read_flow(2)


@pytest.mark.parametrize("box", [Box((0, 0, 0), (6, 1, 1)), Box((4, 19, 16), (1, 1, 2)), Box((0, 0), (2, 2))])
def test_boxes_outside_the_image(dataset: Dataset, box: Box) -> None:
    with pytest.raises(InvalidInputError, match="inside the image"):
        dataset.read_image(0, box)


def test_labels_of_another_kind(dataset: Dataset) -> None:
    for labels in (some_labels((5, 20, 16)), some_labels((5, 20, 17)).astype(np.int64), some_labels() + np.uint8(1)):
        with pytest.raises(InvalidInputError):
            dataset.write_labels(0, labels)
    assert dataset.labelled_timepoints() == []


def test_values_of_another_shape(dataset: Dataset) -> None:
    with pytest.raises(InvalidInputError, match=r"shape \(3, 10, 7, 3\) for .*, got \(3, 10, 7\)"):
        dataset.write_probabilities(0, np.zeros((3, 10, 7)), BOX)
    with pytest.raises(InvalidInputError, match=r"shape \(3, 5, 20, 17\) for"):
        dataset.write_flow(0, np.zeros((2, 5, 20, 17)))


def test_names(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="generate it"):
        Dataset.open(tmp_path, "absent")
    with pytest.raises(InvalidInputError):
        Dataset.open(tmp_path, "../x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"imgs\.zarr is missing"):
        Dataset.open(tmp_path, "empty")


def test_damaged_images_are_reported(dataset: Dataset) -> None:
    for path in (dataset.folder / "imgs.zarr").iterdir():
        if path.name.lstrip("c.").startswith("1.") and "without" not in str(path):
            path.write_bytes(b"\x07" * 40)
    with pytest.raises(DatasetError, match=r"timepoint 1 of .*imgs\.zarr is damaged"):
        dataset.read_image(1)
    np.testing.assert_array_equal(dataset.read_image(0), VALUES[0])


def test_it_travels_to_other_processes(dataset: Dataset) -> None:
    dataset.read_image(0)
    with dataset.labels_lock():
        copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own
    np.testing.assert_array_equal(copy.read_image(2), VALUES[2])


def test_the_lock_can_be_nested_and_keeps_others_out(dataset: Dataset) -> None:
    same = Dataset(dataset.folder)
    with dataset.labels_lock(), same.labels_lock():
        same.write_labels(0, some_labels())
        with ThreadPoolExecutor(1) as other:
            path = dataset.folder / ".labels.lock"
            refused = other.submit(lambda: FileLock(path, timeout=0, is_singleton=False).acquire())
            assert isinstance(refused.exception(timeout=30), Timeout)
    with FileLock(dataset.folder / ".labels.lock", timeout=0):
        pass


WRITER = """
    import select, sys
    from pathlib import Path
    import numpy as np
    from elephant.dataset import Dataset

    dataset = Dataset(Path(sys.argv[1]))
    print("ready", flush=True)
    for value in range(1, 10**6):
        dataset.write_labels(0, np.full(dataset.shape, value % 6 + 1, np.uint8))
        if select.select([sys.stdin], [], [], 0.002)[0]:
            break
"""


def test_readers_see_the_labels_of_a_timepoint_whole(dataset: Dataset) -> None:
    """One process writes, this one reads: whole timepoints and boxes, with and without a file per timepoint."""
    dataset.write_labels(0, np.full(dataset.shape, 1, np.uint8))
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(dataset.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        assert writer.stdout.readline() == b"ready\n"
        seen, mixed = set(), 0
        while len(seen) < 6:
            for labels in (dataset.read_labels(0), dataset.read_labels(0, BOX)):
                values = np.unique(labels)
                mixed += len(values) > 1
                seen.update(values.tolist())
        writer.stdin.close()
    assert writer.returncode == 0
    assert mixed == 0


def test_threads_may_share_it(dataset: Dataset) -> None:
    def work(t: int) -> None:
        start.wait()
        for seed in range(5):
            dataset.write_labels(t, some_labels(seed=seed))
            np.testing.assert_array_equal(dataset.read_labels(t), some_labels(seed=seed))
            np.testing.assert_array_equal(dataset.read_image(t), VALUES[t])

    start = threading.Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, range(3))) == [None] * 3


def test_colours_of_labels() -> None:
    labels = np.arange(7, dtype=np.uint8).reshape(1, 7)
    assert labels_as_rgb(labels)[0].tolist() == [
        [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [127, 0, 0], [0, 127, 0], [0, 0, 127],
    ]  # fmt: skip


def test_zeros_stored_by_others_are_no_labels(tmp_path: Path) -> None:
    make_as_the_original_did(tmp_path / "d", VALUES)
    with zarr.config.set({"array.write_empty_chunks": True}):
        zarr.open_array(tmp_path / "d" / "seg_labels.zarr", mode="r+")[:] = 0
    assert len(list((tmp_path / "d" / "seg_labels.zarr").glob("0.*"))) == 5
    dataset = Dataset(tmp_path / "d")
    assert dataset.labelled_timepoints() == []
    dataset.clear_labels()
    assert list((tmp_path / "d" / "seg_labels.zarr").glob("0.*")) == []


def test_a_timepoint_of_labels_is_one_file(tmp_path: Path) -> None:
    make(write_movie(tmp_path / "m.h5", VALUES), tmp_path / "d")
    dataset = Dataset(tmp_path / "d")
    dataset.write_labels(2, some_labels())
    files = {p.name for p in (tmp_path / "d" / "seg_labels.zarr").iterdir()}
    assert files == {"zarr.json", "c.2.0.0.0"}
