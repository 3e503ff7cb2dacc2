"""Joining spots to tracks without a flow model."""

from pathlib import Path

import pytest

from core.cli.shell import Shell
from core.ctc_rules import check_result

SCALES = ["--voxel-size", "0.5", "0.5", "2"]
HEAD = "t,x,y,z,radius"


def test_spots_are_joined_to_their_nearest_neighbours(dataset: Path, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text(f"{HEAD}\n0,4,8,8,2\n0,14,8,8,2\n1,13,8,8,2\n1,5,8,8,2\n2,4,9,8,2\n2,6,7,8,2\n")
    done = shell("link", dataset, "--spots", "s.csv", *SCALES, "--join", "3", "-o", "tracked.json")
    assert (done.status, done.err) == (0, "")
    assert done.out == "tracked.json: 6 spots, 4 tracks\n"
    shell("export", dataset, "--spots", "tracked.json", *SCALES, "-o", "masks")
    lines, labels = check_result(shell.folder / "masks")
    assert lines == [(1, 0, 1, 0), (2, 0, 1, 0), (3, 2, 2, 1), (4, 2, 2, 1)]
    assert labels == [{1, 2}, {1, 2}, {3, 4}, set()]


def test_where_they_were_counts_where_it_is_known(dataset: Path, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text(f"{HEAD},earlier_x,earlier_y,earlier_z\n0,4,8,8,2,,,\n1,14,8,8,2,4,8,8\n")
    done = shell("link", dataset, "--spots", "s.csv", *SCALES, "--join", "1", "--json")
    assert [spot.get("parent") for spot in done.json["spots"]] == [None, 0]
    assert "1 spot joined by the `earlier` in the file, 1 by their own positions" in done.err


def test_parts_that_were_predicted_apart_are_joined(dataset: Path, shell: Shell) -> None:
    for name, t in (("a", 0), ("b", 2)):
        (shell.folder / f"{name}.csv").write_text(f"{HEAD},id\n{t},4,8,8,2,0\n{t + 1},4,8,8,2,1\n")
    both = ["--spots", "a.csv", "--spots", "b.csv"]
    done = shell("link", dataset, *both, *SCALES, "--join", "3", "--json")
    assert [(s["id"], s.get("parent"), s["track"]) for s in done.json["spots"]] == [
        (0, None, 1), (1, 0, 1), (2, 1, 1), (3, 2, 1),
    ]  # fmt: skip
    assert "b.csv: 2 ids are also in earlier files" in done.err
    done = shell("export", dataset, *both, *SCALES, "-o", "masks")
    assert sum(map(len, check_result(shell.folder / "masks")[1])) == 4


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "expected --model (a flow model) or --pretrained, --join"),
        (["--join", "3", "--patch", "8", "8", "8"], "--patch only applies with --model"),
        (["--join", "3", "--output-prediction"], "--output-prediction only applies with --model"),
    ],
)
def test_what_needs_a_model_is_refused_without_one(args: list[str], words: str, dataset: Path, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text(f"{HEAD}\n0,4,8,8,2\n")
    done = shell("link", dataset, "--spots", "s.csv", *SCALES, "--json", *args)
    assert done.status == 2
    assert words in done.err.splitlines()[-1]


def test_skipped_and_renumbered_rows_are_reported(dataset: Path, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text(f"{HEAD},id\n0,4,8,8,2,5\n1,4,8,8,2,\n")
    done = shell("link", dataset, "--spots", "s.csv", *SCALES, "--join", "3", "--json", "-t", "0")
    assert done.err.splitlines() == [
        "warning: 1 spot without an id: all spots got new ones",
        "warning: 1 spot at other timepoints left out",
    ]


@pytest.mark.parametrize("output", ["tracked.json", "tracked.csv"])
def test_the_output_of_an_earlier_run_is_replaced(output: str, dataset: Path, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text(f"{HEAD},tag\n0,4,8,8.1,2,tp\n1,4,8,8,2,\n")
    link = ["link", dataset, "--spots", "s.csv", *SCALES, "--join", "3", "-o", output]
    assert shell(*link).out == f"{output}: 2 spots, 1 track\n"
    for _ in range(2):
        assert shell(*link).out == f"{output}: 2 spots, 1 track; the previous file is replaced\n"
    (shell.folder / output).write_text("")
    assert shell(*link).status == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.csv", f"{HEAD}\n0,4,8,8,2\n"),
        ("mine.csv", "t,id,x,y,z,cxx,cxy,cxz,cyy,cyz,czz,note\n0,0,4,8,8,4,0,0,4,0,4,ours\n"),
        ("mine.csv", "t,id,x,y,z,cxx,cxy,cxz,cyy,cyz,czz,tag\n0,0,4.0,8.0,8.0,4.0,0.0,0.0,4.0,0.0,4.0,tp\n"),
        ("mine.json", '{"spots": [{"t": 0, "pos": [4, 8, 8], "radius": 2}]}'),
        ("mine.json", '{"voxel_size": 1}'),
        ("mine.csv", "\0"),
    ],
)
def test_what_others_wrote_is_replaced_on_request_alone(name: str, text: str, dataset: Path, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text(f"{HEAD}\n0,4,8,8,2\n")
    (shell.folder / name).write_text(text)
    link = ["link", dataset, "--spots", "s.csv", *SCALES, "--join", "3", "-o", name]
    done = shell(*link)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert f"there is a file at {name} that elephant did not write" in done.err
    assert (shell.folder / name).read_text() == text
    assert "is replaced" in shell(*link, "--overwrite").out
    assert shell(*link).status == 0


def test_an_input_is_replaced_on_request_alone(dataset: Path, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text(f"{HEAD}\n0,4,8,8,2\n")
    assert shell("link", dataset, "--spots", "s.csv", *SCALES, "--join", "3", "-o", "a.json").status == 0
    (shell.folder / "b.json").symlink_to("a.json")
    for output in ("a.json", "b.json"):
        link = ["link", dataset, "--spots", "a.json", *SCALES, "--join", "3", "-o", output]
        assert f"{output} is an input, which would be replaced: give --overwrite" in shell(*link).err
    assert shell(*link, "--overwrite").status == 0
