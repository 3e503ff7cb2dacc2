"""A dataset of a part of a movie: a source by its channel's name, a level of the pyramid, some timepoints."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import make
from core.packages import install
from elephant.cli.main import elephant
from elephant.dataset import Dataset, DatasetSource, check_dataset
from elephant.errors import InvalidInputError, PluginError
from elephant.types import VoxelSize

# Each voxel's value is ten times its timepoint, plus its source and level.
READER = """
from contextlib import contextmanager
from dataclasses import replace
import numpy as np
from elephant.dataset.readers.base import Level, Reader, ViewSetup, choose
from elephant.types import VoxelSize

SETUPS = (
    ViewSetup(0, "GFP", voxel_size=VoxelSize(2, 1, 1)),
    ViewSetup(1, "mCherry", voxel_size=VoxelSize(2, 1, 1)),
    ViewSetup(2, "view", attributes={"channel": "far red", "angle": "0"}),
    ViewSetup(3, "view", attributes={"channel": "far red", "angle": "90"}),
)
LEVELS = (Level((2, 8, 8), VoxelSize(2, 1, 1)), Level((2, 4, 4), VoxelSize(2, 2, 2)))

class Pyramid(Reader):
    suffixes = (".pyramid",)

    @classmethod
    def open(cls, path, setup, *, fill_gaps, cancel):
        chosen = choose(SETUPS, setup, path)
        others = tuple(each for each in SETUPS if each != chosen)
        return cls(path=path, shape=(2, 8, 8), dtype="uint8", n_timepoints=6, blank_timepoints=(0, 4), levels=LEVELS,
            setup=chosen, others=others, stored_bytes=600, interval=12.5)

    def at_level(self, level):
        at = LEVELS[level]
        return replace(self, shape=at.shape, level=level, setup=replace(self.setup, voxel_size=at.voxel_size))

    @contextmanager
    def timepoint(self, t):
        yield np.full(self.shape, 10 * t + self.setup.id + self.level, np.uint8)
"""
ENTRY = "[elephant.readers]\npyramid = parts:Pyramid\n"


@pytest.fixture
def movie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(tmp_path, READER, ENTRY, monkeypatch, "parts")
    path = tmp_path / "a.pyramid"
    path.touch()
    return path


def source_of(folder: Path) -> DatasetSource:
    found = DatasetSource.read(folder)
    assert found is not None
    return found


def values_of(folder: Path) -> list[int]:
    dataset = Dataset(folder)
    return [int(dataset.read_image(t).max()) for t in range(dataset.n_timepoints)]


def test_a_level_has_its_size_and_voxel_size(movie: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    make(movie, folder, level=1, setup=1)
    assert (Dataset(folder).shape, values_of(folder)) == ((2, 4, 4), [0, 12, 22, 32, 0, 52])
    source = source_of(folder)
    assert (source.level, source.voxel_size) == (1, VoxelSize(2, 2, 2))
    assert source.title == "a.pyramid, source 1 (mCherry) of 4, level 1"
    assert "(level 1 of a.pyramid)" in check_dataset(folder, (6, 2, 8, 8))
    assert check_dataset(folder, (6, 2, 4, 4)) == "ready"


@pytest.mark.parametrize("weights", [None, (0.5, 0.5, 0, 0)])
def test_the_time_between_timepoints_is_that_of_the_movie(
    weights: tuple[float, ...] | None, movie: Path, tmp_path: Path
) -> None:
    make(movie, tmp_path / "dataset", weights=weights)
    assert source_of(tmp_path / "dataset").interval == 12.5
    shown = CliRunner().invoke(elephant, ["check", str(tmp_path / "dataset")]).output
    assert re.search(r"interval +12\.5 s\n", shown)


def test_an_interval_of_nothing_is_the_fault_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, READER.replace("interval=12.5", "interval=0"), ENTRY, monkeypatch, "parts")
    (tmp_path / "a.pyramid").touch()
    with pytest.raises(PluginError, match="seconds above 0"):
        make(tmp_path / "a.pyramid", tmp_path / "dataset")


def test_timepoints_count_from_0_in_the_dataset(movie: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    make(movie, folder, t_start=2, t_end=4)
    assert values_of(folder) == [20, 30, 0]
    source = source_of(folder)
    assert (source.t_start, source.t_end, source.blank_timepoints) == (2, 4, (2,))
    assert source.title == "a.pyramid, source 0 (GFP) of 4, timepoints 2-4"
    assert check_dataset(folder) == "ready"


@pytest.mark.parametrize(("given", "taken"), [({"t_start": 4}, (4, 5)), ({"t_end": 1}, (0, 1)), ({"t_end": 5}, None)])
def test_either_end_may_be_left_out(given: dict[str, int], taken: tuple[int, int] | None, tmp_path: Path) -> None:
    make(write_movie(tmp_path / "m.h5", ramp(6)), tmp_path / "dataset", **given)
    source = source_of(tmp_path / "dataset")
    assert (source.t_start, source.t_end) == (taken or (None, None))
    start, end = taken or (0, 5)
    images = np.stack([Dataset(tmp_path / "dataset").read_image(t) for t in range(end - start + 1)])
    np.testing.assert_array_equal(images, ramp(6)[start : end + 1])


@pytest.mark.parametrize(("channel", "setup"), [("mCherry", 1), ("gfp", 0)])
def test_a_source_is_chosen_by_its_channel(channel: str, setup: int, movie: Path, tmp_path: Path) -> None:
    make(movie, tmp_path / "dataset", channel=channel)
    assert source_of(tmp_path / "dataset").setup == setup


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"channel": "YFP"}, r"got YFP: it has 0 \(GFP\), 1 \(mCherry\), 2 \(view\), 3 \(view\)"),
        ({"channel": "far red"}, "got 2, with the numbers 2-3: choose one of them by its number"),
        ({"channel": "GFP", "setup": 1}, "got both"),
        ({"level": 2}, r"got 2: it has 0 \(2 x 8 x 8\), 1 \(2 x 4 x 4\) voxels"),
        ({"t_start": 6}, "which has the timepoints 0 to 5, got 6 to 5"),
        ({"t_end": 6}, "which has the timepoints 0 to 5, got 0 to 6"),
        ({"t_start": 3, "t_end": 2}, "got 3 to 2"),
        ({"t_start": 4, "t_end": 4}, "expected an image in timepoint 4 of a.pyramid, got none"),
    ],
)
def test_a_wrong_choice_is_refused_with_what_there_is(
    given: dict[str, object], words: str, movie: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        make(movie, tmp_path / "dataset", **given)
    assert not (tmp_path / "dataset").exists()


def test_a_movie_without_a_pyramid_has_level_0(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"got 1: it has only level 0, of 4 x 16 x 20 voxels"):
        make(write_movie(tmp_path / "m.h5", ramp(2, (4, 16, 20))), tmp_path / "dataset", level=1)


def test_a_voxel_size_of_another_level_is_not_kept(
    movie: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "dataset"
    make(movie, folder, setup=2, voxel_size=VoxelSize(5, 1, 1))
    make(movie, folder, setup=2)
    assert source_of(folder).voxel_size == VoxelSize(5, 1, 1)
    make(movie, folder, setup=2, level=1)
    assert source_of(folder).voxel_size == VoxelSize(2, 2, 2)


def test_a_reader_at_the_wrong_level_is_at_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = READER.replace("shape=at.shape, ", "").replace("parts", "wrong")
    install(tmp_path, wrong, ENTRY.replace("parts", "wrong"), monkeypatch, "wrong")
    (tmp_path / "a.pyramid").touch()
    with pytest.raises(
        PluginError, match=r"the reader pyramid of the package wrong failed .*of the shape that `levels`"
    ):
        make(tmp_path / "a.pyramid", tmp_path / "dataset", level=1)
