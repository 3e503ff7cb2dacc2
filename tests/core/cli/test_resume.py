"""What was found in a dataset of the workspace is kept there: the same command goes on where it was."""

from pathlib import Path

import pytest

from core.cli.shell import Shell
from core.workflows.test_known import make_dataset, make_model
from elephant.methods import predict_detection

PREDICT = ["predict", "movie", "--model", "m.pth", "--voxel-size", "1", "1", "2", "--p-thresh", "0.34", "--json"]


@pytest.fixture
def workspace(shell: Shell) -> Path:
    make_dataset(shell.folder / "workspace" / "datasets" / "movie")
    make_model(shell.folder / "workspace" / "models" / "m.pth")
    return shell.folder / "workspace"


def test_an_interrupted_prediction_goes_on(workspace: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    predicted, calls = predict_detection.predict_probabilities, []

    def counted(*args: object) -> object:
        calls.append(1)
        return predicted(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(predict_detection, "predict_probabilities", counted)
    first = shell(*PREDICT, "-t", "0-1")
    assert len(calls) == 2
    whole = shell(*PREDICT)
    assert len(calls) == 4, "of four timepoints two were known"
    assert [spot for spot in whole.json["spots"] if spot["t"] < 2] == first.json["spots"]
    monkeypatch.setenv("ELEPHANT_KEEP_PREDICTIONS_GIB", "0")
    assert shell(*PREDICT).json["spots"] == whole.json["spots"]
    assert len(calls) == 8, "nothing is kept"


def test_nothing_is_kept_for_what_is_elsewhere(workspace: Path, shell: Shell) -> None:
    make_dataset(shell.folder / "elsewhere")
    assert shell(*PREDICT[:1], "./elsewhere", *PREDICT[2:], "-t", "0").json["spots"]
    assert not (workspace / ".predictions").exists()
