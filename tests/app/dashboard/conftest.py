"""The page's views over a workspace with a small dataset, a model and the curves of two trainings."""

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.dashboard.ground import make_dataset
from elephant.dataset import Dataset
from elephant.training.scalars import ScalarReporter
from elephant_server.main import create_app
from elephant_server.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    port = int(redis_url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    return Settings(workspace=tmp_path, redis_port=port, home=tmp_path, http_threads=16)


@pytest.fixture
def app(settings: Settings) -> Flask:
    return create_app(settings)


@pytest.fixture
def page(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path / "datasets" / "user" / "movie")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "logs" / "user" / "run"
    for _ in range(2):
        reporter = ScalarReporter(folder)
        for step in range(1, 501):
            reporter.progress("step", step, 500, loss=1.0 / step, nll=0.5)
        reporter.close()
    return folder
