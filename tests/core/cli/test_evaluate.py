"""Scores on the command line."""

import re
from pathlib import Path

import pytest
from matplotlib.image import imread

from core.cli.shell import Shell

HEAD = "t,x,y,z,radius,id,parent\n"
TRUTH = HEAD + "0,8,8,8,3,1,\n1,8,8,8,3,2,1\n1,16,12,8,3,3,1\n"
FOUND = HEAD + "0,8,9,8,3,1,\n1,8,8,8,3,2,1\n1,4,2,8,3,3,\n2,4,2,8,3,4,\n"


@pytest.fixture
def files(shell: Shell) -> tuple[Path, Path]:
    found, truth = shell.folder / "found.csv", shell.folder / "truth.csv"
    found.write_text(FOUND)
    truth.write_text(TRUTH)
    return found, truth


def test_a_table_for_people(shell: Shell, files: tuple[Path, Path]) -> None:
    done = shell("evaluate", "found.csv", "truth.csv", "--per-timepoint")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "found     found.csv",
        "truth     truth.csv",
        "matched   within 3, the median radius of the true nuclei",
        "counted   2 timepoints (0-1)",
        "left out  1 found at other timepoints",
        "",
        "           true  found  matched  missed  wrong  precision  recall     F1",
        "t = 0         1      1        1       0      0      1.000   1.000  1.000",
        "t = 1         2      2        1       1      1      0.500   0.500  0.500",
        "nuclei        3      3        2       1      1      0.666   0.666  0.666",
        "links         2      1        1       1      0      1.000   0.500  0.666",
        "divisions     1      0        0       1      0      0.000   0.000  0.000",
        "",
        "distance of matched nuclei: mean 0.5, median 0.5",
    ]


def test_values_for_scripts(shell: Shell, files: tuple[Path, Path]) -> None:
    values = shell("evaluate", *files, "--json", "-t", "1", "--distance", "2").json
    assert (values["found"], values["truth"]) == tuple(map(str, files))
    assert (values["distance"], values["timepoints"]) == (2, [1])
    assert (values["spots"]["true"], values["spots"]["found"], values["spots"]["matched"]) == (2, 2, 1)
    assert values["links"] is None  # their parents are at timepoint 0
    assert "per_timepoint" not in values
    assert [each["t"] for each in shell("evaluate", *files, "--json", "--per-timepoint").json["per_timepoint"]] == [
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--distance", "0"], "--distance: input should be greater than 0, got 0"),
        (["--overlap", "1.5"], "--overlap: input should be less than or equal to 1"),
        (["--overlap", "0.5", "--distance", "3"], "expected --distance or --overlap, got both"),
        (["--truth-covers", "half"], "'half' is not one of"),
        (["--picture", "a.png"], "--picture needs --dataset"),
        (["--ctc"], "--ctc needs --dataset"),
        (["--picture", "a.jpg", "--dataset", "m"], "expected a name that ends with .png, got 'a.jpg'"),
    ],
)
def test_wrong_usage(shell: Shell, files: tuple[Path, Path], options: list[str], expected: str) -> None:
    done = shell("evaluate", *files, *options)
    assert done.status == 2
    assert expected in done.err


def test_a_picture_of_the_worst_timepoint(shell: Shell, files: tuple[Path, Path], dataset: Path) -> None:
    place = ["--dataset", dataset, "--voxel-size", 0.5, 0.5, 2]
    done = shell("evaluate", *files, *place, "--picture", "errors.png")
    assert done.status == 0, done.err
    assert "errors.png: timepoint 1, which has the most errors" in done.out
    assert imread(shell.folder / "errors.png").std() > 0.02
    values = shell("evaluate", *files, *place, "--picture", "errors.png", "--json", "-t", "0").json
    assert (values["picture"], values["picture_timepoint"]) == ("errors.png", 0)


def test_scores_of_the_challenge(shell: Shell, files: tuple[Path, Path], dataset: Path) -> None:
    place = ["--dataset", dataset, "--voxel-size", 0.5, 0.5, 2, "-q"]
    done = shell("evaluate", *files, *place, "--ctc")
    assert done.status == 0, done.err
    # Of three nuclei one is missed (10) and one is wrong (1), of two links one is missing.
    assert "scores of the Cell Tracking Challenge\nDET 0.633  SEG " in done.out
    scores = shell("evaluate", files[1], files[1], *place, "--ctc", "--json").json["ctc"]
    assert scores == dict.fromkeys(["DET", "SEG", "TRA", "LNK", "CT", "TF", "BC", "BIO"], 1.0) | {"CCA": None}


def test_a_file_that_is_none_is_said(shell: Shell, files: tuple[Path, Path]) -> None:
    done = shell("evaluate", "found.csv", "nothing.csv")
    assert done.status == 1
    assert re.search("there is no file .* at .*nothing.csv", done.err)
    (shell.folder / "empty.csv").write_text(HEAD)
    done = shell("evaluate", "found.csv", "empty.csv")
    assert done.status == 1
    assert "the truth has no nuclei" in done.err
