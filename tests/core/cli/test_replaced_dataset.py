"""A dataset that is replaced while it is used, and what is said of one without a voxel size."""

from pathlib import Path

import pytest

from core.cli.shell import Shell
from core.dataset.bdv import ramp, write_movie
from elephant.dataset import Dataset
from elephant.errors import DatasetError
from elephant.workflows.course import Course


def test_a_training_notices_that_its_dataset_was_replaced(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    write_movie(shell.folder / "m.h5", ramp(2, (8, 32, 32)))
    (shell.folder / "s.csv").write_text("t,x,y,z,radius\n0,16,16,4,3\n")
    assert shell("convert", "m.h5", "./d").status == 0
    save = Course.save

    def replaced(course: Course) -> None:
        again = shell("convert", "m.h5", "./d", "--overwrite")
        assert again.status == 0
        save(course)

    monkeypatch.setattr(Course, "save", replaced)
    training = ["train", "./d", "--spots", "s.csv", "--model", "./n.pth", "--voxel-size", 1, 1, 1, "--start", "scratch"]
    done = shell(*training, "--n-epochs", 1, "--n-crops", 1, "--crop-size", 16, 16, 8)
    assert done.status == 1, done
    assert "the dataset d was replaced while it was in use" in done.err


def test_an_open_dataset_tells_whether_it_was_replaced(shell: Shell) -> None:
    write_movie(shell.folder / "m.h5", ramp(1, (2, 8, 8)))
    folder = Path("d")
    assert "voxel size  unknown: give --voxel-size" in shell("convert", "m.h5", "./d").out
    assert "voxel size  unknown: give --voxel-size" in shell("check", "./d").out
    dataset = Dataset(folder)
    dataset.check_not_replaced()
    assert shell("convert", "m.h5", "./d", "--overwrite").status == 0
    with pytest.raises(DatasetError, match="was replaced while it was in use"):
        dataset.check_not_replaced()
