"""What a job is told of the dataset that its request is about."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from app.dashboard.ground import make_dataset
from elephant.dataset import DatasetSource
from elephant.types import VoxelSize
from elephant_server.jobs.context import WorkerContext, open_dataset
from elephant_server.schemas.detection import SegResetBody, SegUpdateBody
from elephant_server.schemas.fields import SpotBody

KNOWN = VoxelSize(2, 0.5, 0.5)


@pytest.fixture
def context(tmp_path: Path) -> WorkerContext:
    """Return a worker's context in which the dataset ``d`` has a voxel size."""
    make_dataset(tmp_path / "d")
    DatasetSource(movie="m.h5", voxel_size=KNOWN, unit="µm").write(tmp_path / "d")
    return cast("WorkerContext", SimpleNamespace(datasets=tmp_path))


@pytest.mark.parametrize(
    ("asked", "is_said"), [(None, False), (KNOWN, False), (VoxelSize(2, 0.5, 0.504), False), (VoxelSize(1, 1, 1), True)]
)
def test_another_voxel_size_than_the_datasets_is_a_warning(
    context: WorkerContext, caplog: pytest.LogCaptureFixture, asked: VoxelSize | None, is_said: bool
) -> None:
    open_dataset(context, "d", is_3d=True, voxel_size=asked)
    said = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(said) == is_said
    assert not is_said or "the voxel size of d is 0.5 x 0.5 x 2 µm (X, Y, Z), but 1 x 1 x 1 (X, Y, Z)" in said[0]


def test_a_request_states_its_voxel_size() -> None:
    told = {"dataset_name": "d", "scales": (0.5, 0.5, 2.0)}
    spot = SpotBody(t=0, pos=(0, 0, 0), covariance=(1, 0, 0, 0, 1, 0, 0, 0, 1))
    assert SegUpdateBody.model_validate({**told, "spots": (spot,)}).stated_voxel_size == KNOWN
    assert SegUpdateBody.model_validate({**told, "reset": True}).stated_voxel_size is None
    assert SegResetBody.model_validate({**told, "model_name": "m"}).stated_voxel_size is None
