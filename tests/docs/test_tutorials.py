"""What the pages tell a new user to do, done as it stands there."""

import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import geff
import numpy as np
import pytest

import elephant
from elephant.dataset import Dataset
from elephant.lineages import read_lineage
from elephant.simulation import preset, simulate
from elephant.types import Spot

ROOT = Path(__file__).parents[2]
TIFF_TO_TRACKS = ROOT / "docs" / "tutorials" / "tiff-to-tracks.md"
SPOTS_TO_LINEAGES = ROOT / "docs" / "tutorials" / "spots-to-lineages.md"
LOOK = ROOT / "docs" / "how-to" / "look-at-tracks.md"


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What makes the pictures of the pages, and plays tutorials for it."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    import _pictures.story

    return _pictures.story


@pytest.mark.timeout(900)  # it trains twice, which takes minutes on a slow and busy processor
def test_a_tiff_of_two_channels_becomes_tracks_in_five_commands(story: ModuleType, tmp_path: Path) -> None:
    commands = [line for line in TIFF_TO_TRACKS.read_text("utf-8").splitlines() if line.startswith("elephant ")]
    assert len(commands) == 5
    story.play(tmp_path, TIFF_TO_TRACKS)
    graph, metadata = geff.read(tmp_path / "tracks.geff", backend="networkx")
    assert metadata.directed
    assert [axis.name for axis in metadata.axes or ()] == ["t", "z", "y", "x"]
    frames = list(simulate(preset("demo", shape=(24, 80, 80), nuclei=12, timepoints=3, seed=1)))
    true = [nucleus.spot for frame in frames for nucleus in frame.nuclei]
    assert len({data["t"] for _, data in graph.nodes(data=True)}) == len(frames)
    found = elephant.evaluate(tmp_path / "found.json", true, distance=3)
    assert found.spots.f1 > 0.7
    assert graph.number_of_edges() > len(true) / 3


@pytest.mark.timeout(600)  # it simulates and tracks, which takes a minute on a slow and busy processor
def test_spots_become_lineages_that_are_kept_and_written_again(story: ModuleType, tmp_path: Path) -> None:
    story.play(tmp_path, SPOTS_TO_LINEAGES)
    first, again = (geff.read(tmp_path / name, backend="networkx")[0] for name in ("tracks.geff", "corrected.geff"))
    assert first.number_of_nodes() == again.number_of_nodes() > 1000
    assert set(first.edges) == set(again.edges)
    lineage = read_lineage(Dataset(tmp_path / "workspace" / "datasets" / "movie"))
    assert lineage.version == 2
    assert lineage.n_divisions > 30
    assert lineage.doubts()


def test_the_script_for_napari_shows_image_nuclei_and_tracks(
    story: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Napari itself takes a screen: here, what it is given is compared with the files."""
    shown: dict[str, tuple[Any, dict[str, Any]]] = {}

    class Viewer:
        def __init__(self, **_: Any) -> None: ...

        def __getattr__(self, name: str) -> Any:
            return lambda data, **options: shown.update({name: (data, options)})

    napari = ModuleType("napari")
    napari.Viewer, napari.run = Viewer, lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "napari", napari)
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 999, (2, 4, 16, 16), dtype=np.uint16)
    dataset = elephant.open_dataset(image, "workspace/datasets/movie", voxel_size=(2, 0.5, 0.5), quiet=True)
    spots = [Spot(t, np.array([4.0, 4, 4 + t]), np.eye(3)) for t in range(2)]
    tracks = elephant.link([[spot] for spot in spots], max_distance=3, quiet=True)
    elephant.export_tracks(tracks, dataset, "tracks.csv", format="napari", quiet=True)
    Path("look.py").write_text(story.files_of(LOOK)["look.py"], "utf-8")
    runpy.run_path("look.py")
    np.testing.assert_array_equal(shown["add_image"][0][...], image)
    assert shown["add_image"][1]["scale"] == (1, 2, 0.5, 0.5)
    np.testing.assert_allclose(shown["add_points"][0], [[0, 4, 4, 4], [1, 4, 4, 5]])
    np.testing.assert_allclose(shown["add_points"][1]["size"], 2)
    np.testing.assert_allclose(shown["add_tracks"][0], [[1, 0, 4, 4, 4], [1, 1, 4, 4, 5]])
    assert shown["add_tracks"][1]["graph"] == {}
