"""Training and prediction on a dataset that reads its images from another machine."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from core.dataset.http_server import Site, serving
from core.dataset.test_ome_zarr import write
from core.workflows.methods import detect, train
from core.workflows.test_detection import detection_params, make_dataset, replaced, start, training_params, weights
from core.workflows.test_read_in_place import SHAPE, AfterStep
from elephant.config import ConversionParams
from elephant.dataset import Dataset, add
from elephant.errors import DatasetError
from elephant.io import http_objects, object_stamps
from elephant.io.addresses import RemoteRules, use_rules
from elephant.methods.work import ModelWork
from elephant.models.ensemble import ModelCache
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl
from elephant.types import Spot


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(object_stamps, "_STAMP_S", -1.0)  # looked at after each read
    monkeypatch.setattr(http_objects, "_PAUSES_S", (0.0, 0.0, 0.0))
    use_rules(RemoteRules(cache=tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    with serving(tmp_path / "site") as found:
        yield found
    use_rules(RemoteRules())


@pytest.fixture
def works(site: Site, tmp_path: Path) -> tuple[ModelWork, ModelWork, list[Spot]]:
    """Give the work on a copy, on the same movie at an address, and the spots."""
    copied, spots = make_dataset(tmp_path / "datasets" / "copied", SHAPE)
    images = np.stack([copied.read_image(t) for t in range(copied.n_timepoints)])
    write(site.folder / "m.ome.zarr", images, "tzyx", chunks=(1, 4, 16, 16), shards=(1, 8, 32, 48))
    add(Path(f"{site.url}/m.ome.zarr"), tmp_path / "datasets" / "d", ConversionParams(), NeverCancelled())
    of_copy = ModelWork(copied, tmp_path / "a.pth", ModelCache(torch.device("cpu")), NoReporter(), NeverCancelled())
    remote = Dataset(tmp_path / "datasets" / "d")
    return of_copy, replaced(of_copy, dataset=remote, model_path=tmp_path / "b.pth"), spots


def test_the_model_and_what_it_finds_are_the_same(works: tuple[ModelWork, ModelWork, list[Spot]]) -> None:
    *each, spots = works
    found = []
    for work in each:
        start(work)
        train(work, spots, training_params(work, n_epochs=1), FixedControl(5e-3, 2), lambda: None, cache_bytes=0)
        found.append([spot.pos.tolist() for spot in detect(work, 1, detection_params(3))])
    assert found[0] == found[1]
    np.testing.assert_array_equal(weights(each[0].model_path), weights(each[1].model_path))


def test_a_source_that_goes_ends_the_training_and_leaves_the_model_as_it_was(
    site: Site, works: tuple[ModelWork, ModelWork, list[Spot]]
) -> None:
    work = replaced(works[1], reporter=AfterStep(2, lambda: shutil.rmtree(site.folder / "m.ome.zarr")))
    start(work)
    before = work.model_path.read_bytes()
    with pytest.raises(DatasetError, match=rf"the movie {site.url}/m.ome.zarr is gone, and the dataset d reads"):
        train(work, works[2], training_params(work), FixedControl(5e-3, 4), lambda: None, 0)
    assert work.model_path.read_bytes() == before


def test_a_server_that_fails_ends_the_training_and_leaves_the_model_as_it_was(
    site: Site, works: tuple[ModelWork, ModelWork, list[Spot]]
) -> None:
    def fail() -> None:
        site.misbehave = lambda handler: handler.answer(500, b"") or True

    work = replaced(works[1], reporter=AfterStep(2, fail))
    start(work)
    before = work.model_path.read_bytes()
    with pytest.raises(DatasetError, match=r"HTTP 500, 4 times"):
        train(work, works[2], training_params(work), FixedControl(5e-3, 4), lambda: None, 0)
    assert work.model_path.read_bytes() == before
