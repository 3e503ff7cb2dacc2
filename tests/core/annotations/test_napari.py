"""Tables for napari's layer of tracks, and files in scripts."""

import csv
from pathlib import Path

import numpy as np
import pytest

import elephant
from elephant.annotations import MovieFacts, nucleus_of, read_annotations
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.types import Tag, VoxelSize

VOXEL = (2.0, 0.5, 0.5)
# A nucleus that divides after a gap, and one that is alone.
TABLE = (
    "t,id,x,y,z,radius,parent,tag\n0,1,4,4,8,2,,tp\n2,2,4,4,8,2,1,\n3,3,2,4,8,2,2,\n3,4,6,4,8,2,2,fn\n3,5,6,9,8,1,,\n"
)


@pytest.fixture
def movie(tmp_path: Path) -> Dataset:
    images = np.zeros((4, 10, 40, 40), np.uint8)
    return elephant.open_dataset(images, tmp_path / "movie", voxel_size=VOXEL, quiet=True)


def test_the_table_is_data_and_graph_of_a_layer(movie: Dataset, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(TABLE)
    elephant.export_tracks(tmp_path / "s.csv", movie, tmp_path / "n.csv", format="napari", quiet=True)
    with (tmp_path / "n.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:5] == ["track_id", "t", "z", "y", "x"]
    data = [tuple(float(row[name]) for name in ("track_id", "t", "z", "y", "x")) for row in rows]
    assert data == [(1, 0, 8, 4, 4), (1, 2, 8, 4, 4), (2, 3, 8, 4, 2), (3, 3, 8, 4, 6), (4, 3, 8, 9, 6)]
    assert [row["parent_track_id"] for row in rows] == ["-1", "-1", "1", "1", "-1"]
    assert [row["parent_id"] for row in rows] == ["-1", "1", "2", "2", "-1"]
    found = [nucleus_of(record) for record in read_annotations(tmp_path / "n.csv", movie=MovieFacts.of(movie))]
    assert [(n.t, n.id, n.parent, n.tag) for n in found] == [
        (0, 1, None, Tag.TP), (2, 2, 1, None), (3, 3, 2, None), (3, 4, 2, Tag.FN), (3, 5, None, None),
    ]  # fmt: skip
    assert [n.spot.covariance[0, 0] for n in found] == pytest.approx([4, 4, 4, 4, 1])


def test_tracks_of_a_script_go_through_trackmate(movie: Dataset, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(TABLE)
    tracks = elephant.link(tmp_path / "s.csv", max_distance=3, quiet=True)
    elephant.export_tracks(tracks, movie, tmp_path / "t.xml", format="trackmate", quiet=True)
    again = read_annotations(tmp_path / "t.xml", movie=MovieFacts(voxel_size=VoxelSize(*VOXEL)))
    assert [(r.t, r.parent) for r in again] == [(0, None), (2, None), (3, 1), (3, 1), (3, None)]
    with pytest.raises(InvalidInputError, match="there is an earlier export"):
        elephant.export_tracks(tracks, movie, tmp_path / "t.xml", format="trackmate", quiet=True)
    with pytest.raises(InvalidInputError, match="no parameter 'radius'"):
        elephant.export_tracks(tracks, movie, tmp_path / "u.xml", format="trackmate", radius=3)
    with pytest.raises(InvalidInputError, match="'radios': did you mean radius"):
        elephant.export_tracks(tmp_path / "s.csv", movie, tmp_path / "u.xml", format="trackmate", radios=3)


def test_a_model_is_trained_on_files(movie: Dataset, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("frame,pos_x,pos_y,pos_z\n0,4,4,8\n")
    with pytest.raises(InvalidInputError, match="for the radius"):
        elephant.train(movie, tmp_path / "points.csv", n_epochs=0, quiet=True)
    about = {"radius": 3, "spots_unit": "physical"}
    elephant.train(movie, tmp_path / "points.csv", model=tmp_path / "d.pth", n_epochs=0, quiet=True, **about)
    (tmp_path / "s.csv").write_text(TABLE)
    elephant.train_flow(movie, tmp_path / "s.csv", model=tmp_path / "f.pth", n_epochs=0, quiet=True)
    assert {path.name for path in tmp_path.glob("*.pth")} == {"d.pth", "f.pth"}
