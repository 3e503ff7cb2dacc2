"""Exports of small datasets that the tests make themselves."""

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from elephant.config import ConversionParams, CtcParams
from elephant.dataset import Dataset, convert
from elephant.errors import Cancelled, InvalidInputError
from elephant.export import MarkedNucleus
from elephant.export.ctc import export_ctc
from elephant.progress import NeverCancelled, NoReporter
from elephant.types import Spot

SHAPE = (6, 20, 22)
VOXEL = (2.0, 1.0, 1.0)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    with h5py.File(tmp_path / "movie.h5", "w") as file:
        for t in range(3):
            file[f"t{t:05d}/s00/0/cells"] = np.full(SHAPE, t + 1, np.int16)
    convert(tmp_path / "movie.h5", tmp_path / "movie", ConversionParams(), NoReporter(), NeverCancelled())
    return Dataset(tmp_path / "movie")


def cell(t: int, value: int, covariance: np.ndarray | None = None) -> MarkedNucleus:
    return MarkedNucleus(
        Spot(t, np.array([6.0, 10.0, 11.0]), np.eye(3) * 9 if covariance is None else covariance), value
    )


class WhatIsThere:
    """Keeps the size of the file whenever a mask was reported."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states: list[bytes] = []

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        assert (stage, done, total) == ("mask", len(self.states) + 1, 6)
        self.states.append(self.path.read_bytes())


def test_there_is_a_mask_for_every_timepoint_chosen_and_for_every_other_with_a_spot(
    dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "export.zip"
    reporter = WhatIsThere(path)
    params = CtcParams(voxel_size=VOXEL, t_start=1, t_end=4)
    cells = [cell(1000, 9), cell(1, 1), cell(0, 8), cell(3, 65535)]
    with path.open("w+b") as file:
        export_ctc(dataset, cells, params, file, reporter, NeverCancelled())
    masks = {}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            with archive.open(name) as entry:
                masks[name] = tifffile.imread(entry)
    assert list(masks) == [f"mask{t:04d}.tif" for t in (0, 1, 2, 3, 4, 1000)]
    assert [set(np.unique(mask)) for mask in masks.values()] == [{0, 8}, {0, 1}, {0}, {0, 65535}, {0}, {0, 9}]
    assert {(mask.shape, mask.dtype.name) for mask in masks.values()} == {(SHAPE, "uint16")}
    # What was there when a mask was reported is never changed again, so that it may be sent on at once.
    final = path.read_bytes()
    assert all(final.startswith(state) for state in reporter.states)
    assert len({len(state) for state in reporter.states}) == 6


def test_a_wrong_spot_is_refused_before_anything_is_written(dataset: Dataset, tmp_path: Path) -> None:
    cells = [cell(0, 1), cell(2, 2, np.diag([1.0, -1.0, 1.0]))]
    params = CtcParams(voxel_size=VOXEL, t_end=2)
    with (tmp_path / "export.zip").open("w+b") as file:
        with pytest.raises(InvalidInputError, match="positive definite"):
            export_ctc(dataset, cells, params, file, NoReporter(), NeverCancelled())
        assert file.tell() == 0


def test_an_export_can_be_ended(dataset: Dataset, tmp_path: Path) -> None:
    class Ended:
        def check(self) -> None:
            raise Cancelled

    with (tmp_path / "export.zip").open("w+b") as file, pytest.raises(Cancelled):
        export_ctc(dataset, [], CtcParams(voxel_size=VOXEL, t_end=2), file, NoReporter(), Ended())


def test_the_end_is_not_before_the_start() -> None:
    with pytest.raises(ValueError, match="expected t_end of at least t_start, got t_end 1 and t_start 2"):
        CtcParams(voxel_size=VOXEL, t_start=2, t_end=1)
