"""Masks and tracks of the Cell Tracking Challenge."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from elephant.annotations import MovieFacts, SpotRecord, read_annotations
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.types import VoxelSize

SHAPE = (8, 32, 40)
MOVIE = MovieFacts(SHAPE, 4, VoxelSize(2.0, 0.5, 0.5))
LINES = "1 0 1 0\n2 2 3 1\n5 2 2 1\n"


def read(path: Path, movie: MovieFacts = MOVIE, **said: object) -> list[SpotRecord]:
    return read_annotations(path, AnnotationParams.model_validate(said), movie)


def block(z: int, y: int, x: int, half: int = 3) -> tuple[slice, ...]:
    return slice(z - 1, z + 2), slice(y - half, y + half + 1), slice(x - half, x + half + 1)


def masks(half: int = 3) -> list[np.ndarray]:
    """Return a nucleus that divides after timepoint 1 into 2 and 5, of which 5 is lost."""
    found = [np.zeros(SHAPE, dtype=np.uint16) for _ in range(4)]
    for t in range(4):
        found[t][block(4, 10, 10 + t, half)] = 1 if t < 2 else 2
    found[2][block(4, 25, 20, half)] = 5
    return found


def write(folder: Path, table: str = "res_track.txt", mask: str = "mask", lines: str = LINES, half: int = 3) -> Path:
    folder.mkdir(parents=True)
    for t, labels in enumerate(masks(half)):
        tifffile.imwrite(folder / f"{mask}{t:03d}.tif", labels, compression="zlib")
    (folder / table).write_text(lines)
    return folder


EXPECTED = [
    (0, 0, None, 1, (5, 5, 8)),
    (1, 1, 0, 1, (5.5, 5, 8)),
    (2, 2, 1, 2, (6, 5, 8)),
    (2, 3, 1, 5, (10, 12.5, 8)),
    (3, 4, 2, 2, (6.5, 5, 8)),
]


def facts(found: list[SpotRecord]) -> list[tuple[object, ...]]:
    return [(s.t, s.id, s.parent, s.track, s.pos) for s in found]


@pytest.mark.parametrize("is_packed", [False, True])
def test_labels_are_nuclei_and_the_list_gives_parents(
    is_packed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "01_RES")
    if is_packed:
        path = Path(shutil.make_archive(str(tmp_path / "r"), "zip", tmp_path))
    found = read(path)
    assert facts(found) == EXPECTED
    assert [s.value for s in found] == [1, 1, 2, 5, 2]
    assert caplog.text == ""


def test_markers_of_references_are_said_to_be_markers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "01_GT" / "TRA", "man_track.txt", "man_track", half=1)
    for path in (tmp_path / "01_GT", tmp_path / "01_GT" / "TRA"):
        assert facts(read(path)) == EXPECTED
        assert "5 nuclei have the shape of their marker in TRA, which may be smaller than the nucleus" in caplog.text
        caplog.clear()
    assert {s.covariance[::4] for s in read(tmp_path / "01_GT", radius=3)} == {(9, 9, 9)}
    assert caplog.text == ""


def test_references_have_the_shapes_of_their_segmentations(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "01_GT" / "TRA", "man_track.txt", "man_track", half=1)
    (tmp_path / "01_GT" / "SEG").mkdir()
    labels = masks(4)[2]
    labels[labels > 0] += 20  # other numbers than in TRA
    labels[block(4, 25, 20, 4)] = 0
    tifffile.imwrite(tmp_path / "01_GT" / "SEG" / "man_seg002.tif", labels)
    tifffile.imwrite(tmp_path / "01_GT" / "SEG" / "man_seg_003_004.tif", labels[4])
    found = read(tmp_path / "01_GT")
    assert facts(found) == EXPECTED
    large = (9**2 - 1) / 12 * 5 * 0.25
    assert [s.covariance[0] == pytest.approx(large) for s in found] == [False, False, True, False, False]
    assert "1 of 5 nuclei have the shape that SEG gives" in caplog.text
    assert "4 nuclei have the shape of their marker" in caplog.text
    whole = tmp_path / "01_GT" / "SEG" / "man_seg_003_004.tif"
    whole.unlink()
    assert [(s.t, s.track) for s in read(tmp_path / "01_GT" / "SEG")] == [(2, None)]


def test_what_list_and_masks_say_differently_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = read(write(tmp_path / "01_RES", lines="1 0 0 0\n2 2 3 1\n9 0 1 0\n"))
    assert [(s.track, s.parent) for s in found] == [(1, None), (1, 0), (2, 1), (None, None), (2, 2)]
    for words in (
        "(5) that the list does not have",
        "(1) at timepoints at which the list",
        "(9) that the list has and no",
    ):
        assert words in caplog.text


def test_a_part_of_a_movie_begins_later(tmp_path: Path) -> None:
    path = write(tmp_path / "01_RES")
    for t in (0, 1):
        (path / f"mask00{t}.tif").unlink()
    assert [(s.t, s.parent) for s in read(path)] == [(2, None), (2, None), (3, 0)]


def lines(text: str) -> Callable[[Path], object]:
    return lambda folder: write(folder, lines=text)


def with_mask(labels: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: tifffile.imwrite(write(folder) / "mask002.tif", labels)


def with_text(folder: Path) -> None:
    write(folder)
    (folder / "mask001.tif").write_text("hello")


def twice(folder: Path) -> None:
    write(folder)
    shutil.copy(folder / "mask001.tif", folder / "mask1.tif")


def binary(folder: Path) -> None:
    write(folder)
    (folder / "res_track.txt").write_bytes(b"\xff\xfe\x00\x01")


def alone(folder: Path) -> None:
    write(folder)
    for path in folder.glob("*.tif"):
        path.unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "three numbers": (lines("1 0 1\n"), r"res_track.txt, line 1: expected four whole numbers .*, got '1 0 1'"),
    "words": (lines("\n1 0 one 0\n"), "res_track.txt, line 2: expected four whole numbers"),
    "order": (lines("1 3 1 0\n"), "line 1: expected a label of at least 1, two timepoints in order, .* got 1 3 1 0"),
    "zero": (lines("0 0 1 0\n"), "line 1: expected a label of at least 1"),
    "own parent": (lines("1 0 1 1\n"), "line 1: expected a label of at least 1, .* another label or 0 as parent"),
    "twice": (lines("1 0 1 0\n1 2 3 0\n"), "line 2: expected each label once, got 1 again"),
    "no parent": (lines("1 0 1 7\n"), "the track 1 begins at timepoint 0, and its parent 7 is not in it"),
    "late parent": (lines("1 0 2 0\n2 2 3 1\n"), "the track 2 begins at timepoint 2, and its parent 1 lasts to"),
    "not text": (binary, "expected res_track.txt to be text"),
    "no masks": (alone, "expected masks such as .* or mask000.tif beside res_track.txt in 01_RES, got none"),
    "same number": (twice, "mask001.tif and mask1.tif have the same number"),
    "no image": (with_text, "expected mask001.tif|mask001.tif"),
    "another size": (with_mask(np.zeros((8, 32, 41), np.uint16)), "to have 8 x 32 x 40 voxels .*, got 8 x 32 x 41"),
    "fractions": (with_mask(np.full(SHAPE, 0.5, np.float32)), "mask002.tif, which are whole numbers of 0 to"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_results_get_a_sentence(name: str, tmp_path: Path) -> None:
    make, words = BROKEN[name]
    make(tmp_path / "01_RES")
    with pytest.raises(InvalidInputError, match=words):
        read(tmp_path / "01_RES")


def test_archives_are_judged_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "01_RES")
    for name in ("one", "two", "../../out"):
        with zipfile.ZipFile(tmp_path / f"{name[-3:]}.zip", "w") as archive:
            for path in (tmp_path / "01_RES").iterdir():
                archive.write(path, f"{name}/{path.name}")
                if name == "two":
                    archive.write(path, f"other/{path.name}")
    assert len(read(tmp_path / "one.zip")) == len(read(tmp_path / "out.zip")) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01_RES", "one.zip", "out.zip", "two.zip"]
    with pytest.raises(InvalidInputError, match=r"expected two.zip to hold one list of tracks .*, got 2 lists and 10"):
        read(tmp_path / "two.zip")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InvalidInputError, match=r"expected one.zip to fit into half of the free disk space, 1000 B"):
        read(tmp_path / "one.zip")
    monkeypatch.undo()
    content = bytearray((tmp_path / "one.zip").read_bytes())
    content[200] ^= 0xFF
    (tmp_path / "one.zip").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"one.zip cannot be unpacked|mask"):
        read(tmp_path / "one.zip")
