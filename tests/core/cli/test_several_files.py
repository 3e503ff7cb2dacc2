"""Spots of several files, as if they were one."""

from pathlib import Path

import pytest

from elephant.annotations import MovieFacts, read_all
from elephant.annotations import read_annotations as read_spots
from elephant.annotations.records import SpotRecord
from elephant.cli.files_write import write_spots

PLANE, VOLUME = MovieFacts(shape=(9, 9)), MovieFacts(shape=(9, 9, 9))
BALL = (4.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 4.0)


def spot(t: int, x: float, **more: int | None) -> SpotRecord:
    return SpotRecord(t=t, pos=(x, 0, 0), covariance=BALL, **more)  # type: ignore[arg-type]


def joined(folder: Path, *parts: list[SpotRecord]) -> list[SpotRecord]:
    paths = [folder / f"{'abc'[i]}.json" for i in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        write_spots(path, part)
    return read_all(paths, movie=PLANE)


def test_parts_that_know_of_each_other_stay_as_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a, b = [spot(0, 1, id=0), spot(1, 1, id=10, parent=0)], [spot(2, 1, id=20, parent=10)]
    assert joined(tmp_path, a, b) == [*a, *b]
    assert caplog.messages == []


def test_colliding_ids_are_renumbered_with_their_parents(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a = [spot(0, 1, id=3, track=1), spot(1, 1, id=4, parent=3, track=1)]
    b = [spot(2, 1, id=4, track=1), spot(3, 1, id=5, parent=4, track=1), spot(2, 9, parent=3)]
    c = [spot(4, 1, id=6)]
    found = joined(tmp_path, a, b, c)
    assert [(s.id, s.parent, s.track) for s in found] == [
        (3, None, 1), (4, 3, 1), (5, None, 2), (6, 5, 2), (None, 3, None), (7, None, None),
    ]  # fmt: skip
    assert caplog.messages == [
        "b.json: 1 id is also in earlier files: replaced by 5 to 6, together with the parents that refer to them",
        "b.json: 1 track is used for other nuclei in earlier files: replaced by 2 to 2",
        "c.json: 1 id is also in earlier files: replaced by 7 to 7, together with the parents that refer to them",
    ]


def test_a_spot_that_two_files_hold_counts_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a = [spot(0, 1, id=0), spot(1, 1, id=1)]
    b = [spot(1, 1, id=0), spot(2, 1, id=1, parent=0)]
    assert [(s.t, s.id, s.parent) for s in joined(tmp_path, a, b)] == [(0, 0, None), (1, 1, None), (2, 2, 1)]
    assert "b.json: 1 spot ignored, since earlier files contain them" in caplog.messages[0]


def test_tracks_of_one_table_that_was_cut_stay_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a, b = [spot(0, 1, track=5), spot(0, 9, track=6)], [spot(1, 1, track=5)]
    assert joined(tmp_path, a, b) == [*a, *b]
    assert caplog.messages == ["b.json: 1 track also in earlier files: treated as the same tracks"]
    assert [s.track for s in joined(tmp_path, a, [spot(0, 4, track=5), spot(1, 4, track=5)])] == [5, 6, 7, 7]


def test_negative_tracks_mean_no_track_and_collide_with_nothing(tmp_path: Path) -> None:
    found = joined(tmp_path, [spot(0, 1, track=-1, id=0)], [spot(0, 2, track=-1, id=0)])
    assert [(s.id, s.track) for s in found] == [(0, -1), (1, -1)]


def test_one_file_is_as_it_is(tmp_path: Path) -> None:
    write_spots(tmp_path / "a.csv", [spot(0, 1, id=0), spot(0, 1, id=0)])
    assert read_all([tmp_path / "a.csv"], movie=PLANE) == read_spots(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("header", "n_dims", "is_flat"), [("t,x,y", 3, True), ("t,x,y", 2, False), ("t,x,z,y", 3, False)]
)
def test_a_table_without_z_is_not_taken_for_3d_in_silence(
    header: str, n_dims: int, *, is_flat: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = "0,1,2,3" if "z" in header else "0,1,2"
    (tmp_path / "a.csv").write_text(f"{header},radius\n{row},3\n{row},4\n")
    assert len(read_all([tmp_path / "a.csv"], movie=VOLUME if n_dims == 3 else PLANE)) == 2
    assert ("a.csv: z is 0 for all spots, but the dataset is 3D" in caplog.text) is is_flat
