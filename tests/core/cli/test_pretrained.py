"""Commands that use the networks of the package elephant-models."""

from pathlib import Path

import pytest
import torch

from core.cli.shell import Shell
from core.shipping import ship, uninstall
from elephant.models.unet import DetectionNet, FlowNet

SCALES = ["--voxel-size", "0.5", "0.5", "2"]


def test_nuclei_are_found_before_anything_is_annotated(
    dataset: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = ship(monkeypatch, tmp_path, DetectionNet, 3)
    args = ["-t", "0", "--p-thresh", "0.3", "--device", "cpu", "--no-auto-scale"]
    found = shell("predict", dataset, *SCALES, *args, "-o", "found.json")
    assert found.status == 0
    assert "with the pretrained network detection3d.pth of elephant-models" in found.err
    assert {path.name for path in network.path.parent.iterdir()} == {"detection3d.pth", "found.json"}
    shell("models", "import", network.path, "./copy.pth")
    shell("predict", dataset, *SCALES, *args, "--model", "./copy.pth", "-o", "same.json")
    assert (shell.folder / "same.json").read_bytes() == (shell.folder / "found.json").read_bytes()
    missing = shell("predict", dataset, *SCALES, "--model", "./none.pth", "-o", "x.json")
    assert missing.status == 1
    assert "without --model, the pretrained network finds the nuclei" in missing.err
    uninstall(monkeypatch)
    without = shell("predict", dataset, *SCALES, "-o", "x.json")
    assert without.status == 1
    assert "there is no pretrained detection network for 3D: install elephant-models" in without.err


def test_nuclei_are_linked_before_any_link_is_made(
    dataset: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(monkeypatch, tmp_path, FlowNet, 3)
    (shell.folder / "s.csv").write_text("t,x,y,z,radius\n1,8,8,8,3\n")
    done = shell(
        "link", dataset, "--spots", "s.csv", "--pretrained", *SCALES, "-o", "linked.json", "-q", "--device", "cpu"
    )
    assert done.status == 0
    assert "earlier" in (shell.folder / "linked.json").read_text()
    both = shell("link", dataset, "--spots", "s.csv", "--pretrained", "--model", "a.pth", "-o", "x.json")
    assert both.status == 2
    assert "leave out one" in both.err


def test_a_training_without_a_model_starts_from_the_shipped_network(
    dataset: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = ship(monkeypatch, tmp_path, DetectionNet, 3)
    (shell.folder / "s.csv").write_text("t,x,y,z,radius,tag\n0,8,8,8,3,tp\n")
    train = ["train", dataset, "--spots", "s.csv", *SCALES, "--n-epochs", "0", "--device", "cpu"]
    done = shell(*train, "--model", "./new.pth")
    assert "started anew from the pretrained model detection3d.pth of elephant-models" in done.err
    shipped = torch.load(network.path, weights_only=True)
    made = torch.load(shell.folder / "new.pth", weights_only=True)
    assert all(torch.equal(made[key], value.float()) for key, value in shipped.items())
    assert shell(*train, "--model", "./raw.pth", "--start", "scratch").status == 0
    raw = torch.load(shell.folder / "raw.pth", weights_only=True)
    assert not torch.equal(raw["out_conv.weight"], made["out_conv.weight"])
