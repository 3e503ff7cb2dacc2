"""Datasets that are made from listed movies, by the worker's own code."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.jobs.test_threads import outcome_of
from core.dataset.bdv import ramp, write_movie
from elephant.dataset import Dataset
from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.context import make_context
from elephant_server.jobs.records import JobKind, Outcome
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.submit import DATASET_MAKE
from elephant_server.jobs.tasks import perform
from elephant_server.rabbitmq import Messages, NoBroker
from elephant_server.settings import Settings

IMAGES = ramp(4, largest=4000)


class Lab:
    """A worker, and a folder whose movies it may read."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "lab"
        self.folder.mkdir()
        settings = Settings(workspace=root / "workspace", movies=str(self.folder))
        self.place = settings.datasets_dir / "made"
        self.job_store = JobStore(MemoryStore())
        feed = FeedPublisher(ActivityFeed(MemoryStore()))
        self.work = partial(perform, make_context(settings, self.job_store, Messages(NoBroker()), feed))

    def make(self, **body: Any) -> Outcome:
        given = {"dataset_name": "made", "folder": str(self.folder), "movie": "m.h5", **body}
        message = json.dumps({"body": given, "file": None})
        return outcome_of(self.job_store, self.work, JobKind.INTERACTIVE, DATASET_MAKE.name, message)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    found = Lab(tmp_path)
    write_movie(found.folder / "m.h5", IMAGES)
    return found


@pytest.mark.parametrize("in_place", [False, True])
def test_a_part_of_a_movie_becomes_a_dataset(lab: Lab, in_place: bool) -> None:
    assert lab.make(in_place=in_place, t_start=1, t_end=2).error is None
    made = Dataset(lab.place)
    assert (made.n_timepoints, made.source is not None and made.source.in_place) == (2, in_place)
    assert (made.read_image(0) == IMAGES[1]).all()
    assert made.source is not None
    assert made.source.movie_path(lab.place) == lab.folder / "m.h5"


@pytest.mark.parametrize("in_place", [False, True])
def test_labels_are_lost_only_where_that_was_said(lab: Lab, in_place: bool) -> None:
    assert lab.make().error is None
    labels = np.ones(IMAGES.shape[1:], dtype=np.uint8)
    Dataset(lab.place).write_labels(1, labels)
    refused = lab.make(in_place=in_place)
    assert (refused.error, "labels would be lost" in refused.message) == ("InvalidInputError", True)
    assert (Dataset(lab.place).read_labels(1) == labels).all()
    assert lab.make(in_place=in_place, overwrite=True).error is None
    assert not Dataset(lab.place).read_labels(1).any()


def test_a_movie_that_was_moved_keeps_its_labels(lab: Lab) -> None:
    assert lab.make(in_place=True).error is None
    labels = np.ones(IMAGES.shape[1:], dtype=np.uint8)
    Dataset(lab.place).write_labels(1, labels)
    (lab.folder / "m.h5").rename(lab.folder / "moved.h5")
    assert lab.make(in_place=True, movie="moved.h5").error is None
    assert (Dataset(lab.place).read_labels(1) == labels).all()
    assert (Dataset(lab.place).read_image(3) == IMAGES[3]).all()


def test_whatever_a_message_says_no_other_movie_is_read(lab: Lab, tmp_path: Path) -> None:
    write_movie(tmp_path / "secret.h5", IMAGES)
    (lab.folder / "link.h5").symlink_to(tmp_path / "secret.h5")
    for folder, movie in (
        (str(tmp_path), "secret.h5"),
        (str(lab.folder), "../secret.h5"),
        (str(lab.folder), "link.h5"),
    ):
        assert lab.make(folder=folder, movie=movie).error == "InvalidInputError"
    assert not lab.place.exists()
