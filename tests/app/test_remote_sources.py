"""Movies on other machines, on a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.dataset.http_server import Site, serving
from core.dataset.test_ome_zarr import values, write
from elephant.config import ConversionParams
from elephant.dataset import add
from elephant.io.addresses import RemoteRules, use_rules
from elephant.progress import NeverCancelled
from elephant_server.main import create_app
from elephant_server.settings import Settings


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    use_rules(RemoteRules())  # those of a server of another test may still hold
    with serving(tmp_path / "site") as found:
        yield found
    use_rules(RemoteRules())


@pytest.mark.parametrize(
    ("allowed", "private", "answer"),
    [
        (False, True, "ELEPHANT_ALLOW_REMOTE_SOURCES"),
        (True, False, "ELEPHANT_ALLOW_PRIVATE_ADDRESSES"),
        (True, True, "ready"),
    ],
)
def test_a_dataset_at_an_address_needs_the_settings(
    site: Site, tmp_path: Path, allowed: bool, private: bool, answer: str
) -> None:
    write(tmp_path / "site" / "m.ome.zarr", values())
    add(Path(f"{site.url}/m.ome.zarr"), tmp_path / "datasets" / "d", ConversionParams(), NeverCancelled())
    settings = Settings(workspace=tmp_path, allow_remote_sources=allowed, allow_private_addresses=private)
    client = create_app(settings).test_client()
    found = client.post("/dataset/check", json={"dataset_name": "d", "shape": [3, 4, 20, 30]})
    assert answer in found.get_data(as_text=True)
