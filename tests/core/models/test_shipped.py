"""The networks of the package elephant-models: their files, and what is built of the package."""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

import elephant_models
from elephant.models.checkpoint import is_finite, load_state_dicts
from elephant.models.unet import DetectionNet, FlowNet

PACKAGE = Path(__file__).parents[3] / "elephant-models"
LARGEST_BYTES = 12_000_000
NAMES = ("detection3d", "detection2d", "flow3d", "flow2d")


def shipped(name: str) -> elephant_models.ShippedNetwork:
    if name not in elephant_models.networks():
        pytest.skip(f"there is no {name} in elephant-models yet")
    return elephant_models.networks()[name]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_and_as_described(name: str) -> None:
    network = shipped(name)
    content = network.path.read_bytes()
    assert len(content) <= LARGEST_BYTES
    assert hashlib.sha256(content).hexdigest() == network.sha256
    assert network.steps > 0
    assert 0 < network.radii[0] < network.radii[1]
    means = network.c_ratio if network.kind == "detection" else network.max_displacement
    assert means is not None
    assert means > 0


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_finite_weights_of_the_network_in_half_precision(name: str) -> None:
    network = shipped(name)
    (weights,) = load_state_dicts(network.path)
    expected = (DetectionNet if network.kind == "detection" else FlowNet)(network.n_dims, 0).state_dict()
    assert {key: value.shape for key, value in weights.items()} == {key: v.shape for key, v in expected.items()}
    assert all(is_finite(value) and value.dtype == torch.float16 for value in weights.values())


def test_each_file_is_described_and_each_described_one_is_there() -> None:
    described = json.loads((elephant_models.FOLDER / "weights.json").read_text())
    assert set(elephant_models.networks()) == set(described)
    assert {path.stem for path in elephant_models.FOLDER.glob("*.pth")} == set(described)


def test_what_is_built_holds_weights_licence_and_card(tmp_path: Path) -> None:
    copied = shutil.copytree(
        PACKAGE, tmp_path / "package", ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
    )
    out = tmp_path / "out"
    build = f"from setuptools import build_meta as b; [b.build_sdist({str(out)!r}), b.build_wheel({str(out)!r})]"
    subprocess.run([sys.executable, "-c", build], cwd=copied, check=True, capture_output=True)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel, tarfile.open(next(out.glob("*.tar.gz"))) as sdist:
        built = {Path(name).name for name in wheel.namelist()}, {Path(name).name for name in sdist.getnames()}
    wanted = {"LICENSE", "card.md", "weights.json", *(f"{name}.pth" for name in elephant_models.networks())}
    assert [wanted - names for names in built] == [set(), set()]


def test_looking_for_networks_loads_neither_pytorch_nor_the_core() -> None:
    code = "import elephant_models as m, sys; m.networks(); print('torch' in sys.modules, 'elephant' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_what_the_image_installs_first_comes_from_elsewhere() -> None:
    root = PACKAGE.parent
    script, folders = (
        root / "script" / "requirements.py",
        [root / name for name in ("elephant-models", "elephant-core", "app")],
    )
    done = subprocess.run([sys.executable, script, *folders], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert {"flask>=3.1", "torch>=2.6", "aiohttp>=3.12"} <= set(lines)
    assert not [line for line in lines if line.startswith("elephant")]
