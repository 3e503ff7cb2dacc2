from pathlib import Path

import pytest

from elephant.models.inspect import model_named, nearest, nearest_model


@pytest.mark.parametrize(
    ("name", "others", "expected"),
    [
        ("detecton.pth", ["flow.pth", "detection.pth"], "detection.pth"),
        ("Detection", ["flow.pth", "detection.pth"], "detection.pth"),
        ("usr/detection.pth", ["user/detection.pth", "detection.pth"], "user/detection.pth"),
        ("flow.pth", ["detection.pth"], None),
        ("a.pth", ["b.pth"], None),
        ("same.pth", ["same.pth"], None),
        ("new.pth", [], None),
    ],
)
def test_the_nearest_name(name: str, others: list[str], expected: str | None) -> None:
    assert nearest(name, others) == expected


def test_only_models_are_named(tmp_path: Path) -> None:
    for name in ("a/nuclei.pth", ".generations/nuclei.pth/nuclei3.pth", "nuclei2.txt", "a/b/c/d/nuclei2.pth"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert nearest_model(tmp_path / "b" / "nuclei.pth", tmp_path) == "a/nuclei.pth"
    (tmp_path / "a/nuclei.pth").unlink()
    assert nearest_model(tmp_path / "nuclei2.pth", tmp_path) is None


def test_a_name_without_its_ending_means_the_one_with_it(tmp_path: Path) -> None:
    assert model_named(tmp_path / "m") == tmp_path / "m.pth"
    assert model_named(tmp_path / "m.pth") == tmp_path / "m.pth"
    assert model_named(tmp_path / "m.PTH") == tmp_path / "m.PTH"
    assert model_named(tmp_path / "m.v2") == tmp_path / "m.v2.pth"
    (tmp_path / "m").touch()
    assert model_named(tmp_path / "m") == tmp_path / "m"
    (tmp_path / "m.pth").touch()
    assert model_named(tmp_path / "m") == tmp_path / "m"
    (tmp_path / "folder").mkdir()
    assert model_named(tmp_path / "folder") == tmp_path / "folder"
    (tmp_path / "folder.pth").touch()
    assert model_named(tmp_path / "folder") == tmp_path / "folder.pth"
