"""The example method: a difference of Gaussians, by the command line, from Python and over HTTP."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

import elephant
from core.cli.shell import Done, Shell
from core.packages import install
from stack.running import RunningServer, settings_of

VOXEL = (2.0, 1.0, 1.0)
# Centres in voxels, Z, Y, X, of each timepoint; balls of a radius of 4.
TRUE = [[(5, 10, 12), (8, 30, 28)], [(6, 12, 30)]]
RADIUS = 4.0
OPTIONS = ("--method", "dog", "--param", f"radius={RADIUS:g}")


def movie() -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (14, 40, 42)), indexing="ij"), axis=-1) * VOXEL
    frames = []
    for centres in TRUE:
        distances = [np.linalg.norm(grid - np.array(centre) * VOXEL, axis=-1) for centre in centres]
        frames.append((np.min(distances, axis=0) < RADIUS) * 200 + 20)
    return np.stack(frames).astype(np.uint8)


def voxels_of(positions: list[Any]) -> set[tuple[int, ...]]:
    """Return positions, physical, Z, Y, X, as whole voxels."""
    return {tuple(np.rint(np.array(pos) / VOXEL).astype(int).tolist()) for pos in positions}


@pytest.fixture
def dog(installed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed("elephant-dog")))


@pytest.fixture
def predict(shell: Shell) -> Callable[..., Done]:
    """Give what finds the nuclei of the movie."""
    elephant.open_dataset(movie(), shell.folder / "m", voxel_size=VOXEL, quiet=True)
    return lambda *args: shell("predict", "m", *args)


@pytest.mark.usefixtures("dog")
def test_the_command_line_finds_nuclei_without_a_model(predict: Callable[..., Done]) -> None:
    done = predict(*OPTIONS, "--json")
    assert (done.status, done.err) == (0, "")
    spots = done.json["spots"]
    for t, centres in enumerate(TRUE):
        assert voxels_of([spot["pos"][::-1] for spot in spots if spot["t"] == t]) == set(centres)
    assert {spot["covariance"][0] for spot in spots} == {RADIUS**2}
    assert all(0 < spot["quality"] <= 1 for spot in spots)


@pytest.mark.usefixtures("dog")
def test_a_box_is_searched_alone_and_its_nuclei_are_where_they_are(predict: Callable[..., Done]) -> None:
    done = predict(*OPTIONS, "--json", "-t", "0", "--crop-box", 16, 18, 0, 26, 22, 14)
    assert voxels_of([spot["pos"][::-1] for spot in done.json["spots"]]) == {TRUE[0][1]}


@pytest.mark.usefixtures("dog")
def test_python_finds_them_and_links_them() -> None:
    found = elephant.detect(movie(), "dog", voxel_size=VOXEL, radius=RADIUS, quiet=True)
    assert {t: voxels_of([spot.pos for spot in spots]) for t, spots in found.items()} == dict(enumerate(map(set, TRUE)))
    assert len(elephant.link(found, max_distance=100).spots) == 3


@pytest.mark.usefixtures("dog")
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--method", "cat"), "expected a method that is installed (detection, dog), got cat"),
        (("--method", "dog", "--param", "radius=-1"), "radius: input should be greater than 0, got -1"),
        (("--method", "dog", "--param", "radius=wide"), "got 'wide'"),
        (("--method", "dog", "--param", "radios=1"), "did you mean radius?"),
        (("--method", "dog", "--param", "radius"), "expected NAME=VALUE, got 'radius'"),
        (("--method", "dog", "--p-thresh", "0.4"), "--p-thresh: it has no effect with --method dog"),
        (("--method", "dog", "--output-prediction"), "--output-prediction: it has no effect with --method dog"),
        (("--method", "dog", "--model", "m.pth"), "for another package: leave out one"),
        (("--model", "m.pth", "--param", "radius=1"), "--param: expected --method"),
        (("--param", "radius=1"), "--param: expected --method"),
    ],
)
def test_what_makes_no_sense_is_refused(args: tuple[str, ...], words: str, predict: Callable[..., Done]) -> None:
    done = predict(*args, "--json")
    assert done.status in (1, 2)
    assert done.out == ""
    assert words in done.err
    assert "Traceback" not in done.err


DETECTOR = """
import numpy as np
from elephant.methods.base import Detector
from elephant.types import DetectedSpot

class Odd(Detector):
    def detect(self, image, voxel_size):
        assert image.dtype == np.float32 and 0 <= image.min() <= image.max() <= 1
"""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("        raise RuntimeError('boom')\n", "the method odd of the package visitor failed (RuntimeError: boom)"),
        ("        raise SystemExit\n", "the method odd of the package visitor failed (SystemExit)"),
        ("        return None\n", "failed (TypeError"),
        ("        return [3]\n", "expected nuclei of the type elephant.types.DetectedSpot, got 3"),
        ("        return [DetectedSpot.ball((1, np.nan, 1), 1)]\n", "position of three finite numbers"),
        ("        return [DetectedSpot.ball((1, 1, 1), 0)]\n", "expected a positive definite covariance"),
        ("        return [DetectedSpot.ball((1, 1, 1), 1, 2)]\n", "expected a quality from 0 to 1, got 2"),
        ("    detect.__isabstractmethod__ = True\n", "Odd does not define detect"),
        ("import nothing_of_this_name\n", "cannot be loaded (ModuleNotFoundError"),
        ("Odd = 3\n", "should be a subclass of elephant.methods.base.Detector"),
    ],
)
def test_what_fails_names_the_package(
    more: str, words: str, predict: Callable[..., Done], shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(shell.folder, DETECTOR + more, "[elephant.methods]\nodd = visitor:Odd\n", monkeypatch)
    done = predict("--method", "odd", "-o", "found.json")
    assert (done.status, done.out) == (1, "")
    assert words in done.err.splitlines()[-1]
    assert "the package visitor" in done.err
    sys.modules.pop("visitor", None)


def test_the_server_finds_nuclei_by_it(installed: Callable[[str], Path], tmp_path: Path) -> None:
    values = settings_of(tmp_path)
    elephant.open_dataset(movie(), Path(values["ELEPHANT_WORKSPACE"]) / "datasets" / "m", voxel_size=VOXEL, quiet=True)
    variables = values | {"PYTHONPATH": str(installed("elephant-dog"))}
    server = RunningServer.start(tmp_path, values, variables=variables, module="elephant_server.embedded")

    def ask(**changes: Any) -> requests.Response:
        body = {"dataset_name": "m", "model_name": "none.pth", "timepoint": 0, "scales": VOXEL[::-1], "method": "dog"}
        return requests.post(f"{server.base_url}seg/predict", json=body | changes, timeout=60)

    try:
        server.wait_until_serving()
        found = ask(method_params={"radius": RADIUS}).json()
        assert found["completed"]
        assert voxels_of([spot["pos"][::-1] for spot in found["spots"]]) == set(TRUE[0])
        assert not (Path(values["ELEPHANT_WORKSPACE"]) / "models" / "none.pth").exists()
        refused = ask(method="cat")
        assert refused.status_code == 400
        assert "expected a method that is installed (detection, dog), got cat" in refused.json()["error"]
        assert "did you mean radius?" in ask(method_params={"radios": 1}).json()["error"]
        assert ask(method_params={"radius": 0}).status_code == 400
        alone = ask(method=None, method_params={"radius": 1})
        assert alone.status_code == 400
        assert "expected `method`" in alone.json()["error"]
        assert ask(dataset_name="absent").status_code == 404
    finally:
        server.stop()
