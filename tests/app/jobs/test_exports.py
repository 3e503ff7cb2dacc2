"""The export as the worker does it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from elephant.config import ConversionParams
from elephant.dataset import convert
from elephant.errors import Cancelled, InvalidInputError
from elephant.progress import NeverCancelled, NoReporter
from elephant_server.errors import StorageError
from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.tasks import ctc_export
from elephant_server.schemas.dataset import CtcBody, MarkedSpotBody


class Control(NeverCancelled):
    """Keeps what is announced."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    job_id = "job"

    def announce(self, **news: Any) -> None:
        self.sizes.append(news["size"])


@pytest.fixture
def context(tmp_path: Path) -> Any:
    with h5py.File(tmp_path / "movie.h5", "w") as file:
        file["t00000/s00/0/cells"] = np.ones((4, 20, 20), np.int16)
        file["t00001/s00/0/cells"] = np.ones((4, 20, 20), np.int16)
    convert(tmp_path / "movie.h5", tmp_path / "datasets" / "a", ConversionParams(), NoReporter(), NeverCancelled())
    return SimpleNamespace(
        datasets=tmp_path / "datasets", exports=tmp_path, feed_publisher=FeedPublisher(ActivityFeed(MemoryStore()))
    )


SPOT = MarkedSpotBody(t=0, pos=(10.0, 10.0, 2.0), covariance=(9.0, 0, 0, 0, 9, 0, 0, 0, 9), value=3)
BODY = CtcBody(dataset_name="a", scales=(1.0, 1.0, 1.0), spots=(SPOT,), t_end=1)


def test_every_mask_is_announced_when_it_is_in_the_file(context: Any, tmp_path: Path) -> None:
    file = tmp_path / "export"
    file.touch()
    control = Control()
    assert ctc_export(context, BODY, control, file.name) == {"size": file.stat().st_size}
    assert len(control.sizes) == 2
    assert 0 < control.sizes[0] < control.sizes[1] < file.stat().st_size


def test_a_full_disk_is_said(context: Any, tmp_path: Path) -> None:
    (tmp_path / "export").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left on device"):
        ctc_export(context, BODY, Control(), "export")


def test_nothing_is_made_where_nobody_waits(context: Any, tmp_path: Path) -> None:
    with pytest.raises(Cancelled, match="nobody waits"):
        ctc_export(context, BODY, Control(), "export")
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("name", ["{outside}", "../outside", "sub/../../outside", "", ".", "..", ".hidden", "a\nb"])
def test_a_message_reaches_no_file_but_of_its_folder(context: Any, tmp_path: Path, name: str) -> None:
    """Whoever can put a message into Redis must not reach what the server's user can."""
    outside = tmp_path / "outside"
    outside.write_text("mine")
    context.exports = tmp_path / "exports"
    context.exports.mkdir()
    with pytest.raises(InvalidInputError, match="name of a file"):
        ctc_export(context, BODY, Control(), name.format(outside=outside))
    assert outside.read_text() == "mine"
