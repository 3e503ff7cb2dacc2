"""Model files that come with a request, on disks without room."""

import gc
import io
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from elephant_server.main import create_app
from elephant_server.settings import Settings

BODY = {"model_name": "flow.pth", "n_keep_axials": 0, "is_3d": True}


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes inside the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# What Werkzeug had begun to write is closed when it is collected, and cannot be written then either.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
# What is larger than half a megabyte is on the disk already while the form is read.
@pytest.mark.parametrize(
    ("n_bytes", "what"), [(300_000, "the uploaded model cannot be stored"), (3_000_000, "the request cannot be stored")]
)
def test_a_model_for_which_there_is_no_room_is_refused_and_nothing_stays(
    tmp_path: Path, n_bytes: int, what: str
) -> None:
    client = create_app(Settings(workspace=tmp_path, redis_port=1)).test_client()
    file = FileStorage(io.BytesIO(bytes(n_bytes)), "flow.pth", "file")
    boundary, form = encode_multipart({"data": json.dumps(BODY), "file": file})
    with small_files(100_000):
        answer = client.post("/flow/reset", data=form, content_type=f"multipart/form-data; boundary={boundary}")
        gc.collect()
    assert answer.status_code == 500
    assert answer.json is not None
    assert answer.json["error"].startswith(f"{what} (File too large): make room")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
