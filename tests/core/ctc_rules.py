"""The rules of the Cell Tracking Challenge for a folder of results, written from its published conventions.

"Naming and file content conventions", https://celltrackingchallenge.net/datasets: ``maskT.tif`` for every frame T, with
as many digits everywhere, in 16 bits; ``res_track.txt`` with a line "L B E P" for each track: L a unique label, 1 to
65535; B and E the first and the last frame, from 0, in all of which the label is; P the label of the parent, which
ends before B, or 0. The same is what py-ctcmetrics (`Valid`) and traccuracy check.
"""

import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

Line = tuple[int, int, int, int]


def check_result(place: Path, first: int = 0) -> tuple[list[Line], list[set[int]]]:
    """Return the lines of a result that keeps all rules, and the labels of each mask.

    `place` is a folder or an archive; `first` is the number of its first mask.
    """
    files = _files(place)
    names = sorted(name for name in files if name.endswith(".tif"))
    assert set(files) == {*names, "res_track.txt"}
    assert all(re.fullmatch(r"mask\d{3,}\.tif", name) for name in names)
    assert len({len(name) for name in names}) == 1
    assert [int(name[4:-4]) for name in names] == list(range(first, first + len(names)))
    masks = [tifffile.imread(io.BytesIO(files[name])) for name in names]
    assert {mask.dtype for mask in masks} == {np.dtype(np.uint16)}
    assert len({mask.shape for mask in masks}) == 1
    labels = [set(np.unique(mask).tolist()) - {0} for mask in masks]
    lines = _lines(files["res_track.txt"])
    check_tracks(lines, labels, first)
    return lines, labels


def _files(place: Path) -> dict[str, bytes]:
    if place.is_dir():
        return {path.name: path.read_bytes() for path in place.iterdir()}
    with zipfile.ZipFile(place) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _lines(content: bytes) -> list[Line]:
    found = [tuple(map(int, line.split(" "))) for line in content.decode("ascii").splitlines()]
    assert all(len(line) == 4 for line in found)
    return found  # type: ignore[return-value]


def check_tracks(lines: Sequence[Line], labels: Sequence[set[int]], first: int = 0) -> None:
    """Check the list of tracks against the labels of each mask."""
    by_label = {line[0]: line for line in lines}
    assert len(by_label) == len(lines), "a label has several lines"
    expected: list[set[int]] = [set() for _ in labels]
    for label, begin, end, parent in lines:
        assert 1 <= label <= 65535
        assert first <= begin <= end < first + len(labels)
        for t in range(begin, end + 1):
            expected[t - first].add(label)
        assert parent == 0 or (parent in by_label and by_label[parent][2] < begin)
    assert expected == list(labels)
