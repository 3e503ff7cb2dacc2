"""Training and prediction on a dataset that reads its images from the movie in place."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.dataset.test_in_place import counted_reads, sparse
from core.workflows.methods import detect, train
from core.workflows.test_detection import (
    detection_params,
    make_dataset,
    replaced,
    start,
    training_params,
    weights,
)
from elephant.config import ConversionParams
from elephant.dataset import Dataset, add
from elephant.errors import DatasetError
from elephant.methods.work import ModelWork
from elephant.models.ensemble import ModelCache
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl
from elephant.types import Spot

SHAPE = (8, 32, 36)


class AfterStep:
    """Does something after a step of a training."""

    def __init__(self, step: int, act: Callable[[], None]) -> None:
        self._step, self._act = step, act

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        if stage == "step" and done == self._step:
            self._act()


@pytest.fixture
def copied(tmp_path: Path) -> tuple[ModelWork, list[Spot]]:
    dataset, spots = make_dataset(tmp_path / "datasets" / "copied", SHAPE)
    work = ModelWork(
        dataset, tmp_path / "models" / "a.pth", ModelCache(torch.device("cpu")), NoReporter(), NeverCancelled()
    )
    return work, spots


@pytest.fixture
def in_place(copied: tuple[ModelWork, list[Spot]], tmp_path: Path) -> ModelWork:
    movie = (tmp_path / "datasets" / "copied" / "movie.h5").rename(tmp_path / "movie.h5")
    add(movie, tmp_path / "datasets" / "d", ConversionParams(), NeverCancelled())
    return replaced(copied[0], dataset=Dataset(tmp_path / "datasets" / "d"), model_path=tmp_path / "models" / "b.pth")


def test_the_model_and_what_it_finds_are_the_same(copied: tuple[ModelWork, list[Spot]], in_place: ModelWork) -> None:
    work, spots = copied
    found = []
    for each in (work, in_place):
        start(each)
        train(each, spots, training_params(each, n_epochs=1), FixedControl(5e-3, 2), lambda: None, cache_bytes=0)
        found.append(detect(each, 1, detection_params(3)))
    np.testing.assert_array_equal(weights(work.model_path), weights(in_place.model_path))
    assert [spot.pos.tolist() for spot in found[0]] == [spot.pos.tolist() for spot in found[1]]
    np.testing.assert_array_equal(work.dataset.read_probabilities(1), in_place.dataset.read_probabilities(1))


def test_a_timepoint_of_a_movie_of_100_gb_is_predicted_and_no_other_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (100_000, 8, 256, 256)  # 105 GB of uint16
    add(
        sparse(tmp_path / "m.zarr", shape, written=(57, 4, 100, 100)),
        tmp_path / "d",
        ConversionParams(),
        NeverCancelled(),
    )
    dataset = Dataset(tmp_path / "d")
    work = ModelWork(dataset, tmp_path / "m.pth", ModelCache(torch.device("cpu")), NoReporter(), NeverCancelled())
    start(work)
    read = counted_reads(monkeypatch)
    detect(work, 57, detection_params(3))
    assert read == [2 * 8 * 256 * 256]
    files = [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert len(files) < 20
    assert sum(path.stat().st_size for path in files) < 5 << 20


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_a_movie_that_goes_ends_the_training_and_leaves_the_model_as_it_was(
    cache_bytes: int, copied: tuple[ModelWork, list[Spot]], in_place: ModelWork
) -> None:
    movie = in_place.dataset.source.movie_path(in_place.dataset.folder)  # type: ignore[union-attr]
    work = replaced(in_place, reporter=AfterStep(2, movie.unlink))
    start(work)
    before = work.model_path.read_bytes()
    with pytest.raises(DatasetError, match=r"the movie .*movie\.h5 is gone, and the dataset d reads"):
        train(work, copied[1], training_params(work), FixedControl(5e-3, 4), lambda: None, cache_bytes)
    assert work.model_path.read_bytes() == before
