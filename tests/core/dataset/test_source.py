"""What a dataset was made from, kept with it."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import make, make_as_the_original_did
from core.dataset.test_crash import run_killed
from elephant.dataset import Dataset, DatasetSource, check_dataset
from elephant.dataset.source import SOURCE_FILE
from elephant.types import VoxelSize


def source_of(folder: Path) -> DatasetSource:
    source = Dataset(folder).source
    assert source is not None
    return source


def test_it_names_the_movie_and_how_values_were_scaled(tmp_path: Path) -> None:
    make(write_movie(tmp_path / "m.h5", ramp(largest=999)), tmp_path / "d", divisor=4)
    source = source_of(tmp_path / "d")
    assert (source.movie, source.divisor) == ("m.h5", 4)
    assert source.movie_path(tmp_path / "d") == tmp_path / "m.h5"


def test_a_movie_in_the_folder_goes_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    make(write_movie(folder / "m.h5", ramp()), folder)
    folder.rename(tmp_path / "moved")
    source = source_of(tmp_path / "moved")
    assert source.folder is None
    assert source.movie_path(tmp_path / "moved") == tmp_path / "moved" / "m.h5"


def test_all_of_it_is_read_back(tmp_path: Path) -> None:
    whole = DatasetSource(
        movie="m.h5",
        folder="/data",
        setup=2,
        setup_name="GFP, angle 0",
        n_setups=4,
        blank_timepoints=(0, 7),
        voxel_size=VoxelSize(2, 0.4, 0.5),
        unit="µm",
        offset=-1,
        factor=655.35,
    )
    whole.write(tmp_path)
    assert DatasetSource.read(tmp_path) == whole
    assert json.loads((tmp_path / SOURCE_FILE).read_text())["voxel_size"] == [2, 0.4, 0.5]


def test_folders_without_one_are_used_as_before(tmp_path: Path) -> None:
    make_as_the_original_did(tmp_path, ramp())
    assert Dataset(tmp_path).source is None
    assert check_dataset(tmp_path) == "ready"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b"{}",
        {"movie": 3},
        {"movie": "m", "voxel_size": [0, 1, 1]},
        {"movie": "m", "factor": 0},
    ],
)
def test_invalid_entries_are_ignored_with_a_warning(
    tmp_path: Path, content: bytes | dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    make(write_movie(tmp_path / "m.h5", ramp()), tmp_path)
    (tmp_path / SOURCE_FILE).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    assert Dataset(tmp_path).source is None
    assert check_dataset(tmp_path) == "ready"
    assert "source.json" in caplog.text


def test_keys_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    (tmp_path / SOURCE_FILE).write_text('{"movie": "m.h5", "lens": "new"}')
    assert DatasetSource.read(tmp_path) == DatasetSource(movie="m.h5")


@pytest.mark.parametrize(("where", "is_new"), [("marker", False), ("swap", True)])
def test_a_killed_conversion_leaves_the_old_one_or_the_new_one(tmp_path: Path, where: str, is_new: bool) -> None:
    folder = tmp_path / "d"
    make(write_movie(tmp_path / "old.h5", ramp(2)), folder)
    run_killed(tmp_path, write_movie(tmp_path / "new.h5", ramp(4, largest=999)), folder, where)
    assert source_of(folder).movie == ("new.h5" if is_new else "old.h5")
