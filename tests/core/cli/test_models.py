"""Listing, describing and importing models."""

import os
from pathlib import Path

import pytest
import torch

from core.cli.shell import Shell
from core.shipping import ship, uninstall
from elephant.models.checkpoint import load_state_dicts
from elephant.models.inspect import NetworkKind, recognise
from elephant.models.provenance import ProvenanceEntry
from elephant.models.unet import DetectionNet, FlowNet
from elephant.models.versions import ModelFile

NETWORKS = [("detection", 3, DetectionNet), ("detection", 2, DetectionNet), ("flow", 3, FlowNet), ("flow", 2, FlowNet)]


@pytest.fixture
def models(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shell.folder / "ws" / "models"
    (folder / "user").mkdir(parents=True)
    monkeypatch.setenv("ELEPHANT_WORKSPACE", str(shell.folder / "ws"))
    flat = DetectionNet(2, 0).state_dict()
    torch.save([flat, flat], folder / "user" / "pair.pth")
    torch.save(FlowNet(2, 0).state_dict(), folder / "flow.pth")
    (folder / "torn.pth").write_bytes((folder / "flow.pth").read_bytes()[:5000])
    (folder / ".hidden.pth").write_bytes(b"")
    return folder


@pytest.mark.parametrize(("name", "n_dims", "network"), NETWORKS)
@pytest.mark.parametrize("n_keep_axials", [0, 3])
def test_every_network_is_recognised(
    name: str, n_dims: int, network: type[DetectionNet] | type[FlowNet], n_keep_axials: int
) -> None:
    assert recognise(network(n_dims, n_keep_axials).state_dict()) == NetworkKind(name, n_dims)


def test_others_are_not() -> None:
    weights = DetectionNet(2, 0).state_dict()
    assert recognise(torch.nn.Linear(2, 2).state_dict()) is None
    assert recognise({**weights, "more": torch.zeros(1)}) is None
    weights.popitem()
    assert recognise(weights) is None


def test_the_shipped_networks_are_listed(
    models: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = ship(monkeypatch, tmp_path, FlowNet, 2)
    (found,) = shell("models", "list", "--json").json["pretrained"]
    assert found["model"] == str(network.path)
    assert {"kind": "flow", "n_dims": 2, "steps": 1, "seed": 0, "max_displacement": 80.0}.items() <= found.items()
    table = shell("models", "list").out.partition("\n\n")[2]
    heading, row = table.splitlines()
    assert heading.split()[:3] == ["pretrained", "kind", "axes"]
    assert row.startswith("flow2d      flow  2D    1 crops of simulated movies  radius 3 to 15, max_displacement 80  ")
    assert row.endswith(network.sha256[:12])
    uninstall(monkeypatch)
    assert shell("models", "list", "--json").json["pretrained"] == []


def test_list(models: Path, shell: Shell) -> None:
    found = {model["name"]: model for model in shell("models", "list", "--json").json["models"]}
    assert list(found) == ["flow.pth", "torn.pth", "user/pair.pth"]
    assert {"kind": "detection", "n_dims": 2, "members": 2, "error": None}.items() <= found["user/pair.pth"].items()
    assert found["flow.pth"]["bytes"] == (models / "flow.pth").stat().st_size
    assert found["torn.pth"]["kind"] is None
    assert "damaged" in found["torn.pth"]["error"]
    lines = shell("models", "list").out.splitlines()
    assert lines[0].split()[:3] == ["model", "kind", "axes"]
    assert lines[1].split()[:4] == ["flow.pth", "flow", "2D", "1"]
    assert lines[2].split()[:2] == ["torn.pth", "damaged"]


def test_list_without_models_or_a_workspace(shell: Shell) -> None:
    assert shell("models", "list").status == 1
    (shell.folder / "workspace").mkdir()
    assert shell("models", "list", "--json").json["models"] == []


def test_info(models: Path, shell: Shell) -> None:
    found = shell("models", "info", "user/pair.pth", "--json").json
    n_parameters = sum(value.numel() for value in DetectionNet(2, 0).state_dict().values())
    assert {"kind": "detection", "members": 2, "parameters": n_parameters, "finite": True}.items() <= found.items()
    assert "all finite" in shell("models", "info", "flow.pth").out
    assert shell("models", "info", "torn.pth").status == 1


def test_import(models: Path, shell: Shell) -> None:
    source = shell.folder / "theirs.pth"
    weights = FlowNet(2, 0).state_dict()
    torch.save(weights, source)
    assert shell("models", "import", source).status == 0
    taken = shell("models", "import", source, "lab/ours.pth", "--json").json
    assert (taken["kind"], taken["holds"]) == ("flow", "imported from theirs.pth")
    (loaded,) = load_state_dicts(models / "lab" / "ours.pth")
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())
    again = shell("models", "import", source)
    assert (again.status, "give --overwrite" in again.err) == (1, True)
    assert shell("models", "import", source, "--overwrite").status == 0


def bias(path: Path) -> float:
    (weights,) = load_state_dicts(path)
    return float(weights["out_conv.bias"][0])


def test_restore(models: Path, shell: Shell) -> None:
    for value in (1, 2, 3):
        weights = FlowNet(2, 0).state_dict()
        weights["out_conv.bias"].fill_(value)
        torch.save(weights, shell.folder / "new.pth")
        assert shell("models", "import", "new.pth", "flow.pth", "--overwrite").status == 0
    found = {model["name"]: model for model in shell("models", "list", "--json").json["models"]}
    assert [version["number"] for version in found["flow.pth"]["generations"]] == [3, 2, 1]
    assert found["torn.pth"]["generations"] == []
    assert shell("models", "list").out.splitlines()[1].split()[-1] == "3"
    assert "    3  saved " in shell("models", "info", "flow.pth").out

    assert shell("models", "restore", "flow.pth", "--json").json["restored"] == 3
    assert bias(models / "flow.pth") == 2
    assert "version 2" in shell("models", "restore", "flow.pth", "--generation", "2").out
    assert bias(models / "flow.pth") == 1
    done = shell("models", "restore", "flow.pth", "--generation", "99")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "no such version" in done.err
    (models / "flow.pth").unlink()
    assert shell("models", "restore", "flow.pth").status == 0
    assert bias(models / "flow.pth") == 3  # the newest that was kept: what a restore brought back is kept only once


def test_what_a_model_was_trained_on_is_shown(models: Path, shell: Shell) -> None:
    path, weights = models / "flow.pth", [FlowNet(2, 0).state_dict()]
    assert {"holds": None, "history": []}.items() <= shell("models", "info", "flow.pth", "--json").json.items()
    assert "not known" in shell("models", "info", "flow.pth").out
    for name in ("movie-a", "movie-b"):
        entry = ProvenanceEntry(
            what="training", dataset=name, timepoints=(0, 3), annotated="links", n_annotations=9, lr=1e-4
        )
        ModelFile(path).save(weights, entry.model_copy(update={"epochs": 20, "steps": 40, "loss": 0.03141}))
    assert shell("models", "restore", "flow.pth", "--version", "2").status == 0

    found = shell("models", "info", "flow.pth", "--json").json
    assert found["holds"] == "trained on movie-a: timepoints 0, 3 · 9 links · 20 epochs · loss 0.0314"
    shown = [(entry["what"], entry["dataset"], entry["before"], entry["is_in"]) for entry in found["history"]]
    assert shown == [
        ("restored", None, 3, False),
        ("training", "movie-b", 2, False),
        ("training", "movie-a", 1, True),
    ]
    holds = [str(version["holds"]).split(":")[0] for version in found["generations"]]
    assert holds == ["trained on movie-b", "trained on movie-a", "None"]
    out = shell("models", "info", "flow.pth").out
    assert "  holds        trained on movie-a: timepoints 0, 3" in out
    assert "  restored to version 2\n" in out
    assert "loss 0.0314 (no longer in it)\n" in out
    assert "40 steps · learning rate 0.0001 · previous version: 2" in out

    os.utime(path, (1e9, 1e9))
    assert shell("models", "info", "flow.pth", "--json").json["holds"] is None
    assert "replaced by other means" in shell("models", "info", "flow.pth").out


class Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("case", ["code", "another", "nan", "torn", "missing", "name"])
def test_a_file_that_is_not_a_model_is_refused(case: str, models: Path, shell: Shell) -> None:
    weights = DetectionNet(2, 0).state_dict()
    weights["out_conv.bias"] = weights["out_conv.bias"] * float("nan")
    content = {"code": Malicious(), "another": torch.nn.Linear(2, 2).state_dict(), "nan": weights}
    source = shell.folder / ("x.pt" if case == "name" else "x.pth")
    if case in content:
        torch.save(content[case], source)
    elif case != "missing":
        source.write_bytes((models / ("torn.pth" if case == "torn" else "flow.pth")).read_bytes())
    before = sorted(models.rglob("*"))
    done = shell("models", "import", source)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert sorted(models.rglob("*")) == before
    assert not (shell.folder / "ran").exists()
