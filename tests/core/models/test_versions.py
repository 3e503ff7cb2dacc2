"""Models keep what they were before a training or a reset began."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from elephant.errors import ModelFileError, NotFoundError
from elephant.models.checkpoint import load_state_dicts
from elephant.models.ensemble import Ensemble, load_ensemble
from elephant.models.unet import DetectionNet
from elephant.models.versions import ModelFile, keep_version, restore, versions


def members(value: float) -> list[dict[str, torch.Tensor]]:
    return [{"w": torch.full((5,), value)}]


def value_of(path: Path) -> float:
    return float(load_state_dicts(path)[0]["w"][0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "user" / "detection.pth"


def save(path: Path, *values: float) -> None:
    """Save as one training does that has so many epochs."""
    file = ModelFile(path)
    for value in values:
        file.save(members(value))


def kept(path: Path) -> list[float]:
    return [value_of(version.path) for version in versions(path)]


def test_the_last_three_are_kept(path: Path) -> None:
    for value in range(6):
        save(path, value)
    assert value_of(path) == 5
    assert kept(path) == [4, 3, 2]
    assert [version.number for version in versions(path)] == [5, 4, 3]
    assert sorted(p.name for p in path.parent.iterdir()) == [".generations", "detection.pth"]
    assert [p.name for p in (path.parent / ".generations").iterdir()] == ["detection.pth"]


def test_a_version_is_the_model_before_a_training_not_before_an_epoch(path: Path) -> None:
    save(path, 1)
    save(path, *(10 + epoch for epoch in range(20)))
    save(path, *(100 + epoch for epoch in range(20)))
    assert value_of(path) == 119
    assert kept(path) == [29, 1]


def test_a_long_session_keeps_one_of_an_hour_ago_besides(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("elephant.models.versions.time.monotonic", lambda: clock[0])
    for before in (1, 2, 3):
        save(path, before)
    file = ModelFile(path)
    for minute in range(0, 200, 10):
        clock[0] = 1000.0 + 60 * minute
        file.save(members(1000 + minute))
    assert value_of(path) == 1190
    assert kept(path) == [1170, 3, 2, 1]
    assert [version.is_interim for version in versions(path)] == [True, False, False, False]
    save(path, 7)
    assert kept(path) == [1190, 1170, 3, 2]


def test_models_of_other_names_and_folders_have_their_own(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "detection.pth"
    save(path, 1)
    save(path, 2)
    save(other, 3)
    assert (kept(path), kept(other)) == ([1], [])


def test_a_failed_save_keeps_nothing_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in range(3):
        save(path, value)
    for _ in range(4):
        with pytest.raises(ModelFileError, match="training diverged"):
            save(path, float("inf"))
    assert value_of(path) == 2
    assert kept(path) == [2, 1, 0]


def test_a_file_system_without_second_names(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for value in range(3):
        save(path, value)
    assert kept(path) == [1, 0]


def test_there_is_a_model_at_every_moment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, 1)
    seen: list[float] = []

    def looking(change: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*arguments: object, **options: object) -> object:
            seen.append(value_of(path))
            result = change(*arguments, **options)
            seen.append(value_of(path))
            return result

        return wrapper

    for owner, name in ((os, "link"), (os, "replace"), (os, "unlink"), (Path, "replace"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, looking(getattr(owner, name)))
    for value in range(2, 7):
        save(path, value)
    restore(path, versions(path)[-1].number)
    assert len(seen) > 20
    assert set(seen) == {1, 2, 3, 4, 5, 6}


def test_a_restore_can_be_undone(path: Path) -> None:
    for value in range(5):
        save(path, value)
    oldest = versions(path)[-1]
    before = oldest.saved
    assert restore(path, oldest.number).saved == before
    assert value_of(path) == 1
    assert kept(path) == [4, 3, 2]
    restore(path)
    assert value_of(path) == 4
    assert not path.samefile(versions(path)[0].path)


def test_going_back_from_a_damaged_or_missing_file(path: Path) -> None:
    for value in range(3):
        save(path, value)
    path.write_bytes(path.read_bytes()[:-200])
    versions(path)[0].path.write_bytes(b"broken, too")
    restore(path)
    assert value_of(path) == 0
    path.unlink()
    restore(path)
    assert value_of(path) == 0
    with pytest.raises(ModelFileError, match="damaged"):
        restore(path, 2)
    with pytest.raises(NotFoundError, match=r"no such version.*version 2, saved 20\d\d"):
        restore(path, 77)


def test_nothing_to_go_back_to(path: Path) -> None:
    save(path, 1)
    with pytest.raises(NotFoundError, match="none"):
        restore(path)


@pytest.mark.parametrize("damage", ["truncated", "none at all", "another architecture", "not finite"])
def test_a_damaged_file_is_reported_with_the_version_to_restore(path: Path, damage: str) -> None:
    model = Ensemble([DetectionNet(2, 0)])
    for _ in range(3):
        model.save(path)
        time.sleep(0.01)
    newest, older = versions(path)
    newest.path.write_bytes(b"this one is of no use")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "none at all":
        path.write_bytes(b"no model")
    elif damage == "another architecture":
        torch.save(DetectionNet(3, 0).state_dict(), path)
    else:
        torch.save({**model.state_dicts()[0], "out_conv.bias": torch.full((3,), float("nan"))}, path)
    with pytest.raises(ModelFileError) as raised:
        load_ensemble(path, DetectionNet, 2, 0)
    assert f"{older}: copy {older.path} to {path}" in str(raised.value)
    restore(path, older.number)
    load_ensemble(path, DetectionNet, 2, 0)


def test_without_a_version_nothing_is_promised(path: Path) -> None:
    save(path, 1)
    path.write_bytes(b"no model")
    with pytest.raises(ModelFileError) as raised:
        load_ensemble(path, DetectionNet, 2, 0)
    assert "version" not in str(raised.value)


def test_keeping_what_is_not_there(path: Path) -> None:
    keep_version(path)
    assert versions(path) == []
