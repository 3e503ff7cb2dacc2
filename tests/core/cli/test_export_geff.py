"""Tracks as a graph, read back by the package that defines the format."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import geff
import networkx as nx
import numpy as np
import pytest
import zarr
from geff.core_io import read_to_memory
from geff.validate.data import ValidationConfig

from core.cli.shell import Done, Shell
from core.dataset.bdv import ramp, write_movie
from elephant.cli.main import main
from elephant.units import factor_between, unit_named

COVARIANCE = [4.0, 0.5, 0.2, 0.5, 3.0, 0.1, 0.2, 0.1, 2.0]  # X, Y, Z
SPOTS: list[dict[str, Any]] = [
    {"t": 0, "id": 10, "pos": [1, 2, 3], "covariance": COVARIANCE, "quality": 0.9, "tag": "tp", "track": 7},
    {"t": 1, "id": 11, "pos": [2, 2, 3], "covariance": COVARIANCE, "parent": 10, "earlier": [1, 2, 5], "track": 7},
    {"t": 2, "id": 12, "pos": [1, 2, 3], "radius": 2, "parent": 11, "track": 8},
    {"t": 2, "id": 13, "pos": [3, 2, 3], "radius": 2, "parent": 11, "track": 9},
    {"t": 3, "id": 14, "pos": [3, 2, 4], "radius": 2, "parent": 13, "track": 9, "value": 5},
    {"t": 0, "id": 3, "pos": [9, 9, 9], "radius": 1, "tag": "unlabeled"},
]


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a 2D dataset of four timepoints, whose unit is not known."""
    folder = tmp_path_factory.mktemp("flat")
    write_movie(folder / "m.h5", ramp(4, (1, 32, 40)))
    assert main(["convert", str(folder / "m.h5"), str(folder / "m"), "--2d", "-q"]) == 0
    return folder / "m"


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a 3D dataset of four timepoints, in micrometres."""
    folder = tmp_path_factory.mktemp("deep")
    write_movie(folder / "m.h5", ramp(4, (8, 32, 40)))
    voxel = ["--voxel-size", "0.5", "0.5", "2", "--unit", "µm"]
    assert main(["convert", str(folder / "m.h5"), str(folder / "m"), *voxel, "-q"]) == 0
    return folder / "m"


def export(shell: Shell, dataset: Path, spots: Sequence[Any] = SPOTS, output: str = "t.geff", *args: object) -> Done:
    (shell.folder / "s.json").write_text(json.dumps({"spots": spots}))
    return shell("export", dataset, "--spots", "s.json", "--format", "geff", "-o", output, *args)


def test_networkx_reads_the_nuclei_and_their_links(deep: Path, shell: Shell) -> None:
    done = export(shell, deep)
    assert (done.status, done.err) == (0, "")
    assert "6 nuclei, 4 links, 4 tracks" in done.out
    graph, metadata = geff.read(shell.folder / "t.geff", structure_validation=True)
    assert isinstance(graph, nx.DiGraph)
    assert set(graph.edges) == {(10, 11), (11, 12), (11, 13), (13, 14)}
    mother = graph.nodes[10]
    assert {name: mother[name] for name in ("t", "z", "y", "x", "quality", "tag")} == {
        "t": 0, "z": 3, "y": 2, "x": 1, "quality": 0.9, "tag": "tp"
    }  # fmt: skip
    np.testing.assert_allclose(mother["ellipsoid"], np.reshape(COVARIANCE, (3, 3))[::-1, ::-1])
    assert mother["radius"] == pytest.approx(np.linalg.det(np.reshape(COVARIANCE, (3, 3))) ** (1 / 6))
    assert graph.nodes[12]["radius"] == pytest.approx(2)
    assert graph.nodes[3]["tag"] == "unlabeled"
    assert "tag" not in graph.nodes[12]
    assert "quality" not in graph.nodes[11]
    assert graph.nodes[14]["seg_id"] == 5
    assert graph.edges[10, 11] == {"distance": 1.0, "link_cost": 2.0}
    assert graph.edges[11, 13] == {"distance": 1.0}
    tracklets = {i: graph.nodes[i]["tracklet_id"] for i in graph}
    assert tracklets[10] == tracklets[11] != tracklets[12] != tracklets[13] == tracklets[14]
    assert len({graph.nodes[i]["lineage_id"] for i in (10, 11, 12, 13, 14)}) == 1
    assert metadata.directed
    assert [(a.name, a.type, a.unit) for a in metadata.axes] == [
        ("t", "time", "frame"), ("z", "space", "micrometer"), ("y", "space", "micrometer"), ("x", "space", "micrometer")
    ]  # fmt: skip
    assert (metadata.ellipsoid, metadata.sphere) == ("ellipsoid", "radius")
    assert metadata.track_node_props == {"tracklet": "tracklet_id", "lineage": "lineage_id"}
    assert metadata.display_hints.display_depth == "z"
    assert metadata.extra["elephant"]["voxel_size"] == {"z": 2.0, "y": 0.5, "x": 0.5}


def test_a_flat_movie_is_valid_in_every_check(flat: Path, shell: Shell) -> None:
    done = export(shell, flat)
    assert "the unit of the positions is not known" in done.err
    checks = ValidationConfig(graph=True, sphere=True, ellipsoid=True, lineage=True, tracklet=True)
    found = read_to_memory(shell.folder / "t.geff", structure_validation=True, data_validation=checks)
    assert [axis.name for axis in found["metadata"].axes] == ["t", "y", "x"]
    np.testing.assert_allclose(found["node_props"]["ellipsoid"]["values"][0], [[3, 0.5], [0.5, 4]])
    assert found["node_props"]["radius"]["values"][0] == pytest.approx((3 * 4 - 0.25) ** 0.25)


def test_the_arrays_are_those_that_java_reads(deep: Path, shell: Shell) -> None:
    export(shell, deep)
    group = zarr.open_group(shell.folder / "t.geff", mode="r")
    assert group.metadata.zarr_format == 2
    kinds = {name: group[f"nodes/props/{name}/values"].dtype.name for name in ("t", "x", "radius", "tracklet_id")}
    assert kinds == {"t": "int32", "x": "float64", "radius": "float64", "tracklet_id": "int64"}
    assert "covariance3d" not in group["nodes/props"]
    assert group["edges/props/distance/values"].dtype == "float64"


def test_an_archive_holds_the_same_folder(deep: Path, shell: Shell) -> None:
    export(shell, deep)
    assert export(shell, deep, SPOTS, "t.zip").status == 0
    ZipFile(shell.folder / "t.zip").extractall(shell.folder / "x")
    one, other = (sorted((shell.folder / p).rglob("*")) for p in ("t.geff", "x/tracks.geff"))
    assert [p.relative_to(shell.folder / "t.geff") for p in one] == [
        p.relative_to(shell.folder / "x" / "tracks.geff") for p in other
    ]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, other, strict=True) if a.is_file())


def test_a_part_of_a_movie_has_no_links_out_of_it(deep: Path, shell: Shell) -> None:
    done = export(shell, deep, SPOTS, "t.geff", "-t", "2-3", "--from-zero")
    assert "3 nuclei, 1 link, 2 tracks; 3 at other timepoints left out" in done.out
    graph, _ = geff.read(shell.folder / "t.geff")
    assert {graph.nodes[i]["t"] for i in (12, 13)} == {0}
    assert set(graph.edges) == {(13, 14)}


@pytest.mark.parametrize(
    ("spots", "n_links", "words"),
    [
        ([], 0, ""),
        ([{"t": t, "pos": [t, 1, 1], "radius": 1, "track": 4} for t in range(4)], 3, ""),
        ([{"t": t, "id": -t, "pos": [t, 1, 1], "radius": 1} for t in range(4)], 0, "all nuclei got new ones"),
        ([{"t": t, "id": t, "parent": 77, "pos": [t, 1, 1], "radius": 1} for t in range(2)], 0, "not in the file"),
        ([{"t": 2 * t, "id": t, "parent": t - 1 if t else None, "pos": [0, 1, 1], "radius": 1} for t in (0, 1)], 1, ""),
    ],
)
def test_any_table_becomes_a_valid_graph(
    spots: list[dict[str, Any]], n_links: int, words: str, deep: Path, shell: Shell
) -> None:
    done = export(shell, deep, spots)
    assert done.status == 0
    assert re.search(words, done.err)
    graph, _ = geff.read(shell.folder / "t.geff")
    assert (len(graph.nodes), len(graph.edges)) == (len(spots), n_links)


def test_only_an_earlier_export_is_replaced(deep: Path, shell: Shell) -> None:
    for output in ("t.geff", "t.zip", "plain"):
        assert export(shell, deep, SPOTS, output).status == 0
        assert "give --overwrite" in export(shell, deep, SPOTS, output).err
        assert export(shell, deep, SPOTS[:1], output, "--overwrite").status == 0
    (shell.folder / "t.geff" / "notes.txt").write_text("precious")
    assert "holds notes.txt" in export(shell, deep, SPOTS, "t.geff", "--overwrite").err
    geff.write(nx.DiGraph([(1, 2)]), shell.folder / "other.geff", metadata=None, axis_names=None)
    assert "a graph of another program" in export(shell, deep, SPOTS, "other.geff", "--overwrite").err
    with ZipFile(shell.folder / "o.zip", "w") as archive:
        archive.writestr("thesis.doc", "precious")
    assert "holds thesis.doc" in export(shell, deep, SPOTS, "o.zip", "--overwrite").err
    (shell.folder / "b.zip").write_text("precious")
    assert "other than an archive" in export(shell, deep, SPOTS, "b.zip", "--overwrite").err
    assert export(shell, deep, SPOTS, "t.tif").status == 2


@pytest.mark.parametrize(
    ("unit", "name"),
    [("µm", "micrometer"), ("\u03bcm", "micrometer"), ("\\u00B5m", "micrometer"), ("Microns", "micrometer"),
     ("um", "micrometer"), ("nanometers", "nanometer"), ("micrometre", "micrometer"), ("px", "pixel"),
     ("furlong", "furlong"), ("", ""), (None, "")],
)  # fmt: skip
def test_units_have_one_name(unit: str | None, name: str) -> None:
    assert unit_named(unit) == name


def test_units_of_length_are_converted() -> None:
    assert factor_between("nm", "µm") == pytest.approx(1e-3)
    assert factor_between("micron", "micrometer") == 1
    assert factor_between("pixel", "micrometer") is None
    assert factor_between("", "micrometer") is None
