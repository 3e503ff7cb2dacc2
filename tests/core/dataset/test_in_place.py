"""Datasets that read their images from the movie: the same values, nothing copied, and said where the movie goes."""

import json
import logging
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

import elephant
from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import images_of, make
from core.dataset.test_ome_zarr import values, write
from core.packages import install
from elephant.config import ConversionParams
from elephant.console import Console
from elephant.dataset import Dataset, DatasetSource, add, check_dataset, describe_change
from elephant.dataset.layout import ARRAYS, IMAGES
from elephant.dataset.opening import add_movie
from elephant.dataset.summary import find_datasets, summarise
from elephant.errors import DatasetError, InvalidInputError
from elephant.progress import NeverCancelled
from elephant.types import Box, VoxelSize


def add_in_place(movie: Path, folder: Path, **params: Any) -> Dataset:
    add(movie, folder, ConversionParams(**params), NeverCancelled())
    return Dataset(folder)


def source_of(folder: Path) -> DatasetSource:
    found = DatasetSource.read(folder)
    assert found is not None
    return found


def labelled(dataset: Dataset) -> NDArray[np.uint8]:
    labels = np.zeros(dataset.shape, np.uint8)
    labels[0] = 3
    dataset.write_labels(0, labels)
    return labels


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    (tmp_path / "movies").mkdir()
    return write_movie(tmp_path / "movies" / "m.h5", ramp(3, largest=4000))


@pytest.mark.parametrize(
    ("dtype", "params"),
    [
        ("uint8", {}),
        ("uint16", {}),
        ("uint16", {"divisor": 3}),
        ("uint16", {"divisor": 257, "dtype": "uint8"}),
        ("uint8", {"dtype": "uint16"}),
        ("uint16", {"setup": 1, "level": 1, "t_start": 1, "t_end": 1}),
        ("uint16", {"value_range": (20, 120)}),
        ("float32", {"value_range": (-10.5, 150)}),
        ("float32", {"value_range": (0, 255), "dtype": "uint8"}),
    ],
)
def test_values_are_those_of_a_copy(dtype: str, params: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "m.zarr", values(dtype=dtype))
    make(path, tmp_path / "copy", **params)
    added = add_in_place(path, tmp_path / "added", **params)
    copy = Dataset(tmp_path / "copy")
    assert (added.shape, added.n_timepoints) == (copy.shape, copy.n_timepoints)
    box = Box((1, 3, 5), (2, 10, 9))
    for t in range(copy.n_timepoints):
        np.testing.assert_array_equal(added.read_image(t), copy.read_image(t))
        np.testing.assert_array_equal(added.read_image(t, box), copy.read_image(t, box))
        assert added.read_image(t).dtype == added.dtype
    assert check_dataset(tmp_path / "added", (copy.n_timepoints, *copy.shape)) == "ready"
    assert source_of(tmp_path / "added").voxel_size == source_of(tmp_path / "copy").voxel_size


def test_movies_of_bigdataviewer_and_planes(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "m.h5", ramp(3, (1, 20, 17), largest=50_000))
    added = add_in_place(path, tmp_path / "flat", is_2d=True)
    assert (added.shape, added.dtype) == ((20, 17), np.uint16)
    np.testing.assert_array_equal(images_of(tmp_path / "flat"), ramp(3, (1, 20, 17), largest=50_000)[:, 0])
    np.testing.assert_array_equal(added.read_image(1, Box((2, 3), (4, 5))), added.read_image(1)[2:6, 3:8])
    with pytest.raises(InvalidInputError, match=r"one of the 3 timepoints of imgs\.zarr"):
        added.read_image(3)
    with pytest.raises(InvalidInputError, match="a box inside the image"):
        added.read_image(0, Box((0, 0), (21, 1)))


def test_nothing_is_copied_and_other_programs_refuse_the_array(movie: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    add_in_place(movie, folder)
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {*ARRAYS, "source.json"}
    assert [path.name for path in (folder / IMAGES).iterdir()] == ["zarr.json"]
    with pytest.raises(Exception, match=r"elephant\.in_place"):
        zarr.open_array(folder / IMAGES, mode="r")
    source = source_of(folder)
    assert (source.in_place, source.folder, source.divisor) == (True, str(movie.parent), 1.0)
    assert find_datasets(tmp_path, 9) == ["d"]
    found = summarise(folder)
    assert (found.n_timepoints, found.shape, found.dtype) == (3, (5, 20, 17), "uint16")


def test_it_is_written_to_and_sent_to_other_processes_as_any_dataset(movie: Path, tmp_path: Path) -> None:
    dataset = add_in_place(movie, tmp_path / "d")
    labels = labelled(dataset)
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - what was made here
    with again.in_use():
        np.testing.assert_array_equal(again.read_labels(0), labels)
        np.testing.assert_array_equal(again.read_image(2), ramp(3, largest=4000)[2])


def test_a_movie_in_its_folder_may_move_with_it(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    add_in_place(write_movie(tmp_path / "d" / "d.h5", ramp()), tmp_path / "d")
    assert source_of(tmp_path / "d").folder is None
    (tmp_path / "d").rename(tmp_path / "e")
    np.testing.assert_array_equal(images_of(tmp_path / "e"), ramp())


def test_a_copy_replaces_it_and_the_other_way_round(movie: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    labelled(add_in_place(movie, folder, voxel_size=VoxelSize(2, 1, 1)))
    make(movie, folder)
    copied = Dataset(folder)
    assert not source_of(folder).in_place
    assert source_of(folder).voxel_size == VoxelSize(2, 1, 1)
    assert copied.labelled_timepoints() == []
    movie.rename(movie.with_name("n.h5"))
    np.testing.assert_array_equal(images_of(folder), ramp(3, largest=4000))
    add_in_place(movie.with_name("n.h5"), folder)
    assert source_of(folder).in_place
    with pytest.raises(DatasetError, match="was replaced while it was in use"):
        copied.check_not_replaced()


def test_a_movie_that_is_gone_is_said_so_and_found_again(movie: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    dataset = add_in_place(movie, folder)
    labels = labelled(dataset)
    dataset.read_image(0)
    elsewhere = movie.rename(tmp_path / "elsewhere.h5")
    words = f"the movie {movie} is gone, and the dataset d reads its images from there"
    assert words in check_dataset(folder)
    assert words in describe_change(folder)
    for use in (lambda: dataset.read_image(0), dataset.check_not_replaced, lambda: Dataset(folder)):
        with pytest.raises(DatasetError, match="is gone"):
            use()
    assert summarise(folder).labelled == [0]
    found = add_movie(elsewhere, folder, ConversionParams(), Console(quiet=True))
    np.testing.assert_array_equal(found.read_labels(0), labels)
    np.testing.assert_array_equal(found.read_image(1), ramp(3, largest=4000)[1])
    assert source_of(folder).movie_path(folder) == elsewhere


@pytest.mark.parametrize("params", [{"setup": 1, "t_start": 1}, {"weights": (1, 2)}, {"level": 1, "channel": "1"}])
def test_a_part_of_a_movie_is_found_again_by_its_new_place_alone(params: dict[str, Any], tmp_path: Path) -> None:
    folder, movie = tmp_path / "d", write(tmp_path / "m.zarr", values())
    dataset = add_in_place(movie, folder, **params)
    labels, image = labelled(dataset), dataset.read_image(1)
    elsewhere = movie.rename(tmp_path / "elsewhere.zarr")
    found = add_movie(elsewhere, folder, ConversionParams(), Console(quiet=True))
    np.testing.assert_array_equal(found.read_labels(0), labels)
    np.testing.assert_array_equal(found.read_image(1), image)
    other = write(tmp_path / "other.zarr", values("zyx"), "zyx")
    with pytest.raises(InvalidInputError, match="there is already a dataset"):
        add_movie(elsewhere, folder, ConversionParams(setup=0, level=0), Console(quiet=True))
    with pytest.raises(InvalidInputError, match="there is already a dataset"):
        add_movie(other, folder, ConversionParams(), Console(quiet=True))


def test_planes_of_given_axes_are_found_again_by_their_new_place_alone(tmp_path: Path) -> None:
    movie = tmp_path / "m.npy"
    np.save(movie, values("tyx"))
    labels = labelled(add_in_place(movie, tmp_path / "d", axes="TYX", is_2d=True))
    found = add_movie(movie.rename(tmp_path / "o.npy"), tmp_path / "d", ConversionParams(), Console(quiet=True))
    np.testing.assert_array_equal(found.read_labels(0), labels)
    np.testing.assert_array_equal(found.read_image(1), values("tyx")[1])


def test_another_movie_or_part_does_not_take_its_labels(movie: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    labelled(add_in_place(movie, folder))
    other = write_movie(tmp_path / "other.h5", ramp(3, largest=300))
    for path, params in ((other, {}), (movie, {"t_end": 1}), (movie, {"divisor": 2})):
        with pytest.raises(InvalidInputError, match="there is already a dataset"):
            add_movie(path, folder, ConversionParams(**params), Console(quiet=True))
    assert Dataset(folder).labelled_timepoints() == [0]
    assert add_movie(other, folder, ConversionParams(), Console(quiet=True), overwrite=True).labelled_timepoints() == []


def test_a_movie_that_changed_is_refused_and_one_that_was_touched_is_not(movie: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    dataset = add_in_place(movie, folder)
    content = movie.read_bytes()
    movie.unlink()
    movie.write_bytes(content)
    np.testing.assert_array_equal(dataset.read_image(1), ramp(3, largest=4000)[1])
    assert check_dataset(folder) == "ready"
    write_movie(movie, ramp(3, largest=3000))
    assert "has changed since it was added" in check_dataset(folder)
    with pytest.raises(DatasetError, match="has changed since it was added"):
        dataset.read_image(1)
    movie.write_bytes(b"no movie")
    assert "cannot be read now" in check_dataset(folder)


def test_the_same_movie_that_is_saved_anew_with_its_values_elsewhere_is_read_from_there(tmp_path: Path) -> None:
    movie, planes = tmp_path / "m.tif", values("tzyx")

    def save(info: str) -> None:
        tifffile.imwrite(movie, planes, imagej=True, metadata={"axes": "TZYX", "Info": info})

    save("")
    dataset = add_in_place(movie, tmp_path / "d")
    np.testing.assert_array_equal(dataset.read_image(1), planes[1])
    save("a note about the movie " * 20)
    np.testing.assert_array_equal(dataset.read_image(1), planes[1])


def test_images_that_are_deleted_while_it_is_used_are_not_taken_for_black_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "m.zarr", values(), chunks=(1, 1, 4, 20, 30))
    dataset = add_in_place(path, tmp_path / "d")
    assert dataset.read_image(1).any()
    shutil.rmtree(path / "0" / "c" / "1")
    with pytest.raises(DatasetError, match="has changed since it was added"):
        dataset.read_image(1)


@pytest.mark.parametrize("content", [None, "{", '{"movie": "m.h5"}'])
def test_without_its_source_it_says_so(content: str | None, movie: Path, tmp_path: Path) -> None:
    add_in_place(movie, tmp_path / "d")
    place = tmp_path / "d" / "source.json"
    place.unlink() if content is None else place.write_text(content)
    assert "to say which movie the images are read from" in check_dataset(tmp_path / "d")


def test_a_reference_that_is_damaged_or_of_another_movie(movie: Path, tmp_path: Path) -> None:
    dataset = add_in_place(movie, tmp_path / "d")
    place = tmp_path / "d" / IMAGES / "zarr.json"
    described = json.loads(place.read_text())
    place.write_text(json.dumps(described | {"shape": "many"}))
    assert "cannot be read" in check_dataset(tmp_path / "d")
    place.write_text(json.dumps(described | {"shape": [3, 5, 20, 18]}))
    assert "expected seg_outputs.zarr of shape (3, 5, 20, 18, 3)" in check_dataset(tmp_path / "d")
    del dataset


@pytest.mark.parametrize(
    ("low", "high", "is_whole", "scaling"),
    [
        (0, 5000, True, (0.0, 1.0)),
        (-300, 5000, True, (-32768.0, 1.0)),
        (0, 1, False, (0.0, 65535 / 1.5)),
        (-1, 1, False, (-2.0, 65535 / 4)),
        (0, 100_000, True, (0.0, 65535 / 150_000)),
    ],
)
def test_a_scaling_of_other_values_is_guessed_and_said(
    low: float,
    high: float,
    is_whole: bool,
    scaling: tuple[float, float],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    image = np.linspace(low, high, 2 * 4 * 20 * 30).reshape(2, 4, 20, 30).astype(np.float32)
    image = np.rint(image) if is_whole else image
    path = write(tmp_path / "m.zarr", image, "tzyx")
    dataset = add_in_place(path, tmp_path / "d")
    source = source_of(tmp_path / "d")
    assert source.offset is not None
    assert source.factor is not None
    assert (source.offset, source.factor) == pytest.approx(scaling)
    assert source.guessed_from
    assert f"That was guessed: in {source.guessed_from} sampled blocks, values are {low:g} to {high:g}" in caplog.text
    read = np.stack([dataset.read_image(t) for t in range(2)])
    assert dataset.dtype == np.uint16
    np.testing.assert_allclose(read / source.factor + source.offset, image, atol=0.5 / source.factor)


def test_values_outside_of_the_guess_are_clipped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elephant.dataset.source, "_MOST_BYTES", 0)  # so that not all values are looked at
    image = np.random.default_rng(0).uniform(0.2, 1, (10, 4, 32, 32)).astype(np.float32)
    path = write(tmp_path / "m.zarr", image, "tzyx", chunks=(1, 4, 16, 16))
    dataset = add_in_place(path, tmp_path / "d")
    caplog.clear()
    assert all(dataset.read_image(t).max() < 65535 for t in range(10))
    assert caplog.text == ""
    changed = zarr.open_array(path / "0", mode="r+")
    changed[7, 0, 0, :3] = [-1, 9, np.nan]
    monkeypatch.setattr("elephant.dataset.in_place.describe_loss", lambda *_: "")  # the change is the test's own
    assert dataset.read_image(7)[0, 0, :3].tolist() == [0, 65535, 0]
    assert "2 voxels of timepoint 7 of m.zarr are outside of the range 0 to 1.39" in caplog.text


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"dtype": "uint8"}, "only a look at all values of m.zarr could tell whether they fit"),
        ({"divisor": 2}, "only a look at all values"),
        ({"value_range": (1, 1)}, "expected a `value_range` from a smaller to a larger value, got 1 to 1"),
        ({"value_range": (0, 1), "divisor": 2}, "expected `divisor` or `value_range`, got both"),
    ],
)
def test_what_only_a_look_at_all_values_could_tell_is_refused(
    params: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.zarr", values(dtype="float32"))
    with pytest.raises(InvalidInputError, match=words):
        add_in_place(path, tmp_path / "d", **params)
    assert not (tmp_path / "d").exists()


def test_values_from_which_nothing_can_be_guessed(tmp_path: Path) -> None:
    black = write(tmp_path / "black.zarr", np.zeros((2, 4, 20, 30), np.float32), "tzyx")
    with pytest.raises(DatasetError, match=r"all values in \d+ sampled blocks of black\.zarr are 0, .* `value_range`"):
        add_in_place(black, tmp_path / "d")
    add_in_place(black, tmp_path / "d", value_range=(0, 1))
    image = values("tzyx", "float32")
    image[2, 0, 0, 0] = np.inf
    with pytest.raises(DatasetError, match=r"timepoint 2 of m\.zarr has infinite values"):
        add_in_place(write(tmp_path / "m.zarr", image, "tzyx"), tmp_path / "e", t_start=1)


READER = """
from contextlib import contextmanager
import numpy as np
from elephant.dataset.readers.base import Reader

class Slow(Reader):
    suffixes = (".slow",)

    @classmethod
    def open(cls, path, setup, *, fill_gaps, cancel):
        return cls(path=path, shape=(1, 2, 2), dtype="uint8", n_timepoints=1, in_place=False)

    @contextmanager
    def timepoint(self, t):
        yield np.ones((1, 2, 2), np.uint8)
"""


def test_a_format_may_not_be_fit_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, READER, "[elephant.readers]\nslow = slow:Slow\n", monkeypatch, "slow")
    (tmp_path / "m.slow").touch()
    with pytest.raises(InvalidInputError, match=r"m\.slow cannot be read in place"):
        add_in_place(tmp_path / "m.slow", tmp_path / "d")
    make(tmp_path / "m.slow", tmp_path / "d")


def test_python_reads_in_place(movie: Path, tmp_path: Path) -> None:
    dataset = elephant.open_dataset(movie, tmp_path / "d", in_place=True, quiet=True)
    assert dataset.is_in_place
    np.testing.assert_array_equal(elephant.open_dataset(tmp_path / "d").read_image(0), ramp(3, largest=4000)[0])
    with pytest.raises(InvalidInputError, match="only a movie's file can be read in place"):
        elephant.open_dataset(ramp(), in_place=True, quiet=True)


def test_a_movie_of_100_gb_is_added_without_a_look_at_most_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (100, 64, 2896, 2896)  # 107 GB of uint16
    path = sparse(tmp_path / "m.zarr", shape)
    read = counted_reads(monkeypatch)
    dataset = add_in_place(path, tmp_path / "d")
    n_files = sum(1 for found in (tmp_path / "d").rglob("*") if found.is_file())
    assert n_files < 20
    assert sum(found.stat().st_size for found in (tmp_path / "d").rglob("*") if found.is_file()) < 1 << 20
    assert sum(read) <= 64 << 20
    read.clear()
    assert dataset.shape == shape[1:]
    box = Box((10, 1000, 1000), (16, 96, 96))
    assert dataset.read_image(57, box).shape == box.size
    assert sum(read) == 2 * 16 * 96 * 96


def sparse(path: Path, shape: tuple[int, ...], written: tuple[int, ...] = (57, 10, 1000, 1000)) -> Path:
    """Write the metadata of a movie, (T, Z, Y, X), whose blocks are all missing but one."""
    axes = [{"name": name, "type": {"t": "time"}.get(name, "space")} for name in "tzyx"]
    scale = [{"type": "scale", "scale": [1.0, 2.0, 0.5, 0.5]}]
    described = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    attributes = {"ome": {"version": "0.5", "multiscales": [described]}}
    group = zarr.open_group(path, mode="w", zarr_format=3, attributes=attributes)
    array = group.create_array("0", shape=shape, dtype="uint16", chunks=(1, min(32, shape[1]), 256, 256))
    array[written] = 9
    return path


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the size of each block that is read of a movie is added."""
    from elephant.dataset.readers.ome_zarr import Timepoint

    sizes: list[int] = []
    original = Timepoint.__getitem__

    def counting(self: Timepoint, region: Any) -> Any:
        found = original(self, region)
        sizes.append(found.nbytes)
        return found

    monkeypatch.setattr(Timepoint, "__getitem__", counting)
    return sizes


def test_what_was_guessed_is_not_said_of_a_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "m.zarr", values(dtype="uint16"))
    with caplog.at_level(logging.WARNING):
        add_in_place(path, tmp_path / "d", setup=0)
    assert caplog.text == ""
