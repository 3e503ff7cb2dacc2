"""What importing the package does, and what it leaves alone."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from elephant.annotations.reading import read_annotations
from elephant.config import AnnotationParams
from elephant.dataset.readers import reader_of_movie
from elephant.errors import PluginError
from elephant.export.output import exporter_named
from elephant.tracking.linkers.registry import linker_named


@pytest.mark.parametrize(
    ("given", "found"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")]
)
def test_threads_release_their_cores_unless_set_otherwise(given: dict[str, str], found: str) -> None:
    named = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    variables = {name: value for name, value in os.environ.items() if name not in named} | given
    code = "import elephant, os, sys; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [found, "False"]


def _open_movie(folder: Path) -> None:
    (folder / "movie.tif").write_bytes(b"II*\0")
    reader_of_movie(folder / "movie.tif")


def _read_spots(folder: Path) -> None:
    (folder / "spots.csv").write_text("t,x,y,z,radius\n0,1,1,1,1\n")
    read_annotations(folder / "spots.csv", AnnotationParams(spots_format="table"))


@pytest.mark.parametrize(
    "use", [_open_movie, _read_spots, lambda _: exporter_named("geff"), lambda _: linker_named("global", {})]
)
def test_an_installation_without_entry_points_is_named(
    use: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elephant.plugins.entry_points", lambda group: [])
    with pytest.raises(PluginError, match="installation of elephant-core is broken or older than its code"):
        use(tmp_path)
