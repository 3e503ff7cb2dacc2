"""Errors name the options that the user typed, and leave nothing behind."""

from pathlib import Path

import numpy as np
import pytest

import elephant
from core.cli.shell import Shell
from core.shipping import uninstall
from elephant.cli.running import REMEDIES, Session
from elephant.dataset import Dataset
from elephant.models.ensemble import Ensemble
from elephant.models.unet import DetectionNet

SCALES = ["--voxel-size", "0.5", "0.5", "2"]
HEAD = "t,x,y,z,radius,tag"
LINK = "t,x,y,z,radius,dx,dy,dz"


@pytest.mark.parametrize(
    ("kind", "table", "args", "words"),
    [
        ("--spots", f"{HEAD}\n0,800,8,8,3,tp\n", [], "none of the spots labels a voxel"),
        ("--spots", f"{HEAD}\n7,8,8,8,3,tp\n", [], "a spot is at timepoint 7, but the dataset has timepoints 0 to 3"),
        ("--spots", f"{HEAD}\n0,8,8,8,3,tp\n", ["--input-size", *["99999"] * 3], "(--input-size) would need"),
        ("--spots", f"{HEAD}\n0,8,8,8,3,tp\n", ["--start", "pretrained"], "versatile3d.pth is missing"),
        ("--links", f"{LINK}\n0,800,8,8,3,1,1,1\n", [], "none of the links has a spot in the image"),
        ("--links", f"{LINK}\n3,8,8,8,3,1,1,1\n", [], "a link begins at timepoint 3"),
    ],
)
def test_a_refused_training_leaves_no_model(
    kind: str,
    table: str,
    args: list[str],
    words: str,
    dataset: Path,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uninstall(monkeypatch)  # else pretrained weights could be had
    (shell.folder / "s.csv").write_text(table)
    Dataset(dataset).clear_labels()  # others use it, too
    done = shell("train", dataset, kind, "s.csv", "--model", "./new.pth", *SCALES, "--device", "cpu", *args)
    assert done.status == 1
    assert words in done.err.splitlines()[-1]
    assert {path.name for path in shell.folder.iterdir()} - {".locks"} == {"s.csv"}
    assert Dataset(dataset).labelled_timepoints() == []


def test_a_training_that_fails_before_its_first_epoch_leaves_no_model(
    dataset: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        assert (shell.folder / "new.pth").exists()
        raise MemoryError("none left")

    monkeypatch.setattr("elephant.methods.training.TrainingRun.run", fail)
    (shell.folder / "s.csv").write_text(f"{LINK}\n0,8,8,8,3,1,1,1\n")
    train = ["train", dataset, "--links", "s.csv", "--model", "./new.pth", *SCALES, "--start", "scratch"]
    done = shell(*train, "--device", "cpu", "-q")
    assert done.err == "error: there is not enough memory (none left): make --crop-size or --batch-size smaller\n"
    assert {path.name for path in shell.folder.iterdir()} - {".locks"} == {"s.csv"}


def test_settings_are_named_as_options_where_there_are_such() -> None:
    session = Session(options={"crop_size": "--crop-size", "patch": "--patch", "voxel_size": "--voxel-size"})
    said = "`patch` or crop_size, not n_crops, `earlier`, patch, a/voxel_size/b, crop_size.h5; correct `voxel_size`"
    expected = (
        "--patch or --crop-size, not n_crops, `earlier`, patch, a/voxel_size/b, crop_size.h5; correct --voxel-size"
    )
    assert session.in_options(said) == expected


def test_errors_speak_to_who_types(dataset: Path, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text(f"{HEAD}\n0,8,8,8,3,tp\n")
    export = ["export", dataset, "--spots", "s.csv", "-o", "masks", "--voxel-size"]
    assert shell(*export, "0", "0.5", "2").err == (
        "error: expected a voxel whose edges are positive finite numbers, got X = 0, Y = 0.5, Z = 2: correct "
        "--voxel-size\n"
    )
    Ensemble([DetectionNet(3, 2)]).save(shell.folder / "m.pth")
    predict = ["predict", dataset, "--model", "./m.pth", *SCALES, "-o", "found.json", "--crop-box"]
    assert (
        "the crop box from 30 x 0 x 0 of 20 x 9 x 8 voxels is not inside the image of 40 x 32 x 8 (X, Y, Z): correct "
        in (said := shell(*predict, "30", "0", "0", "20", "9", "8").err)
    )
    assert said.endswith("correct --crop-box\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--device", "gpu"], "the device 'gpu' cannot be used: expected auto, cpu, cuda, cuda:1 or mps"),
        (["-t", "3-1"], "--timepoints: expected the smaller number first, got 3-1"),
    ],
)
def test_errors_of_wrong_values_say_what_is_right(args: list[str], words: str, dataset: Path, shell: Shell) -> None:
    Ensemble([DetectionNet(3, 2)]).save(shell.folder / "m.pth")
    done = shell("predict", dataset, "--model", "./m.pth", *SCALES, "-o", "found.json", *args)
    assert done.err.splitlines()[-1] == f"error: {words}"


def test_no_spots_report_the_highest_probability(dataset: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    Ensemble([DetectionNet(3, 2)]).save(shell.folder / "m.pth")

    def answer(_model: object, seen: np.ndarray, *_: object) -> np.ndarray:
        probabilities = np.full((3, *seen.shape), 0.25, np.float32)
        probabilities[2, 1, 2, 3] = 0.625
        return probabilities

    monkeypatch.setattr("elephant.methods.predict_detection.predict_probabilities", answer)
    predict = ["predict", dataset, "--model", "./m.pth", *SCALES, "-o", "found.json", "--p-thresh"]
    (shell.folder / "found.json").write_text("[]")
    assert "that elephant did not write" in shell(*predict, "0.75").err
    (shell.folder / "found.json").unlink()
    done = shell(*predict, "0.75")
    assert (done.status, done.out) == (0, "found.json: 0 spots at 4 timepoints\n")
    assert done.err == (
        "warning: no spots at any timepoint: the highest centre probability is 0.625, and --p-thresh is 0.75: lower "
        "--p-thresh, or train the model further\n"
    )
    assert (
        "everything above --p-thresh 0.5 is single voxels, or smaller than --r-min 0 allows"
        in (done := shell(*predict, "0.5")).err
    )
    assert done.out.endswith("; the previous file is replaced\n")


@pytest.mark.parametrize("phrase", REMEDIES)
def test_what_is_put_in_other_words_is_what_the_core_says(phrase: str) -> None:
    (folder,) = elephant.__path__
    rooms = [path for path in Path(folder).rglob("*.py") if "cli" not in path.relative_to(folder).parts]
    assert any(phrase in path.read_text(encoding="utf-8") for path in rooms)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["convert", "nowhere.h5", "d"], "error: the movie nowhere.h5 does not exist: check the path"),
        (["convert", "s.csv", "d"], "and give the .h5 file, or copy it again"),
        (["convert", ".", "d"], "error: "),
        (["convert", "s.csv", ""], "expected the name of a dataset, or its path, got nothing"),
        (["check", "s.csv"], "expected a dataset, which is a folder, got the file s.csv"),
        (["models", "info", "d"], "expected a model file (.pth), got the folder d"),
        (["models", "restore", "nowhere.pth"], "there is no model at nowhere.pth"),
        (["check", "d"], "imgs.zarr is missing in d: make it with elephant convert"),
    ],
)
def test_whatever_is_given_gets_a_sentence_and_stays_alone(args: list[str], words: str, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text(f"{HEAD}\n0,8,8,8,3,tp\n")
    (shell.folder / "d").mkdir()
    done = shell(*args)
    assert done.status == 1
    said = (done.err + done.out).splitlines()[-1]
    assert words in said
    assert "should not have happened" not in said
    assert "upload" not in said
    assert sorted(path.name for path in shell.folder.iterdir()) == ["d", "s.csv"]
    assert list((shell.folder / "d").iterdir()) == []
