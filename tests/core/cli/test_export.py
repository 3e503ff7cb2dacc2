"""Masks and tracks from users' tables, which follow the rules of the Cell Tracking Challenge."""

import importlib.util
import re
import warnings
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import tifffile

from core.cli.shell import Done, Shell
from core.ctc_rules import check_result

SCALES = ["--voxel-size", "0.5", "0.5", "2"]
HEAD = "t,x,y,z,radius,id,parent,track\n"
# A table, the lines of its res_track.txt, the labels of its four masks, and what is said.
Case = tuple[str, list[tuple[int, int, int, int]], list[set[int]], str]
CASES: dict[str, Case] = {
    "gap": (
        HEAD + "0,8,8,8,3,1,,1\n1,8,8,8,3,2,1,1\n3,8,8,8,3,3,2,1\n",
        [(1, 0, 1, 0), (2, 3, 3, 1)],
        [{1}, {1}, set(), {2}],
        "1 nucleus with a different label from the file's, since a gap ends a track.* 1 is 2 from timepoint 3",
    ),
    "from0": (
        HEAD + "0,8,8,8,3,1,,0\n1,8,8,8,3,2,1,0\n0,14,8,8,2,3,,1\n1,14,8,8,2,4,3,1\n",
        [(1, 0, 1, 0), (2, 0, 1, 0)],
        [{1, 2}, {1, 2}, set(), set()],
        "counted from 0.*plus 1",
    ),
    "mixed": (
        HEAD + "0,4,8,8,2,1,,1\n1,4,8,8,2,2,1,1\n0,14,8,8,2,3,,\n1,14,8,8,2,4,,\n",
        [(1, 0, 1, 0), (2, 0, 0, 0), (3, 1, 1, 0)],
        [{1, 2}, {1, 3}, set(), set()],
        "2 nuclei without a number",
    ),
    "noparent": (HEAD + "0,8,8,8,3,1,,1\n1,8,8,8,3,2,,1\n", [(1, 0, 1, 0)], [{1}, {1}, set(), set()], ""),
    "lineage": (
        HEAD + "0,8,8,8,2,1,,1\n1,5,8,8,2,2,1,1\n1,14,8,8,2,3,1,1\n",
        [(1, 0, 0, 0), (2, 1, 1, 1), (3, 1, 1, 1)],
        [{1}, {2, 3}, set(), set()],
        "2 nuclei with a different label.* daughters are separate tracks: 1 is 2 .* 1 is 3 ",
    ),
    "parents": (
        "t,x,y,z,radius,id,parent\n0,4,8,8,2,1,\n0,14,8,8,2,2,\n1,14,8,8,2,3,2\n1,4,8,8,2,4,1\n",
        [(1, 0, 1, 0), (2, 0, 1, 0)],
        [{1, 2}, {1, 2}, set(), set()],
        "",
    ),
    "noid": ("t,x,y,z,radius,track\n0,8,8,8,3,5\n1,8,8,8,3,5\n", [(5, 0, 1, 0)], [{5}, {5}, set(), set()], ""),
    "outside": (
        HEAD + "0,40,8,8,2,1,,1\n1,14,8,8,2,2,1,1\n",
        [(1, 1, 1, 0)],
        [set(), {1}, set(), set()],
        r"1 nucleus outside of the image, in no mask: timepoint 0 \(id 1\)",
    ),
    "covered": (
        HEAD + "0,8,8,8,2,1,,1\n1,8,8,8,2,2,1,1\n1,8,8,8,2,3,,2\n2,8,8,8,2,4,2,1\n",
        [(1, 0, 0, 0), (2, 1, 1, 0), (3, 2, 2, 1)],
        [{1}, {2}, {3}, set()],
        r"1 nucleus in no mask, since others cover them: timepoint 1 \(id 2\)",
    ),
    "values": (
        "t,x,y,z,radius,value\n0,8,8,8,3,65535\n1,8,8,8,3,65535\n0,14,8,8,2,70000\n",
        [(1, 0, 0, 0), (65535, 0, 1, 0)],
        [{1, 65535}, {65535}, set(), set()],
        "since labels are 1 to 65535: 70000 is 1 from timepoint 0",
    ),
    "detections": (
        "t,x,y,z,radius\n0,8,8,8,3\n1,8,8,8,3\n",
        [(1, 0, 0, 0), (2, 1, 1, 0)],
        [{1}, {2}, set(), set()],
        "neither a track nor a parent: each becomes a separate track",
    ),
    "strangers": (
        "t,x,y,z,radius,id,parent\n0,8,8,8,3,1,-1\n1,8,8,8,3,2,1\n",
        [(1, 0, 1, 0)],
        [{1}, {1}, set(), set()],
        r"1 nucleus with a parent that is not in the file \(-1\)",
    ),
    "half": (
        HEAD + "0,8,8,8,3,1,,4\n1,8,8,8,3,2,,4\n2,8,8,8,3,3,2,4\n",
        [(4, 0, 2, 0)],
        [{4}, {4}, {4}, set()],
        "1 nucleus without a parent: treated as the next ones of their tracks",
    ),
    "beyond": (
        HEAD + "3,8,8,8,3,1,,1\n4,8,8,8,3,2,1,1\n",
        [(1, 3, 3, 0)],
        [set(), set(), set(), {1}],
        "1 nucleus left out: the movie has timepoints 0 to 3, and the file goes up to 4",
    ),
    "nothing": ("t,x,y,z,radius\n", [], [set(), set(), set(), set()], ""),
}


def export(shell: Shell, dataset: Path, text: str, *args: object, output: str = "masks") -> Done:
    (shell.folder / "s.csv").write_text(text)
    return shell("export", dataset, "--spots", "s.csv", *SCALES, "-o", output, *args)


@pytest.mark.parametrize("name", CASES)
def test_what_is_exported_keeps_the_rules(name: str, dataset: Path, shell: Shell) -> None:
    text, lines, labels, words = CASES[name]
    done = export(shell, dataset, text)
    assert done.status == 0
    assert check_result(shell.folder / "masks") == (lines, labels)
    n_nuclei = sum(map(len, labels))
    assert f"4 masks with {n_nuclei} nucle" in done.out
    assert f" in {len(lines)} track" in done.out
    if words:
        assert any(re.search(f"^warning: .*{words}", line) for line in done.err.splitlines()), done.err
    else:
        assert done.err == ""


def test_warnings_are_counted_for_scripts(dataset: Path, shell: Shell) -> None:
    text = HEAD + "0,8,8,8,2,1,,1\n1,8,8,8,2,2,1,1\n1,8,8,8,2,3,,2\n2,8,8,8,2,4,2,1\n3,99,8,8,2,5,,1\n9,8,8,8,2,6,,1\n"
    found = export(shell, dataset, text, "--json", output="m.zip").json
    counts = {"masks": 4, "cells": 3, "tracks": 3, "changed": 1, "covered": 1, "outside": 1, "left_out": 1}
    assert found == {"output": "m.zip", **counts}
    check_result(shell.folder / "m.zip")


def test_a_part_of_a_movie_keeps_its_timepoints_unless_it_is_counted_from_zero(dataset: Path, shell: Shell) -> None:
    text = HEAD + "".join(f"{t},8,8,8,3,{t},{t - 1 if t else ''},6\n" for t in range(4))
    done = export(shell, dataset, text, "-t", "2-3")
    assert "programs that count masks from 0 need --from-zero" in done.err
    assert "2 at other timepoints left out" in done.out
    assert check_result(shell.folder / "masks", first=2)[0] == [(6, 2, 3, 0)]
    assert export(shell, dataset, text, "-t", "2-3", "--from-zero", output="again").err == ""
    assert check_result(shell.folder / "again")[0] == [(6, 0, 1, 0)]
    for number in (2, 3):
        masks = (f"masks/mask{number:03d}.tif", f"again/mask{number - 2:03d}.tif")
        np.testing.assert_array_equal(*(tifffile.imread(shell.folder / mask) for mask in masks))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "1,8,8,8,3,7,8,1\n1,8,8,8,3,8,,2\n", "the spot 7 at timepoint 1 has the parent 8, which is at"),
        (HEAD + "0,8,8,8,3,1,,1\n1,8,8,8,3,1,,1\n2,8,8,8,3,2,1,1\n", "ids must be unique in a file"),
        ("t,x,y,z,radius,track\n0,8,8,8,3,1\n0,14,8,8,3,1\n1,8,8,8,3,1\n", "track 1 has 2 nuclei at timepoint 0"),
    ],
)
def test_an_ambiguous_table_leaves_nothing(text: str, words: str, dataset: Path, shell: Shell) -> None:
    done = export(shell, dataset, text)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert words in done.err
    assert [path.name for path in shell.folder.iterdir()] == ["s.csv"]


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("output", ["ws", "gt", "m.zip", "b.zip", ".", "linked", "linked.zip", "plain", "f.zip"])
def test_only_an_earlier_export_is_replaced(output: str, dataset: Path, shell: Shell) -> None:
    assert export(shell, dataset, CASES["noid"][0], output="masks").status == 0
    assert export(shell, dataset, CASES["noid"][0], output="masks.zip").status == 0
    for folder, name in (("ws/models", "m.pth"), ("gt", "man_track.txt"), ("f.zip", "a")):
        (shell.folder / folder).mkdir(parents=True)
        (shell.folder / folder / name).write_text("precious")
    with ZipFile(shell.folder / "m.zip", "w") as archive:
        archive.writestr("mask000.tif", "")
        archive.writestr("thesis.doc", "precious")
    (shell.folder / "b.zip").write_text("precious")
    (shell.folder / "plain").write_text("precious")
    (shell.folder / "linked").symlink_to("masks")
    (shell.folder / "linked.zip").symlink_to("masks.zip")
    before = tree(shell.folder)
    said = {
        "ws": "holds models, which was not written by an export", "gt": "holds man_track.txt", "m.zip": "holds "
                                                                                                        "thesis.doc",
        "b.zip": "other than a .zip archive", ".": "is the current folder", "linked": "is a link to masks",
        "linked.zip": "is a link to masks.zip", "plain": "plain is a file", "f.zip": "f.zip is a folder",
    }  # fmt: skip
    for args in ([], ["--overwrite"]):
        done = export(shell, dataset, CASES["noid"][0], *args, output=output)
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert said[output] in done.err
        assert "--overwrite" not in done.err
        assert tree(shell.folder) == before
    assert (shell.folder / "b.zip").read_text() == "precious"


@pytest.mark.parametrize("output", ["masks", "masks.zip", "run.2026", "embryo.final"])
def test_an_earlier_export_is_replaced_on_request(output: str, dataset: Path, shell: Shell) -> None:
    assert export(shell, dataset, CASES["noid"][0], output=output).status == 0
    assert "give --overwrite" in export(shell, dataset, CASES["parents"][0], output=output).err
    assert check_result(shell.folder / output)[0] == CASES["noid"][1]
    assert export(shell, dataset, CASES["parents"][0], "--overwrite", "-t", "0-1", output=output).status == 0
    assert check_result(shell.folder / output)[0] == CASES["parents"][1]


@pytest.mark.parametrize("output", ["masks6.tif", "thesis.doc", "embryo.h5", "a.TIFF", "a.7z"])
@pytest.mark.parametrize("is_there", [False, True])
def test_names_of_other_files_are_wrong_usage(output: str, is_there: bool, dataset: Path, shell: Shell) -> None:
    if is_there:
        (shell.folder / output).write_text("precious")
    for args in ([], ["--overwrite"]):
        done = export(shell, dataset, CASES["noid"][0], *args, output=output)
        assert done.status == 2
        assert f"expected a name that ends with .zip, or that of a folder, got '{output}'" in done.err.splitlines()[-1]
    assert (shell.folder / output).exists() == is_there


def test_evaluation_software_loads_every_case(dataset: Path, shell: Shell) -> None:
    for package in ("ctc_metrics", "traccuracy"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(
                f"{package} is not installed (pip install py-ctcmetrics traccuracy): its rules were checked here"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of other packages
        from ctc_metrics.scripts.validate import validate_sequence
        from traccuracy.loaders import load_ctc_data

        for name, (text, lines, labels, _) in CASES.items():
            if lines:  # without any track both stop
                export(shell, dataset, text, output=name)
                assert validate_sequence(str(shell.folder / name), threads=1) == {"Valid": 1}
                loaded = load_ctc_data(str(shell.folder / name))
                assert len(loaded.graph.nodes) == sum(map(len, labels))
