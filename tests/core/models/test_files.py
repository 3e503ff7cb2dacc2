import os
from pathlib import Path

import pytest
import torch

from elephant.errors import InvalidInputError, ModelFileError, NotFoundError
from elephant.models.checkpoint import load_state_dicts, save_state_dicts
from elephant.models.ensemble import Ensemble, load_ensemble
from elephant.models.pretrained import ModelSource
from elephant.models.shelf import ModelShelf
from elephant.models.unet import DetectionNet, FlowNet

CPU = torch.device("cpu")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "user" / "detection.pth"
    Ensemble([DetectionNet(2, 0)]).save(file)
    return file


def test_one_member_is_a_state_dict_and_several_are_a_list(path: Path) -> None:
    assert isinstance(torch.load(path, weights_only=True), dict)
    both = Ensemble([DetectionNet(2, 0), DetectionNet(2, 0)])
    both.save(path)
    assert len(torch.load(path, weights_only=True)) == 2
    again = load_ensemble(path, DetectionNet, 2, 0)
    for mine, theirs in zip(both.state_dicts(), again.state_dicts(), strict=True):
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_nothing_half_written_stays(path: Path) -> None:
    before = path.read_bytes()

    class Bad(dict):  # type: ignore[type-arg]
        def items(self) -> object:
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        save_state_dicts(path, [Bad()])
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


class Evil:
    def __reduce__(self) -> object:
        return os.system, ("touch /tmp/should-never-exist",)


@pytest.mark.parametrize(
    "content", [b"", b"no model", b"PK\x03\x04 broken zip", [1, 2], {}, {"a": 1}, Evil(), {"weights": Evil()}]
)
def test_what_is_no_model_file_is_refused_and_runs_nothing(tmp_path: Path, content: object) -> None:
    file = tmp_path / "x.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(ModelFileError, match="expected"):
        load_state_dicts(file)
    assert not Path("/tmp/should-never-exist").exists()


def test_a_truncated_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match=r"detection\.pth"):
        load_state_dicts(path)


def test_another_architecture_is_refused(path: Path) -> None:
    for network, n_dims in ((DetectionNet, 3), (FlowNet, 2)):
        with pytest.raises(ModelFileError, match="another architecture"):
            load_ensemble(path, network, n_dims, 0)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no\.pth"):
        load_state_dicts(tmp_path / "no.pth")


def test_the_shelf_keeps_a_model_until_its_file_changes(path: Path) -> None:
    shelf = ModelShelf(CPU)
    first = shelf.get(path, DetectionNet, 2, 0)
    assert shelf.get(path, DetectionNet, 2, 0) is first
    assert not first.training
    Ensemble([DetectionNet(2, 0)]).save(path)
    second = shelf.get(path, DetectionNet, 2, 0)
    assert second is not first
    shelf.forget(path)
    assert shelf.get(path, DetectionNet, 2, 0) is not second


def test_the_shelf_keeps_the_last_few(path: Path) -> None:
    shelf = ModelShelf(CPU, n_kept=2)
    first = shelf.get(path, DetectionNet, 2, 0)
    for keep in (1, 2):
        shelf.get(path, DetectionNet, 2, keep)
    assert shelf.get(path, DetectionNet, 2, 0) is not first


def test_a_file_wins_over_an_address(tmp_path: Path) -> None:
    file = tmp_path / "sent.pth"
    assert ModelSource("Versatile", file).fetch(tmp_path, 3) == file
    assert ModelSource().is_self_supervised


def test_the_pretrained_model_is_looked_for_in_its_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"models/pretrained/versatile2d\.pth"):
        ModelSource("Versatile").fetch(tmp_path, 2)
    (tmp_path / "pretrained").mkdir()
    (tmp_path / "pretrained" / "versatile3d.pth").touch()
    assert ModelSource("Versatile").fetch(tmp_path, 3).name == "versatile3d.pth"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y.pth", "nonsense", ""])
def test_addresses_are_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInputError, match="http"):
        ModelSource(url).fetch(tmp_path, 3)


def test_an_address_that_cannot_be_reached_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="could not be fetched"):
        ModelSource("http://127.0.0.1:1/x.pth").fetch(tmp_path, 3)
    assert list((tmp_path / "pretrained").iterdir()) == []
