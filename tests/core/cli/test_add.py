"""``elephant add``: a dataset that reads its images from a movie in place."""

from pathlib import Path

import numpy as np
import pytest

from core.cli.shell import Shell
from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import images_of
from core.dataset.test_ome_zarr import values, write
from elephant.dataset import Dataset


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    return write_movie(tmp_path / "m.h5", ramp())


def test_it_says_what_was_added(shell: Shell, movie: Path) -> None:
    done = shell("add", movie, movie.parent / "d", "--voxel-size", 0.5, 0.5, 2)
    assert (done.status, done.err) == (0, "")
    assert "3 timepoints of 17 x 20 x 5 voxels (X, Y, Z), uint16" in done.out
    assert "images      read in place, from the movie" in done.out
    checked = shell("check", movie.parent / "d")
    assert checked.status == 0
    assert "reads       m.h5" in checked.out
    found = shell("check", movie.parent / "d", "--json").json
    assert (found["in_place"], found["ready"], found["voxel_size"]) == (True, True, [0.5, 0.5, 2])
    assert found["bytes"] < 20_000
    np.testing.assert_array_equal(images_of(movie.parent / "d"), ramp())


def test_a_part_is_taken(shell: Shell, tmp_path: Path) -> None:
    path = write(tmp_path / "m.ome.zarr", values(), more={"omero": {"channels": [{"label": "A"}, {"label": "B"}]}})
    done = shell("add", path, tmp_path / "d", "--channel", "B", "--level", 1, "--t-start", 1)
    assert (done.status, done.err) == (0, "")
    for words in (
        "source      1 (B), one of 2",
        "level       1, 0 being full",
        "taken       timepoints 1-2 of the movie",
    ):
        assert words in done.out
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values()[1:, 1, ..., ::2])
    moved = path.rename(tmp_path / "moved.ome.zarr")
    assert shell("add", moved, tmp_path / "d").status == 0
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values()[1:, 1, ..., ::2])
    assert shell("add", moved, tmp_path / "d", "--level", 0).status == 1


def test_a_movie_that_was_moved_is_found_again(shell: Shell, movie: Path, tmp_path: Path) -> None:
    assert shell("add", movie, tmp_path / "d").status == 0
    labels = np.ones(ramp().shape[1:], np.uint8)
    Dataset(tmp_path / "d").write_labels(1, labels)
    moved = movie.rename(tmp_path / "moved.h5")
    refused = shell("check", tmp_path / "d")
    assert refused.status == 1
    assert f"give its new place with `elephant add NEW_PLACE {tmp_path / 'd'}`, which keeps the labels" in refused.out
    assert shell("add", moved, tmp_path / "d").status == 0
    np.testing.assert_array_equal(Dataset(tmp_path / "d").read_labels(1), labels)


def test_convert_makes_it_a_copy(shell: Shell, movie: Path, tmp_path: Path) -> None:
    assert shell("add", movie, tmp_path / "d").status == 0
    assert "whose labels would be lost" in shell("convert", movie, tmp_path / "d").err
    assert shell("convert", movie, tmp_path / "d", "--overwrite").status == 0
    movie.unlink()
    assert shell("check", tmp_path / "d", "--json").json["in_place"] is False
    np.testing.assert_array_equal(images_of(tmp_path / "d"), ramp())


def test_the_movie_may_be_in_the_folder_of_the_dataset(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d").mkdir()
    write(tmp_path / "d" / "m.ome.zarr", values("tzyx"), "tzyx")
    monkeypatch.chdir(tmp_path)
    assert shell("add", "d/m.ome.zarr", tmp_path / "d").status == 0
    assert shell("convert", "d/m.ome.zarr", "./d", "--overwrite").status == 0
    np.testing.assert_array_equal(images_of(tmp_path / "d"), values("tzyx"))


def test_a_guess_is_said(shell: Shell, tmp_path: Path) -> None:
    path = write(tmp_path / "m.ome.zarr", values("tzyx", "float32") / np.float32(200), "tzyx")
    done = shell("add", path, tmp_path / "d")
    assert done.status == 0
    assert "warning: the values of m.ome.zarr are not of 8 or 16 bits" in done.err
    assert "--value-range sets another range" in done.err
    done = shell("add", path, tmp_path / "d", "--value-range", 0, 1, "--overwrite")
    assert (done.status, done.err) == (0, "")


def test_the_command_line_takes_numbers_with_commas(shell: Shell, tmp_path: Path) -> None:
    path = write(tmp_path / "m.ome.zarr", values(), more={"omero": {"channels": [{"label": "A"}, {"label": "B"}]}})
    done = shell("add", path, tmp_path / "d", "--weights", "0.25,0.75")
    assert (done.status, done.err) == (0, "")
    assert "sources     added up: 0.25 x A + 0.75 x B" in done.out
    assert shell("check", tmp_path / "d", "--json").json["weights"] == [[0, 0.25], [1, 0.75]]
    assert "expected numbers with commas" in shell("add", path, tmp_path / "e", "--weights", "1;2").err
