"""A whole story on a simulated movie, each command reading what the one before wrote."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import tifffile
import torch

from core.cli.shell import Shell
from core.ctc_rules import check_result
from core.shipping import uninstall
from elephant.annotations.reading import read_annotations as read_spots
from elephant.cli.main import main
from elephant.models.checkpoint import load_state_dicts
from elephant.models.ensemble import Ensemble
from elephant.models.unet import FlowNet
from elephant.progress import NoReporter
from elephant.simulation import preset, read_truth, write_movie
from elephant.training.event_files import EventFile
from elephant.training.scalars import UNNAMED

# X is the longest and Z the coarsest axis, so that no two can be mistaken for one another.
SHAPE_XYZ, VOXEL_XYZ = (56, 40, 8), ("0.5", "0.5", "2")
SCALES = ["--voxel-size", *VOXEL_XYZ]
QUICK = ["--crop-size", "32", "24", "8", "--seed", "0"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a workspace with a dataset, annotations as CSV and as JSON, and a detection model trained on them."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # crops are small: more threads would only wait for one another
    folder = tmp_path_factory.mktemp("story")
    movie = preset("demo", shape=SHAPE_XYZ[::-1], voxel=(2.0, 0.5, 0.5), timepoints=3, nuclei=8, seed=4)
    write_movie(movie, folder / "m.h5", NoReporter())
    _annotate(folder)
    (folder / "ws").mkdir()
    ws = ["--workspace", str(folder / "ws"), "-q"]
    assert main(["convert", str(folder / "m.h5"), "lab/sim", *ws]) == 0
    steps = ["--n-epochs", "6", "--n-crops", "8", "--lr", "0.005", "--start", "scratch"]
    spots = ["--spots", str(folder / "annotated.csv")]
    assert main(["train", "lab/sim", *spots, "--model", "nuclei.pth", *SCALES, *QUICK, *steps, *ws]) == 0
    yield folder
    torch.set_num_threads(n_threads)


@pytest.fixture
def story(made: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ELEPHANT_WORKSPACE", str(made / "ws"))
    return made


def _annotate(folder: Path) -> None:
    truth = read_truth(folder / "m.truth.json")
    with (folder / "annotated.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["t", "x", "y", "z", "radius"])
        for spot in truth.spots(0):
            writer.writerow([0, *spot.pos[::-1], np.linalg.det(spot.covariance) ** (1 / 6)])
    true = [nucleus.spot for frame in truth.frames for nucleus in frame]
    spots = [
        {
            "t": s.t,
            "id": 100 * s.t + s.id,
            "pos": s.pos[::-1].tolist(),
            "covariance": s.covariance[::-1, ::-1].ravel().tolist(),
        }
        for s in true
    ]
    (folder / "true.json").write_text(json.dumps({"spots": spots}))


def test_check_shows_what_is_in_the_dataset(story: Path, shell: Shell) -> None:
    found = shell("check", "lab/sim", "--json")
    assert found.status == 0
    expected = {"ready": True, "n_timepoints": 3, "size": list(SHAPE_XYZ), "labelled_timepoints": [0], "n_dims": 3}
    assert expected.items() <= found.json.items()
    assert "56 x 40 x 8 voxels (X, Y, Z)" in shell("check", "lab/sim").out
    broken = story / "ws" / "datasets" / "broken"
    broken.mkdir()
    assert shell("check", "broken").status == 1
    assert shell("check", "broken", "--json").json["ready"] is False
    broken.rmdir()


def test_a_training_leaves_curves_in_the_workspace(story: Path) -> None:
    (file,) = (story / "ws" / "logs" / UNNAMED / "nuclei.pth").iterdir()
    found = EventFile(file)
    assert found.read(1 << 20)
    series = found.series["train_loss"]
    assert len(series.steps) > 0
    assert list(series.steps) == list(range(1, len(series.steps) + 1))


def test_a_training_of_no_epochs_says_so(story: Path, shell: Shell) -> None:
    spots = ["--spots", story / "annotated.csv", "--model", "untrained", *SCALES, *QUICK, "--n-epochs", "0"]
    done = shell("train", "lab/sim", *spots)
    assert done.status == 0
    assert "untrained.pth was made, but not trained: the labels are written" in done.out
    assert (story / "ws" / "models" / "untrained.pth").is_file()
    assert "untrained.pth was not trained: the labels are written" in shell("train", "lab/sim", *spots).out
    assert {"epochs": 0, "loss": None}.items() <= shell("train", "lab/sim", *spots, "--json").json.items()


def test_a_replaced_movie_is_reported(shell: Shell) -> None:
    write_movie(preset("demo", shape=(4, 16, 16), timepoints=2, nuclei=1, seed=1), shell.folder / "n.h5", NoReporter())
    assert shell("convert", "n.h5", "n").status == 0
    assert shell("check", "n", "--json").json["made_from"].startswith("n.h5")
    write_movie(preset("demo", shape=(4, 16, 16), timepoints=2, nuclei=1, seed=2), shell.folder / "n.h5", NoReporter())
    done = shell("check", "n")
    assert done.status == 1
    assert "n.h5 has changed since this dataset was made from it" in done.out
    (shell.folder / "one.csv").write_text("t,x,y,z,radius\n0,3,3,2,1\n")
    said = shell("export", "n", "--spots", "one.csv", "--voxel-size", 1, 1, 1, "-o", "masks.zip")
    assert said.status == 0
    assert said.err.startswith("warning: the movie n.h5 has changed")


def test_the_voxel_size_is_that_of_the_dataset(story: Path, shell: Shell) -> None:
    found = shell("check", "lab/sim", "--json").json
    assert (found["voxel_size"], found["unit"]) == ([0.5, 0.5, 2], "micrometer")
    assert "0.5 x 0.5 x 2 micrometer (X, Y, Z)" in shell("check", "lab/sim").out
    predict = ["predict", "lab/sim", "--model", "nuclei.pth", "-t", "0", "--json"]
    given = shell(*predict, *SCALES)
    assert (given.status, given.err) == (0, "")
    assert shell(*predict).json == given.json
    other = shell(*predict, "--voxel-size", "0.5", "0.6", "2")
    assert other.status == 0
    assert other.json != given.json
    assert other.err.startswith("warning: the voxel size of sim is 0.5 x 0.5 x 2 micrometer (X, Y, Z), but 0.5 x 0.6")
    export = ["export", "lab/sim", "--spots", story / "true.json", "--json", "-o"]
    assert shell(*export, "default.zip").status == shell(*export, "given.zip", *SCALES).status == 0
    assert (shell.folder / "default.zip").read_bytes() == (shell.folder / "given.zip").read_bytes()


def test_an_unknown_voxel_size_is_asked_for(story: Path, shell: Shell) -> None:
    (shell.folder / "alone.h5").write_bytes((story / "m.h5").read_bytes())
    assert shell("convert", "alone.h5", "./alone").status == 0
    spots = ["--spots", story / "true.json"]
    model = ["--model", "nuclei.pth"]
    for command in (["train", *spots, *model], ["export", *spots, "-o", "masks.zip"]):
        done = shell(command[0], "./alone", *command[1:])
        assert (done.status, done.out) == (2, "")
        assert "the voxel size of alone is unknown" in done.err
    by_the_model = shell("predict", "./alone", *model, "--json", "-t", "0")
    assert by_the_model.status == 0
    assert "as nuclei.pth was trained: --voxel-size 0.5 0.5 2" in by_the_model.err
    converted = shell("convert", "alone.h5", "./alone", *SCALES, "--unit", "µm", "--overwrite")
    assert "0.5 x 0.5 x 2 µm (X, Y, Z)" in converted.out
    assert shell("export", "./alone", *spots, "-o", "masks.zip").status == 0


def test_predict_link_export(story: Path, shell: Shell) -> None:
    predict = ["predict", "lab/sim", "--model", "nuclei.pth", *SCALES, "--r-max", "8"]
    done = shell(*predict, "-o", "found.csv", "--json", "-t", "0-1,2")
    assert (done.status, done.err) == (0, "")
    found = read_spots(shell.folder / "found.csv")
    for record, printed in zip(found, done.json["spots"], strict=True):
        assert (record.t, record.id, record.pos) == (printed["t"], printed["id"], tuple(printed["pos"]))
        assert record.covariance == pytest.approx(printed["covariance"])
    assert done.json["completed"] is True
    assert {record.t for record in found} == {0, 1, 2}
    assert all(0 <= p <= n * v for r in found for p, n, v in zip(r.pos, SHAPE_XYZ, (0.5, 0.5, 2), strict=True))
    apart = shell(*predict, "--json", "-t", "1").json["spots"]
    assert [spot["id"] for spot in apart] == [record.id for record in found if record.t == 1]
    truth = read_truth(story / "m.truth.json")
    centres = np.array([spot.pos[::-1] for spot in truth.spots(0)])
    nearest = [np.linalg.norm(np.array(r.pos) - centres, axis=1).min() for r in found if r.t == 0]
    assert np.median(nearest) < 2

    link = ["link", "lab/sim", "--spots", "found.csv", "--model", "flow.pth", *SCALES, "--join", "3"]
    assert "there is no model flow.pth" in shell(*link, "-o", "tracked.json").err
    links = story / "links.json"
    links.write_text(json.dumps({"spots": _links(truth)}))
    flow = ["--start", "scratch", "--n-epochs", "1", "--n-crops", "1", "--max-displacement", "20"]
    trained = shell("train", "lab/sim", "--links", links, "--model", "flow.pth", *SCALES, *QUICK, *flow, "--json")
    assert "warning: flow.pth did not exist: started anew from random weights" in trained.err
    assert {"completed": True, "epochs": 1}.items() <= trained.json.items()
    assert shell("check", "lab/sim", "--json").json["flow_labelled_timepoints"] == [0, 1]
    done = shell(*link, "-o", "tracked.json", "--max-displacement", "20")
    assert (done.status, done.err) == (0, "")
    tracked = read_spots(shell.folder / "tracked.json")
    assert [r.id for r in tracked] == [r.id for r in found]
    assert all(r.earlier == pytest.approx(r.pos) for r in tracked if r.t == 0)
    by_id = {r.id: r for r in tracked}
    for record in tracked:
        assert record.sqdisp == pytest.approx(np.square(np.subtract(record.pos, record.earlier)).sum())
        if record.parent is not None:
            parent = by_id[record.parent]
            assert parent.t == record.t - 1
            assert np.linalg.norm(np.subtract(parent.pos, record.earlier)) <= 3

    export = ["export", "lab/sim", "--spots", "tracked.json", *SCALES]
    assert shell(*export, "-o", "masks.zip").status == 0
    with ZipFile(shell.folder / "masks.zip") as archive:
        assert archive.namelist() == ["mask000.tif", "mask001.tif", "mask002.tif", "res_track.txt"]
    tracks, _ = check_result(shell.folder / "masks.zip")
    assert {number for number, *_ in tracks} <= {record.track for record in tracked}
    assert shell(*export, "-o", "masks", "-t", "1-2", "--json").json["masks"] == 2
    mask = tifffile.imread(shell.folder / "masks" / "mask001.tif")
    assert mask.shape == SHAPE_XYZ[::-1]
    assert set(np.unique(mask)) - {0} <= {record.track for record in tracked if record.t == 1}
    assert "give --overwrite" in shell(*export, "-o", "masks").err
    assert shell(*export, "-o", "masks", "--overwrite", "-q").status == 0
    assert len(list((shell.folder / "masks").iterdir())) == 4
    check_result(shell.folder / "masks")
    assert sorted(path.name for path in shell.folder.iterdir()) == ["found.csv", "masks", "masks.zip", "tracked.json"]


def _links(truth: object) -> list[dict[str, object]]:
    frames = [{n.spot.id: n.spot for n in frame} for frame in truth.frames]  # type: ignore[attr-defined]
    pairs = [
        (t, before[i], after[i])
        for t, (before, after) in enumerate(pairwise(frames))
        for i in before.keys() & after.keys()
    ]
    return [
        {
            "t": t,
            "pos": b.pos[::-1].tolist(),
            "covariance": b.covariance[::-1, ::-1].ravel().tolist(),
            "displacement": (a.pos - b.pos)[::-1].tolist(),
        }
        for t, a, b in pairs
    ]


def test_spots_that_get_new_ids_keep_their_parents(story: Path, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text("t,x,y,z,radius,id,parent\n0,9,9,9,3,7,\n1,9,9,9,3,8,7\n1,8,8,8,3,,3\n")
    Ensemble([FlowNet(3, 2)]).save(shell.folder / "any.pth")
    link = ["link", "lab/sim", "--spots", "s.csv", "--model", "./any.pth", *SCALES, "--json"]
    found = shell(*link, "--n-keep-axials", "2").json["spots"]
    assert [(spot["id"], spot.get("parent")) for spot in found] == [(0, None), (1, 0), (2, None)]


def test_what_goes_to_standard_output_is_json_alone(story: Path, shell: Shell) -> None:
    done = shell("predict", "lab/sim", "--model", "nuclei.pth", *SCALES, "-t", "0", "-o", "-")
    assert (done.status, done.json["completed"]) == (0, True)


def test_spots_without_tracks_are_tracks_of_their_own(story: Path, shell: Shell) -> None:
    done = shell("export", "lab/sim", "--spots", story / "true.json", *SCALES, "-o", "m.zip")
    assert "each becomes a separate track" in done.err
    tracks, masks = check_result(shell.folder / "m.zip")
    assert len(tracks) == sum(map(len, masks)) == len(read_spots(story / "true.json"))


def test_a_dataset_is_not_replaced_by_accident(story: Path, shell: Shell) -> None:
    done = shell("convert", story / "m.h5", "lab/sim")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "give --overwrite" in done.err
    assert shell("check", "lab/sim", "--json").json["labelled_timepoints"] == [0]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-t", "5"], "timepoints 0 to 2, but 5"),
        (["-t", "0-999999999999999"], "timepoints 0 to 2, but 0-999999999999999"),
        (["--patch", "0", "1", "1"], "--patch"),
        (["-t", "a"], "--timepoints"),
        (["--crop-box", "0", "0", "0", "99", "1", "1"], "inside the image"),
        (["--p-thresh", "2"], "--p-thresh"),
        (["--device", "cuda:99"], "cannot be used"),
        (["--model", "true.json"], "no model"),
    ],
)
def test_bad_values_leave_no_file(args: list[str], words: str, story: Path, shell: Shell) -> None:
    done = shell("predict", "lab/sim", "--model", "nuclei.pth", *SCALES, "-o", "spots.json", *args)
    assert done.status in (1, 2)
    assert words in done.err.splitlines()[-1]
    assert list(shell.folder.iterdir()) == []


def test_training_asks_for_something_to_train_on(story: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall(monkeypatch)
    (shell.folder / "none.json").write_text("[]")
    train = ["train", "lab/sim", "--model", "new.pth", *SCALES]
    assert "has no spots" in shell(*train, "--spots", "none.json").err
    assert "contains no links" in shell(*train, "--links", story / "true.json").err
    assert not (story / "ws" / "models" / "new.pth").exists()
    done = shell(*train, "--spots", story / "annotated.csv", "--start", "pretrained")
    assert done.status == 1
    assert "the pretrained model versatile3d.pth is missing" in done.err


def test_ctrl_c_leaves_the_last_finished_epoch(story: Path, shell: Shell) -> None:
    model = shell.folder / "m.pth"
    assert shell("models", "import", story / "ws" / "models" / "nuclei.pth", "./m.pth").status == 0
    before = model.stat().st_mtime_ns
    train = ["train", "lab/sim", "--spots", story / "annotated.csv", "--model", "./m.pth", *SCALES, *QUICK]
    command = [sys.executable, "-m", "elephant.cli", *map(str, train), "--n-epochs", "1000", "--n-crops", "1", "-v"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as running:
        try:
            assert running.stderr is not None
            for line in running.stderr:
                if "epoch 3/" in line:
                    break
            os.kill(running.pid, signal.SIGINT)
            rest = running.stderr.read()
            assert running.wait(60) == 130
        finally:
            running.kill()
    assert "finished epochs" in rest.splitlines()[-1]
    assert "Traceback" not in rest
    assert model.stat().st_mtime_ns > before
    assert len(load_state_dicts(model)) == 1
    assert {path.name for path in shell.folder.iterdir()} == {"m.pth", ".generations", ".history"}
