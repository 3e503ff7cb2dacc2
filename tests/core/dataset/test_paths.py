from pathlib import Path

import pytest

from elephant.errors import InvalidInputError
from elephant.paths import resolve_inside


@pytest.mark.parametrize("name", ["embryo", "user/detection.pth", "a/./b", "a//b", "Zellen ä 細胞", "..a/b.."])
def test_ordinary_names_stay_inside(tmp_path: Path, name: str) -> None:
    assert resolve_inside(tmp_path, name) == tmp_path.resolve() / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "./",
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "/etc",
        "/",
        "a\0b",
        "a\nb",
        "..\\x",
        "a\\b",
        "x" * 256,
        "a/" + "ä" * 128,
        "\ud800",
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="choose another"):
        resolve_inside(tmp_path, name)


def test_links_may_not_lead_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "in").symlink_to(root / "real")
    (root / "out").symlink_to(tmp_path)
    (root / "around").symlink_to(root / "around")
    assert resolve_inside(root, "in/x") == root.resolve() / "real" / "x"
    for name in ("out", "out/x", "around"):
        with pytest.raises(InvalidInputError, match="choose another"):
            resolve_inside(root, name)


def test_the_root_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert resolve_inside(tmp_path / "root", "x") == tmp_path.resolve() / "real" / "x"
