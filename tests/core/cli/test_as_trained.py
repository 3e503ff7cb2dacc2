"""By default a prediction uses the settings of its model's training, and a difference causes a warning."""

from pathlib import Path

import pytest
import torch

from core.cli.shell import Shell
from core.workflows.test_detection import make_dataset
from elephant.methods import compatibility
from elephant.models.ensemble import Ensemble
from elephant.models.provenance import ProvenanceEntry, TrainedWith
from elephant.models.unet import DetectionNet, FlowNet

VOXEL = ["--voxel-size", "1", "1", "1"]
AS_TRAINED = ["--c-ratio", "0.5", "--input-size", "22", "20", "1", "--use-median"]


@pytest.fixture
def here(shell: Shell) -> Path:
    compatibility._said.clear()
    folder = shell.folder
    make_dataset(folder / "movie", (40, 44))
    torch.manual_seed(0)
    shared = {"voxel_size": (1.0, 1.0), "rescaling": (0.5, 0.5), "n_keep_axials": 0}
    detection = TrainedWith(**shared, use_median=True, c_ratio=0.5)
    Ensemble([DetectionNet(2, 0)]).save(folder / "m.pth", ProvenanceEntry(what="training", trained_with=detection))
    flow = TrainedWith(**shared, max_displacement=5)
    Ensemble([FlowNet(2, 0)]).save(folder / "flow.pth", ProvenanceEntry(what="training", trained_with=flow))
    (folder / "spots.csv").write_text("t,x,y,z,radius\n1,20,20,0,4\n")
    return folder


@pytest.mark.usefixtures("here")
def test_predict(shell: Shell) -> None:
    predict = ["predict", "./movie", "--model", "./m.pth", *VOXEL, "--p-thresh", "0.4", "-t", "0", "--json"]
    done = shell(*predict)
    assert done.err == "as m.pth was trained: --input-size 22 20 1, --use-median, --c-ratio 0.5\n"
    asked = shell(*predict, *AS_TRAINED)
    assert asked.err == ""
    assert asked.json["spots"] == done.json["spots"]
    assert done.json["spots"]
    assert shell(*predict, "--quiet").err == ""
    unsaid = shell(*(word for word in predict if word not in VOXEL))
    assert unsaid.err.startswith("as m.pth was trained: --voxel-size 1 1 1, ")
    assert unsaid.json["spots"] == done.json["spots"]
    other = shell(*predict, *AS_TRAINED[2:], "--c-ratio", "0.4")
    assert other.err.startswith("warning: m.pth was trained with --c-ratio 0.5, but this prediction has --c-ratio 0.4")
    assert other.json["spots"] != done.json["spots"]


@pytest.mark.usefixtures("here")
def test_link(shell: Shell) -> None:
    link = ["link", "./movie", "--spots", "spots.csv", "--model", "./flow.pth", *VOXEL, "--json"]
    done = shell(*link)
    assert done.err == "as flow.pth was trained: --input-size 22 20 1, --max-displacement 5\n"
    asked = shell(*link, "--max-displacement", "5", "--input-size", "22", "20", "1")
    assert (asked.err, asked.json["spots"]) == ("", done.json["spots"])
    other = shell(*link, "--max-displacement", "80", "--input-size", "22", "20", "1")
    assert "--max-displacement 5, but this prediction has --max-displacement 80" in other.err


@pytest.mark.usefixtures("here")
def test_radii_in_disorder_are_refused(shell: Shell) -> None:
    done = shell("predict", "./movie", "--model", "./m.pth", *VOXEL, "--r-min", "5", "--r-max", "2", "--json")
    assert done.status == 2
    assert "--r-min: expected at most --r-max, which is 2, got 5" in done.err
