"""Tracks out, and in again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from core.cli.shell import Done, Shell
from core.ctc_rules import check_result

VOXEL = ["--voxel-size", "0.5", "0.5", "2"]
SPOTS: list[dict[str, Any]] = [
    {"t": 0, "id": 10, "pos": [8, 8, 8], "radius": 2.5, "quality": 0.5, "tag": "tp", "track": 7},
    {"t": 1, "id": 11, "pos": [8, 8, 8], "radius": 2, "parent": 10, "track": 7},
    {"t": 2, "id": 12, "pos": [4, 8, 8], "covariance": [4, 0, 0.5, 0, 3, 0, 0.5, 0, 5], "parent": 11, "track": 8},
    {"t": 2, "id": 13, "pos": [14, 8, 8], "radius": 2, "parent": 11, "track": 9},
    {"t": 3, "id": 14, "pos": [14, 8, 9], "radius": 2, "parent": 13, "track": 9},
]


def export(shell: Shell, dataset: Path, spots: str, name: str, output: str, *args: object) -> Done:
    return shell("export", dataset, "--spots", spots, *VOXEL, "--format", name, "-o", output, *args)


@pytest.fixture
def spots(shell: Shell) -> str:
    (shell.folder / "s.json").write_text(json.dumps({"spots": SPOTS}))
    return "s.json"


@pytest.mark.parametrize("ending", ["geff", "zip"])
def test_a_graph_comes_back_as_it_was(ending: str, spots: str, dataset: Path, shell: Shell) -> None:
    assert export(shell, dataset, spots, "geff", f"one.{ending}").status == 0
    done = shell("link", dataset, "--spots", f"one.{ending}", "--join", "9", "-o", "linked.json", *VOXEL)
    assert done.status == 0
    found = json.loads((shell.folder / "linked.json").read_text())["spots"]
    for spot, given in zip(found, SPOTS, strict=True):
        assert (spot["t"], spot["id"]) == (given["t"], given["id"])
        assert (spot.get("quality"), spot.get("tag")) == (given.get("quality"), given.get("tag"))
        np.testing.assert_allclose(spot["pos"], given["pos"])
        expected = given.get("covariance") or np.eye(3).ravel() * given["radius"] ** 2
        np.testing.assert_allclose(spot["covariance"], expected)
    assert export(shell, dataset, f"one.{ending}", "geff", "two.geff").status == 0
    assert export(shell, dataset, "two.geff", "ctc", "masks").status == 0
    assert export(shell, dataset, spots, "ctc", "expected").status == 0
    assert check_result(shell.folder / "masks") == check_result(shell.folder / "expected")


def test_masks_keep_their_tracks(spots: str, dataset: Path, shell: Shell) -> None:
    assert export(shell, dataset, spots, "ctc", "one").status == 0
    assert export(shell, dataset, "one", "ctc", "two.zip").status == 0
    assert export(shell, dataset, "two.zip", "ctc", "three").status == 0
    expected = ([(7, 0, 1, 0), (8, 2, 2, 7), (9, 2, 3, 7)], [{7}, {7}, {8, 9}, {9}])
    for name in ("one", "two.zip", "three"):
        assert check_result(shell.folder / name) == expected


@pytest.mark.parametrize("output", ["l.tif", "l.zarr"])
def test_a_label_image_keeps_its_nuclei(output: str, spots: str, dataset: Path, shell: Shell) -> None:
    assert export(shell, dataset, spots, "labels", output).status == 0
    assert export(shell, dataset, output, "labels", "again.tif").status == 0
    first = tifffile.imread(shell.folder / "l.tif") if output == "l.tif" else None
    again = tifffile.imread(shell.folder / "again.tif")
    assert [len(np.unique(labels)) - 1 for labels in again] == [1, 1, 2, 1]
    if first is not None:
        both, either = ((first > 0) & (again > 0)).sum(), ((first > 0) | (again > 0)).sum()
        assert both / either > 0.75  # small nuclei: a voxel of their surface is much


def test_what_a_reader_says_is_an_error_of_the_command(dataset: Path, shell: Shell) -> None:
    (shell.folder / "01_RES").mkdir()
    (shell.folder / "01_RES" / "res_track.txt").write_text("1 0 1\n")
    done = export(shell, dataset, "01_RES", "ctc", "masks")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "res_track.txt, line 1: expected four whole numbers" in done.err
