"""Going back to an earlier version of a model, by the worker's own code."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import torch

from app.jobs.test_threads import outcome_of
from elephant.models.checkpoint import load_state_dicts
from elephant.models.ensemble import Ensemble
from elephant.models.unet import DetectionNet
from elephant.models.versions import versions
from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.context import make_context
from elephant_server.jobs.records import JobKind, Outcome
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.submit import MODEL_RESTORE
from elephant_server.jobs.tasks import perform
from elephant_server.rabbitmq import Messages, NoBroker
from elephant_server.settings import Settings

TRAINING = """
import sys
from pathlib import Path
from elephant.models.lock import writing
with writing(Path(sys.argv[1]), "a training"):
    print("begun", flush=True)
    sys.stdin.read()
"""


class Lab:
    """A worker, and a model of three versions."""

    def __init__(self, root: Path) -> None:
        settings = Settings(workspace=root)
        self.path = settings.models_dir / "m.pth"
        self.job_store = JobStore(MemoryStore())
        feed = FeedPublisher(ActivityFeed(MemoryStore()))
        self.work = partial(perform, make_context(settings, self.job_store, Messages(NoBroker()), feed))
        model = Ensemble([DetectionNet(2, 0)])
        for value in range(3):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(value)
            model.save(self.path)

    def held(self) -> float:
        return float(next(iter(load_state_dicts(self.path)[0].values())).flatten()[0])

    def restore(self, **body: Any) -> Outcome:
        message = json.dumps({"body": {"model_name": "m.pth", **body}, "file": None})
        return outcome_of(self.job_store, self.work, JobKind.INTERACTIVE, MODEL_RESTORE.name, message)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_version_is_restored_and_that_is_undone(lab: Lab) -> None:
    done = lab.restore(version=1).result
    assert lab.held() == 0
    assert done is not None
    assert done["restored"] == 1
    lab.restore(version=done["before"])
    assert lab.held() == 2


def test_going_to_and_fro_displaces_no_version(lab: Lab) -> None:
    for version, value in ((1, 0), (3, 2), (2, 1), (1, 0), (3, 2)):
        lab.restore(version=version)
        assert lab.held() == value
        assert [kept.number for kept in versions(lab.path)] == [3, 2, 1]


def test_while_the_model_is_trained_it_is_refused(lab: Lab) -> None:
    with subprocess.Popen([sys.executable, "-c", TRAINING, lab.path], stdin=PIPE, stdout=PIPE) as training:
        assert training.stdout is not None
        training.stdout.readline()
        outcome = lab.restore(version=1)
        training.communicate()
    assert "is being trained" in outcome.message
    assert lab.held() == 2


def test_a_version_that_is_not_there_is_refused(lab: Lab) -> None:
    assert "no such version" in lab.restore(version=9).message
    assert lab.held() == 2
