from pathlib import Path

import pytest

from elephant.errors import InvalidInputError
from elephant.io.paths import open_inside, resolve_inside


@pytest.mark.parametrize(
    "name",
    [
        "embryo",
        "user/detection.pth",
        "a/./b",
        "a//b",
        "Zellen ä 細胞",
        "a../b..",
        "console",
        "a.con",
        "नमस्ते",
        "👩\u200d🔬",
    ],
)
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
        ".uploads",
        ".generations/detection.pth/000001.pth",
        "user/.generations/detection.pth/000001.pth",
        ".exports/x",
        "..a",
        "a/.b",
        "a/.../b",
        "NUL",
        "con",
        "user/Aux.pth",
        "lpt1.tar.gz",
        "C:\\Windows",
        "a\x7fb",
        "a\x85b",
        "exe.\u202ehtp",
        "a\u2028b",
        "\u2066a",
        "a/" * 2000 + "b",
        "/".join(["x" * 200] * 20),
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


def test_links_in_the_middle_of_a_path(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "a").mkdir(parents=True)
    (outside / "b").mkdir(parents=True)
    (outside / "b" / "x.pth").write_text("secret")
    (root / "a" / "link").symlink_to(outside)
    (root / "a" / "deep").symlink_to("link")
    for name in ("a/link/b/x.pth", "a/deep/b/x.pth", "a/deep/b/new.pth"):
        with pytest.raises(InvalidInputError, match="leads out"):
            resolve_inside(root, name)


def test_links_to_what_is_the_servers_own(tmp_path: Path) -> None:
    (tmp_path / ".generations").mkdir()
    (tmp_path / "mine").symlink_to(tmp_path / ".generations")
    with pytest.raises(InvalidInputError, match="the server uses"):
        resolve_inside(tmp_path, "mine/detection.pth")


def test_the_root_may_lie_in_a_hidden_folder(tmp_path: Path) -> None:
    root = tmp_path / ".lab" / "models"
    root.mkdir(parents=True)
    assert resolve_inside(root, "a.pth") == root.resolve() / "a.pth"


def test_a_link_that_is_put_in_the_way_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    (root / "user").mkdir(parents=True)
    (root / "user" / "x.pth").write_text("a model")
    (tmp_path / "x.pth").write_text("secret")
    with open_inside(root, "user/x.pth") as file:
        assert file.read() == b"a model"
    judged = resolve_inside(root, "user/x.pth")
    (root / "user" / "x.pth").unlink()
    (root / "user").rmdir()
    (root / "user").symlink_to(tmp_path)
    monkeypatch.setattr("elephant.io.paths.resolve_inside", lambda *arguments: judged)
    with pytest.raises(InvalidInputError, match="leads out"):
        open_inside(root, "user/x.pth")


def test_a_file_that_is_replaced_while_it_is_open(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_text("old")
    with open_inside(tmp_path, "x.pth") as file:
        (tmp_path / "x.pth").unlink()
        assert file.read() == b"old"
