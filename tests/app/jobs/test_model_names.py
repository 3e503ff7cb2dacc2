"""The model that a request names: one without `.pth` means the one with it, unless it is there as it is named."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from elephant.errors import InvalidInputError
from elephant.models.pretrained import Pretrained
from elephant_server.jobs.context import model_file
from elephant_server.main import create_app
from elephant_server.settings import Settings


@pytest.fixture
def context(tmp_path: Path) -> Any:
    models = tmp_path / "models"
    (models / "user").mkdir(parents=True)
    return SimpleNamespace(models=models, pretrained=Pretrained(models / "pretrained"))


def test_a_request_may_leave_out_the_ending(context: Any) -> None:
    models = context.models.resolve()
    assert model_file(context, "detection") == models / "detection.pth"
    assert model_file(context, "user/detection") == models / "user" / "detection.pth"
    (models / "detection").touch()
    assert model_file(context, "detection") == models / "detection"
    assert model_file(context, "detection.pth") == models / "detection.pth"
    with pytest.raises(InvalidInputError, match="is a folder"):
        model_file(context, "user")
    (models / "user.pth").touch()
    assert model_file(context, "user") == models / "user.pth"


def test_the_ending_leads_nowhere_else(context: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.pth").touch()
    (context.models / "out.pth").symlink_to(tmp_path / "secret.pth")
    with pytest.raises(InvalidInputError, match="inside"):
        model_file(context, "out")
    with pytest.raises(InvalidInputError, match="pretrained"):
        model_file(context, "pretrained/versatile3d")


def test_a_download_may_leave_it_out_too(context: Any, tmp_path: Path) -> None:
    with create_app(Settings(workspace=tmp_path, redis_port=1)).test_client() as client:
        (context.models / "user" / "a.pth").write_bytes(b"with")

        def download(name: str) -> tuple[int, bytes]:
            with client.post("/download/model", json={"model_name": name}) as answer:
                return answer.status_code, answer.data

        assert download("user/a") == download("user/a.pth") == (200, b"with")
        (context.models / "user" / "a").write_bytes(b"without")
        assert download("user/a") == (200, b"without")
        assert download("user") == (204, b"")
        assert download("b") == (204, b"")
