"""What a model knows and learns: which figures are measured, and how answers become figures. No server is asked."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.client_requests import client_request, path_of
from benchmarks.taught_movies import TaughtMovie, known_movie
from benchmarks.taught_server import IN_PROCESS, PACKAGE, provide_weights
from benchmarks.teaching import TABLE, Task, chosen, line_of, provided, rows, table_of, tasks
from benchmarks.teaching_figures import FIGURES, MATTER, PARTS, errors_at

from elephant.simulation import TrueNucleus, Truth
from elephant.types import DetectedSpot, Spot


def nucleus(t: int, x: float, name: int = 0) -> TrueNucleus:
    return TrueNucleus(Spot(t, np.array([5.0, 5.0, x]), np.eye(3), id=name))


def found(x: float) -> DetectedSpot:
    return DetectedSpot(np.array([5.0, 5.0, x]), np.eye(3), 0.5)


@pytest.fixture
def movie() -> TaughtMovie:
    images = np.full((2, 8, 16, 32), 100, np.uint16)
    frames = tuple(tuple(nucleus(t, x) for x in (2.0, 10.0, 20.0, 28.0)) for t in range(2))
    return TaughtMovie("small", lambda: images, Truth((1.0, 1.0, 1.0), (8, 16, 32), frames), 1.5, judged=1)


def test_every_figure_of_the_table_exists_and_says_what_matters_to_it() -> None:
    assert {figure for _, figure in TABLE} <= set(FIGURES) == set(MATTER)
    assert {part for parts in MATTER.values() for part in parts} == set(PARTS)
    assert set(IN_PROCESS) <= set(PARTS)


def test_figures_are_chosen_by_their_names_and_those_of_movies_in_the_order_of_the_table() -> None:
    assert chosen([]) == list(TABLE)
    assert chosen(["flow", "nuclei3d.before"]) == [("nuclei3d", "before"), ("embryo", "flow"), ("plane", "flow")]
    assert chosen(["ovule.hundred", "plane"])[-1] == ("ovule", "hundred")
    assert chosen(["mine"], ["mine"]) == [("mine", figure) for figure in FIGURES]
    with pytest.raises(ValueError, match=r"got nuclei3d\.speed"):
        chosen(["nuclei3d.speed"])


def test_a_part_is_switched_off_only_where_it_matters() -> None:
    pairs = [("ovule", "before"), ("ovule", "doubt")]
    assert list(tasks(pairs, ["calibration", "scale"], 1)) == [
        Task("ovule", "before", None, 0),
        Task("ovule", "doubt", None, 0),
        Task("ovule", "doubt", "calibration", 0),
        Task("ovule", "before", "scale", 0),
    ]
    assert [task.seed for task in tasks([("nuclei3d", "hundred")], [], None)] == [0, 1, 2, 3, 4]


def test_a_movie_that_is_not_there_is_skipped_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert provided(["ovule"], [], tmp_path) == {}
    assert "ovule: skipped, there is no ovule.h5" in capsys.readouterr().out


def test_the_requests_are_those_of_the_client() -> None:
    assert path_of("seg/reset default") == "seg/reset"
    body = client_request("seg/train")
    assert (body["aug_contrast"], body["auto_bg_thresh"], body["n_crops"]) == (0, 0, 5)
    assert client_request("seg/train", is_3d=False)["is_3d"] is False
    body["n_crops"] = 1
    assert client_request("seg/train")["n_crops"] == 5


def test_spoilt_copies_differ_as_they_say(movie: TaughtMovie) -> None:
    changed = {how: movie.spoilt(how).images != movie.images for how in ("hot", "quarter", "bright")}
    assert changed["hot"].sum(axis=(1, 2, 3)).tolist() == [10, 10]
    assert changed["quarter"].mean() == 0.25
    assert movie.spoilt("quarter").images[:, :, 0, 0].min() == 65535
    assert [one.all() for one in changed["bright"]] == [False, True]
    assert movie.spoilt("bright").images.max() == 1000
    assert movie.in_quarter(found(2.0)) is True
    assert movie.in_quarter(found(28.0)) is False


def test_a_movie_of_planes_lies_at_0_as_answers_do() -> None:
    plane = known_movie("plane", Path())
    assert plane is not None
    assert plane.n_dims == 2
    assert plane.voxel_size == (0.5, 0.5)
    assert {spot.pos[0] for spot in plane.spots(0)} == {0.0}
    assert plane.facts()["input_size"] == [256, 256, 1]


def test_errors_are_counted_at_the_places_that_show_them(movie: TaughtMovie) -> None:
    """Found: the first nucleus, and one that is none; the second is suspected; the third is not seen at all."""
    places = [("missed", found(10.5)), ("spot", found(2.2)), ("spot", found(14.0)), ("missed", found(16.0))]
    errors, n_errors = errors_at(places, movie, 1)
    assert errors.tolist() == [1, 0, 1, 0]
    assert n_errors == 4  # one is wrong, three are missed
    merged, n_errors = errors_at([("spot", DetectedSpot(np.array([5.0, 5.0, 21.4]), np.eye(3) * 60, 0.5))], movie, 1)
    assert (merged.tolist(), n_errors) == ([1], 3)
    assert errors_at([], movie, 1)[1] == 4


def test_given_weights_replace_shipped_ones(tmp_path: Path) -> None:
    given, folder = tmp_path / "given", tmp_path / "made"
    given.mkdir()
    (given / "flow3d.pth").write_bytes(b"weights")
    facts = {"sha256": "old", "seed": 1, "steps": 2, "radii": [1, 2], "max_displacement": 80}
    (given / "weights.json").write_text(json.dumps({"flow3d": facts, "flow2d": facts}))
    digests = provide_weights(folder, [given])
    digest = hashlib.sha256(b"weights").hexdigest()
    assert digests["flow3d"] == digest
    assert {"detection3d", "detection2d"} <= set(digests)
    made = json.loads((folder / PACKAGE.name / "weights.json").read_text())
    assert made["flow3d"] == facts | {"sha256": digest}
    assert (folder / PACKAGE.name / "flow3d.pth").read_bytes() == b"weights"


def test_clipping_is_switched_off_in_a_process(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(IN_PROCESS["clipping"])
    program = """
import numpy as np
from elephant.images import normalise
image = np.tile(np.arange(64, dtype=np.uint16), (4, 64, 1))
image[0, 0, 0] = 65535
print(float(normalise(image)[1].max()))
"""
    variables = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", program]
    shown = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    assert float(shown) < 0.01


ROW: Mapping[str, Any] = {
    "movie": "small",
    "figure": "before",
    "off": None,
    "weights": "detection3d abc",
    "crop": [96, 96, 16],
    "is_quick": False,
    "seconds": 2.0,
    "cpu_seconds": 3.0,
}


def test_what_was_measured_is_not_measured_again(tmp_path: Path, movie: TaughtMovie) -> None:
    digest = hashlib.sha256((PACKAGE / "detection3d.pth").read_bytes()).hexdigest()[:8]
    known = {**ROW, "seed": 0, "weights": f"detection3d {digest}", "value": {"F1": 0.5}}
    output = tmp_path / "rows.jsonl"
    output.write_text(json.dumps(known) + "\n")
    options = argparse.Namespace(output=output, weights=[], crop=(96, 96, 16), quick=False)
    assert list(rows([Task("small", "before", None, 0)], {"small": movie}, options)) == [known]


def test_the_table_compares_each_seed_with_the_goal() -> None:
    here = [{**ROW, "movie": "nuclei3d", "seed": i, "value": {"F1": f1}} for i, f1 in enumerate((0.95, 0.92))]
    assert list(table_of(here))[-1] == "| nuclei3d.before: F1 |  | 0.935 | 0.920 | 0.950 | 2 | at least 0.93 | no | 2 |"
    nothing = {**ROW, "figure": "doubt", "seed": 0, "value": {"found first": None, "errors": 0, "bins": [[1, 2]]}}
    assert line_of(nothing) == "small.doubt seed 0: found first -, errors 0  (2 s, 3 s of processors)"
    assert "| small.doubt: found first |  | - | - | - | 1 |  |  | 2 |" in list(table_of([nothing]))
