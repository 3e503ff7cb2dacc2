"""A message is off its queue for good while its job runs, however long that takes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from elephant_server.jobs.broker import Post
from elephant_server.settings import Settings
from stack.running import wait_until

WORKER = """
import sys, time
from pathlib import Path
from elephant_server.jobs.broker import make_celery, register
from elephant_server.settings import get_settings

def work(job_id, folder):
    Path(folder, "begun").write_text(job_id)
    while not Path(folder, "end").exists():
        time.sleep(0.02)
    Path(folder, "ended").touch()

app = make_celery(get_settings())
register(app, "wait", work)
app.worker_main(["worker", "--pool=solo", "-Q", "training", "--without-gossip", "--without-mingle", "-l", "ERROR"])
"""


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(redis_port=int(redis_url.rsplit(":", 1)[1].partition("/")[0]))


@pytest.fixture
def _worker(settings: Settings, tmp_path: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER], env=settings.as_environment(), cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    yield
    process.kill()
    process.wait()


@pytest.mark.usefixtures("_worker")
def test_nothing_is_delivered_again_while_a_job_runs(settings: Settings, tmp_path: Path) -> None:
    Post(settings)("wait", "a", str(tmp_path), "training")
    wait_until((tmp_path / "begun").exists, 60, "the job to begin")
    with redis.Redis.from_url(settings.redis_broker_url) as broker:
        # What stands here is put back into its queue by whichever worker looks next, once it is old enough.
        assert broker.hlen("unacked") == 0
        assert broker.llen("training") == 0
    (tmp_path / "end").touch()
    wait_until((tmp_path / "ended").exists, 60, "the job to end")
