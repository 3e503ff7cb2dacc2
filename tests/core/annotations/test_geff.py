"""Graphs in GEFF, written by the package that defines the format."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geff
import networkx as nx
import numpy as np
import pytest
import zarr
from geff.core_io import write_arrays
from geff_spec import Axis, GeffMetadata

from elephant.annotations import MovieFacts, SpotRecord, read_annotations
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.types import VoxelSize

MOVIE = MovieFacts((10, 40, 40), 5, VoxelSize(2.0, 0.5, 0.5), "µm")
FLAT = MovieFacts((40, 40), 5, VoxelSize(1.0, 0.5, 0.5), "µm")
ELLIPSOID = np.array([[3.0, 0.1, 0.2], [0.1, 2.0, 0.3], [0.2, 0.3, 1.0]])  # Z, Y, X


def graph(n: int = 3, **more: Any) -> nx.DiGraph:
    found: nx.DiGraph = nx.DiGraph()
    for i in range(n):
        found.add_node(10 + i, t=i, z=4.0, y=8.0, x=6.0 + i, **more)
    found.add_edges_from((10 + i, 11 + i) for i in range(n - 1))
    return found


def write(
    path: Path, nodes: nx.Graph, units: Any = "micrometer", names: str = "tzyx", zarr_format: Any = 2, **more: Any
) -> Path:
    types = ["time" if name == "t" else "space" for name in names]
    unit = ["frame" if name == "t" else units for name in names]
    geff.write(nodes, path, axis_names=list(names), axis_units=unit, axis_types=types, zarr_format=zarr_format)
    if more:
        change(path, lambda found: found.update(more))
    return path


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    place = path / ".zattrs"
    found = json.loads(place.read_text())
    edit(found["geff"])
    place.write_text(json.dumps(found))


def read(path: Path, movie: MovieFacts = MOVIE, **said: object) -> list[SpotRecord]:
    return read_annotations(path, AnnotationParams.model_validate(said), movie)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("is_packed", [False, True])
def test_nodes_are_nuclei_and_edges_are_parents(zarr_format: int, is_packed: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "g.geff", graph(radius=1.5, quality=0.5), zarr_format=zarr_format)
    if is_packed:
        path = Path(shutil.make_archive(str(tmp_path / "g"), "zip", tmp_path, "g.geff"))
    one, two, three = read(path)
    assert (one.t, one.id, one.pos, one.parent, one.quality) == (0, 10, (6, 8, 4), None, 0.5)
    assert one.covariance == (2.25, 0, 0, 0, 2.25, 0, 0, 0, 2.25)
    assert [(s.t, s.id, s.parent) for s in (two, three)] == [(1, 11, 10), (2, 12, 11)]


@pytest.mark.parametrize(
    ("units", "movie", "said", "pos", "first"),
    [
        ("nanometer", MOVIE, {}, (6e-3, 8e-3, 4e-3), 2.25e-6),
        ("pixel", MOVIE, {}, (3, 4, 8), 2.25 / 4),
        (None, MOVIE, {"spots_unit": "pixel"}, (3, 4, 8), 2.25 / 4),
        ("micrometer", MOVIE, {"spots_unit": "pixel"}, (3, 4, 8), 2.25 / 4),
        ("nanometer", MOVIE, {"spots_unit": "physical"}, (6, 8, 4), 2.25),
        ("furlong", MovieFacts(voxel_size=MOVIE.voxel_size), {}, (6, 8, 4), 2.25),
    ],
)
@pytest.mark.filterwarnings("ignore:Spatial unit")
def test_units_are_converted(
    units: str, movie: MovieFacts, said: dict[str, str], pos: tuple[float, ...], first: float, tmp_path: Path
) -> None:
    one = read(write(tmp_path / "g.geff", graph(radius=1.5), units), movie, **said)[0]
    assert one.pos == pytest.approx(pos)
    assert one.covariance[0] == pytest.approx(first)


def test_ellipsoids_follow_the_order_of_the_axes(tmp_path: Path) -> None:
    path, n = tmp_path / "g.geff", 2
    order = [2, 1, 0]  # X, Y, Z
    metadata = GeffMetadata(
        directed=True,
        axes=[
            Axis(name="frame", type="time"),
            *(Axis(name=a, type="space", unit="micrometer", scale=2) for a in "xyz"),
        ],
        node_props_metadata={},
        edge_props_metadata={},
        ellipsoid="shape",
    )
    values = {name: np.array([1.0, 2.0]) * k for name, k in (("frame", 1), ("x", 1), ("y", 2), ("z", 3))}
    values["shape"] = np.stack([ELLIPSOID[order][:, order]] * n)
    props: Any = {name: {"values": each, "missing": None} for name, each in values.items()}
    props["shape"]["missing"] = np.array([False, True])
    props["size"] = {"values": np.array([1, 3]), "missing": None}
    metadata.sphere = "size"
    write_arrays(path, np.array([5, 6], dtype=np.uint16), props, np.zeros((0, 2), np.uint16), {}, metadata)
    one, two = read(path)
    assert (one.t, one.pos) == (1, (2, 4, 6))
    np.testing.assert_allclose(np.reshape(one.covariance, (3, 3)), 4 * ELLIPSOID[::-1, ::-1])
    assert two.covariance[::4] == (36, 36, 36)


def test_flat_graphs_belong_to_flat_movies(tmp_path: Path) -> None:
    flat = write(tmp_path / "f.geff", graph(radius=1.0), names="tyx")
    assert read(flat, FLAT)[0].pos == (6, 8, 0)
    with pytest.raises(InvalidInputError, match=r"f.geff is 2D \(axes y, x\), but the movie is 3D"):
        read(flat)
    deep = graph(radius=1.0)
    deep.nodes[11]["z"] = 9.0
    with pytest.raises(InvalidInputError, match="has nodes at different z, but the movie is 2D"):
        read(write(tmp_path / "d.geff", deep), FLAT)


def test_points_need_a_radius(tmp_path: Path) -> None:
    path = write(tmp_path / "g.geff", graph())
    with pytest.raises(
        InvalidInputError, match="3 nodes with a position alone, such as 10: expected an ellipsoid or a"
    ):
        read(path)
    assert read(path, radius=2)[0].covariance[::4] == (4, 4, 4)


def test_of_several_parents_the_nearest_is_kept_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nodes = graph(radius=1.0)
    nodes.add_node(20, t=1, z=4.0, y=8.0, x=7.5, radius=1.0)
    nodes.add_edge(20, 12)
    nodes.add_edge(10, 12)
    assert {s.id: s.parent for s in read(write(tmp_path / "g.geff", nodes))}[12] == 20
    assert "g.geff: 1 node with several parents (12): the nearest of the latest ones is kept" in caplog.text


def test_edges_that_all_lead_back_are_turned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert [s.parent for s in read(write(tmp_path / "g.geff", graph(radius=1.0).reverse()))] == [None, 10, 11]
    assert "all edges lead back in time" in caplog.text


def test_tracks_are_the_tracklets(tmp_path: Path) -> None:
    nodes = graph(radius=1.0, branch=4)
    path = write(tmp_path / "g.geff", nodes, track_node_props={"tracklet": "branch"})
    assert [s.track for s in read(path)] == [4, 4, 4]


def test_a_graph_within_a_folder_is_found(tmp_path: Path) -> None:
    write(tmp_path / "x.zarr" / "tracks", graph(radius=1.0))
    (tmp_path / "x.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    assert len(read(tmp_path / "x.zarr")) == 3
    write(tmp_path / "x.zarr" / "others", graph(radius=1.0))
    with pytest.raises(
        InvalidInputError, match=r"one graph in GEFF, got 2: choose one of them \(x.zarr/others, x.zarr/t"
    ):
        read(tmp_path / "x.zarr")


def test_versions_that_are_not_known_yet_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "g.geff", graph(radius=1.0), geff_version="1.9", polygon="outline", new={"a": 1})
    assert len(read(path)) == 3


def set_node(nodes: nx.DiGraph, **values: object) -> nx.DiGraph:
    nodes.nodes[11].update(values)
    return nodes


def array_of(path: Path, key: str, **changes: object) -> None:
    place = path / key / ".zarray"
    place.write_text(json.dumps(json.loads(place.read_text()) | changes))


def undirected(path: Path) -> None:
    write(path, graph(radius=1.0).to_undirected())


def without(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        write(path, graph(radius=1.0))
        shutil.rmtree(path / name)

    return make


def made_of(**values: object) -> Callable[[Path], None]:
    return lambda path: (write(path, set_node(graph(radius=1.0), **values)), None)[1]


def changed(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda path: (write(path, graph(radius=1.0)), change(path, edit))[1]


def with_array(key: str, **changes: object) -> Callable[[Path], None]:
    return lambda path: (write(path, graph(radius=1.0)), array_of(path, key, **changes))[1]


def with_values(key: str, values: Any) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        write(path, graph(radius=1.0))
        shutil.rmtree(path / key)
        zarr.open_group(path, mode="r+")[key.rpartition("/")[0]].create_array(key.rpartition("/")[2], data=values)

    return make


def truncated(path: Path) -> None:
    write(path, graph(radius=1.0))
    block = path / "nodes/props/x/values/0"
    block.write_bytes(block.read_bytes()[:9])


def in_seconds(path: Path) -> None:
    nodes = graph(radius=1.0)
    for node in nodes.nodes.values():
        node["t"] *= 60
    write(path, nodes)
    change(path, lambda found: found["axes"][0].update(unit="second"))


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "undirected": (undirected, "is an undirected graph: expected edges from parents to children"),
    "no nodes": (without("nodes"), "g.geff has no nodes/ids, so it is incomplete: copy or export it again"),
    "no edges": (without("edges/ids"), "g.geff has no edges/ids, so it is incomplete"),
    "no x": (without("nodes/props/x"), "g.geff has the axis x, but no such property of its nodes"),
    "not a number": (made_of(x=np.nan), "g.geff has 1 node without a finite x"),
    "between frames": (made_of(t=1.5), "expected t of g.geff to count frames, got 1.5 frame"),
    "same time": (made_of(t=0), "to lead from parents to later children, got 1 that do not, such as from 10 at timepo"),
    "flat radius": (made_of(radius=0.0), "expected the radii of g.geff to be above 0, got 0.0"),
    "no metadata": (lambda path: (path.mkdir(), (path / "a").touch())[1], "hold one graph in GEFF, got 0"),
    "damaged metadata": (
        lambda path: (write(path, graph(radius=1.0)), (path / ".zattrs").write_text("{"), None)[2],
        "g.geff cannot be read .*: copy or export it again",
    ),
    "deep metadata": (
        lambda path: (write(path, graph(radius=1.0)), (path / ".zattrs").write_text("[" * 100_000), None)[2],
        "g.geff cannot be read",
    ),
    "other metadata": (changed(lambda found: found.pop("directed")), r"not those of a graph in GEFF \(directed: field"),
    "no axes": (changed(lambda found: found.update(axes=found["axes"][1:])), "an axis of time and two or three of sp"),
    "units": (changed(lambda found: found["axes"][1].update(unit="parsec")), "has positions in parsec, and the movie"),
    "seconds": (in_seconds, "got times in second that are multiples of 60"),
    "huge nodes": (with_array("nodes/ids", shape=[3 * 10**7], chunks=[10**6]), "expected at most 20000000 nodes in"),
    "tiny blocks": (with_array("nodes/ids", shape=[10**7], chunks=[1]), "in at most 100000 blocks, got 10000000"),
    "huge blocks": (with_array("nodes/ids", chunks=[10**12]), "to be stored in blocks of at most 256 MiB, got"),
    "other length": (with_array("nodes/props/x/values", shape=[4]), "to have a value for each of the 3 nodes, got the"),
    "objects": (
        with_array("nodes/ids", dtype="|O", filters=[{"id": "pickle"}]),
        "nodes/ids of g.geff cannot be read",
    ),
    "text ids": (with_values("nodes/ids", np.array(["a", "b", "c"])), "expected nodes/ids of g.geff to be whole n"),
    "double ids": (with_values("nodes/ids", np.array([10, 11, 11])), "has 1 id of several nodes, such as 11"),
    "strangers": (with_values("edges/ids", np.array([[10, 99]])), "has 1 edge of nodes that it does not hold, such"),
    "triples": (with_values("edges/ids", np.array([[10, 11, 12]])), "edges/ids of g.geff to be whole numbers, two"),
    "codec": (with_array("nodes/ids", compressor={"id": "nonsense"}), "nodes/ids of g.geff cannot be read"),
    "truncated": (truncated, "nodes/props/x/values of g.geff cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_broken_graph_gets_a_sentence(name: str, tmp_path: Path) -> None:
    make, words = BROKEN[name]
    make(tmp_path / "g.geff")
    with pytest.raises(InvalidInputError, match=words):
        read(tmp_path / "g.geff")


def test_names_of_properties_do_not_lead_out_of_the_graph(tmp_path: Path) -> None:
    write(tmp_path / "g.geff", graph(), sphere="../../../secret")
    zarr.create_array(tmp_path / "secret" / "values", data=np.ones(3))
    with pytest.raises(InvalidInputError, match="3 nodes with a position alone"):
        read(tmp_path / "g.geff")


def test_an_archive_of_something_else_is_no_graph(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("thesis.doc", "text")
    with pytest.raises(InvalidInputError, match=r"a\.zip is an archive"):
        read(tmp_path / "a.zip")
