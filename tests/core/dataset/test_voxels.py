"""The physical size of voxels, stored with the dataset."""

import logging
from pathlib import Path

import pytest

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import make, make_as_the_original_did
from core.dataset.test_bdv_xml import written
from elephant.dataset import Dataset, DatasetSource
from elephant.dataset.source import describe_difference, differ, voxel_size_in_words
from elephant.dataset.summary import voxel_size_beside
from elephant.types import VoxelSize

SETUP = "<ViewSetup><id>{}</id><voxelSize><unit>{}</unit><size>{}</size></voxelSize></ViewSetup>"
TIMES = '<Timepoints type="range"><first>0</first><last>2</last></Timepoints>'
OF_0, OF_1 = VoxelSize(2, 0.25, 0.5), VoxelSize(4, 0.75, 0.6)


def described(folder: Path, setup: str = "s00") -> Path:
    """Write a movie of one source, and an .xml with the voxel sizes of two."""
    setups = SETUP.format(0, "µm", "0.5 0.25 2") + SETUP.format(1, "mm", "0.6 0.75 4")
    written(folder, f"<ViewSetups>{setups}</ViewSetups>{TIMES}")
    return write_movie(folder / "m.h5", ramp(), setup=setup)


def source_of(folder: Path) -> DatasetSource:
    source = Dataset(folder).source
    assert source is not None
    return source


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if r.levelno == logging.WARNING and "voxel size" in r.message]


def test_it_comes_from_the_xml(tmp_path: Path) -> None:
    make(described(tmp_path), tmp_path / "d")
    assert (source_of(tmp_path / "d").voxel_size, source_of(tmp_path / "d").unit) == (OF_0, "µm")


def test_it_is_that_of_the_used_source(tmp_path: Path) -> None:
    make(described(tmp_path, "s01"), tmp_path / "d", setup=1)
    assert (source_of(tmp_path / "d").voxel_size, source_of(tmp_path / "d").unit) == (OF_1, "mm")


def test_it_comes_from_the_user_if_there_is_no_xml(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_movie(tmp_path / "m.h5", ramp())
    make(movie, tmp_path / "d")
    assert (source_of(tmp_path / "d").voxel_size, source_of(tmp_path / "d").unit) == (None, None)
    make(movie, tmp_path / "d", voxel_size=OF_1, unit="nm")
    assert (source_of(tmp_path / "d").voxel_size, source_of(tmp_path / "d").unit) == (OF_1, "nm")
    assert warnings_of(caplog) == []


def test_a_dataset_that_is_made_again_keeps_it_only_for_the_same_movie(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    movie = write_movie(tmp_path / "m.h5", ramp())
    make(movie, tmp_path / "d", voxel_size=OF_1, unit="nm")
    make(movie, tmp_path / "d")
    assert (source_of(tmp_path / "d").voxel_size, source_of(tmp_path / "d").unit) == (OF_1, "nm")
    assert warnings_of(caplog) == []
    make(write_movie(tmp_path / "m.h5", ramp(largest=200)), tmp_path / "d")
    assert source_of(tmp_path / "d").voxel_size is None
    assert warnings_of(caplog) == [
        "the voxel size 0.6 x 0.75 x 4 nm (X, Y, Z) was that of the previous movie and is dropped: give `voxel_size` "
        "for this one"
    ]


def test_a_single_plane_in_3d_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    movie = write_movie(tmp_path / "m.h5", ramp(shape=(1, 20, 17)))
    make(movie, tmp_path / "plane", is_2d=True)
    assert "single plane" not in caplog.text
    make(movie, tmp_path / "volume")
    assert "m.h5 has a single plane, but becomes a 3D dataset: set `is_2d` for a 2D one" in caplog.text


@pytest.mark.parametrize(("asked", "is_said", "unit"), [(OF_1, True, None), (VoxelSize(2.01, 0.25, 0.5), False, "µm")])
def test_the_users_value_wins_with_a_warning_if_it_differs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, asked: VoxelSize, is_said: bool, unit: str | None
) -> None:
    make(described(tmp_path), tmp_path / "d", voxel_size=asked)
    assert (source_of(tmp_path / "d").voxel_size, source_of(tmp_path / "d").unit) == (asked, unit)
    assert len(warnings_of(caplog)) == is_said
    assert not is_said or "0.5 x 0.25 x 2 µm (X, Y, Z), but 0.6 x 0.75 x 4 (X, Y, Z)" in warnings_of(caplog)[0]


def test_a_difference_of_more_than_one_per_cent_counts_on_the_axes_that_there_are() -> None:
    known = VoxelSize(2, 0.5, 0.5)
    assert not differ(known, VoxelSize(2.019, 0.4951, 0.5), 3)
    assert differ(known, VoxelSize(2.021, 0.5, 0.5), 3)
    assert differ(known, VoxelSize(2, 0.5, 0.494), 3)
    assert not differ(known, VoxelSize(1, 0.5, 0.5), 2)


def test_a_difference_in_words() -> None:
    source = DatasetSource(movie="m.h5", voxel_size=OF_0, unit="µm")
    words = describe_difference(OF_1, source, 3, "lab/m")
    assert words.startswith("the voxel size of lab/m is 0.5 x 0.25 x 2 µm (X, Y, Z), but 0.6 x 0.75 x 4 (X, Y, Z) was")
    assert describe_difference(OF_0, source, 3, "m") == ""
    assert describe_difference(OF_1, DatasetSource(movie="m.h5"), 3, "m") == ""
    assert describe_difference(OF_1, None, 3, "m") == ""
    assert voxel_size_in_words(OF_0, 2) == "0.5 x 0.25 (X, Y)"


def test_folders_of_the_original_have_that_of_the_xml_beside(tmp_path: Path) -> None:
    make_as_the_original_did(tmp_path, ramp())
    assert voxel_size_beside(tmp_path) is None
    movie = described(tmp_path)
    assert voxel_size_beside(tmp_path) == (OF_0, "µm")
    movie.unlink()
    assert voxel_size_beside(tmp_path) == (OF_0, "µm")
    (tmp_path / "m.xml").write_text("<SpimData")
    assert voxel_size_beside(tmp_path) is None


def test_the_xml_of_another_movie_does_not_count(tmp_path: Path) -> None:
    make_as_the_original_did(tmp_path, ramp())
    described(tmp_path).rename(tmp_path / "n.h5")
    assert voxel_size_beside(tmp_path) is None
