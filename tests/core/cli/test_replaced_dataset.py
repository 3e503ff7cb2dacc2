"""A dataset that is replaced while it is used, and messages about one without a voxel size."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.cli.shell import Shell
from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import make
from elephant.console import Bars
from elephant.dataset import Dataset
from elephant.errors import DatasetError, InUseError
from elephant.methods.training import EpochRecorder
from elephant.models.ensemble import Ensemble
from elephant.models.unet import DetectionNet, FlowNet

TRAINING = ["train", "./d", "--spots", "s.csv", "--model", "./n.pth", "--voxel-size", 1, 1, 1, "--start", "scratch"]
SMALL = ["--n-epochs", 1, "--n-crops", 1, "--crop-size", 16, 16, 8]
IN_USE = "error: the dataset d is in use by a training, a prediction or another conversion"


@pytest.fixture
def shell_with_dataset(shell: Shell) -> Shell:
    write_movie(shell.folder / "m.h5", ramp(2, (8, 32, 32)))
    (shell.folder / "s.csv").write_text("t,x,y,z,radius\n0,16,16,4,3\n1,16,16,4,3\n")
    assert shell("convert", "m.h5", "./d").status == 0
    return shell


class During:
    """Runs something when a step of some work is reported, once."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self.n_calls = 0

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        self.n_calls += 1
        if self.n_calls == 1:
            self._act()


def test_a_dataset_is_not_replaced_while_a_model_is_trained_on_it(
    shell_with_dataset: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, save = shell_with_dataset, EpochRecorder.save

    def replaced(training_run: EpochRecorder) -> None:
        again = shell("convert", "m.h5", "./d", "--overwrite")
        assert (again.status, again.err[: len(IN_USE)]) == (1, IN_USE)
        save(training_run)

    monkeypatch.setattr(EpochRecorder, "save", replaced)
    done = shell(*TRAINING, *SMALL)
    assert done.status == 0, done
    assert Dataset(Path("d")).labelled_timepoints() == [0, 1]
    assert shell("convert", "m.h5", "./d", "--overwrite").status == 0


@pytest.mark.parametrize(
    "command", [["predict", "-o", "p.csv", "--r-min", 0], ["link", "--spots", "s.csv", "-o", "l.csv"]]
)
def test_a_dataset_is_not_replaced_while_it_is_predicted(
    shell_with_dataset: Shell, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    shell = shell_with_dataset
    kind, model = (DetectionNet, "n.pth") if command[0] == "predict" else (FlowNet, "f.pth")
    Ensemble([kind(3, 0)]).save(shell.folder / model)

    def replace() -> None:
        with pytest.raises(InUseError):
            make(shell.folder / "m.h5", shell.folder / "d")

    refused = During(replace)
    monkeypatch.setattr(Bars, "progress", lambda _bars, *args, **values: refused.progress(*args, **values))
    done = shell(command[0], "./d", *command[1:], "--model", f"./{model}", "--voxel-size", 1, 1, 1)
    assert done.status == 0, done
    assert refused.n_calls > 1


def test_nothing_starts_while_a_dataset_is_replaced(shell_with_dataset: Shell) -> None:
    dataset = Dataset(shell_with_dataset.folder / "d")

    def use() -> None:
        with pytest.raises(InUseError, match="the dataset d is being generated again"), dataset.in_use():
            pytest.fail("it is being replaced")

    trying = During(use)
    make(shell_with_dataset.folder / "m.h5", dataset.folder, trying)
    assert trying.n_calls == 2
    with pytest.raises(DatasetError, match="was replaced while it was in use"), dataset.in_use():
        pytest.fail("it was replaced")


def test_many_use_a_dataset_at_a_time(shell_with_dataset: Shell) -> None:
    folder = shell_with_dataset.folder / "d"
    with Dataset(folder).in_use(), Dataset(folder).in_use():
        pass
    with Dataset(folder).in_use():
        with Dataset(folder).in_use():
            pass
        with pytest.raises(InUseError):  # the one that ended has not freed it for the one that goes on
            make(shell_with_dataset.folder / "m.h5", folder)
    make(shell_with_dataset.folder / "m.h5", folder)


def test_a_training_notices_that_its_dataset_was_replaced_by_hand(
    shell_with_dataset: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, save = shell_with_dataset, EpochRecorder.save

    def replaced(training_run: EpochRecorder) -> None:
        assert shell("convert", "m.h5", "./e").status == 0
        shutil.rmtree("d")
        Path("e").rename("d")
        save(training_run)

    monkeypatch.setattr(EpochRecorder, "save", replaced)
    done = shell(*TRAINING, *SMALL)
    assert done.status == 1, done
    assert "the dataset d was replaced while it was in use" in done.err


def test_an_open_dataset_knows_whether_it_was_replaced(shell: Shell) -> None:
    write_movie(shell.folder / "m.h5", ramp(1, (2, 8, 8)))
    folder = Path("d")
    assert "voxel size  unknown: give --voxel-size" in shell("convert", "m.h5", "./d").out
    assert "voxel size  unknown: give --voxel-size" in shell("check", "./d").out
    dataset = Dataset(folder)
    dataset.check_not_replaced()
    assert shell("convert", "m.h5", "./d", "--overwrite").status == 0
    with pytest.raises(DatasetError, match="was replaced while it was in use"):
        dataset.check_not_replaced()
