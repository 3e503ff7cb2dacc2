"""What the commands read from variables and ``.env`` files, as the server does."""

import os
from pathlib import Path

import pytest

from core.cli.shell import Shell
from core.cli.test_commands import install
from core.dataset.bdv import ramp, write_movie
from core.dataset.http_server import serving
from core.dataset.test_ome_zarr import values, write
from elephant.io.addresses import RemoteRules, use_rules


@pytest.fixture(autouse=True)
def _only_these_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the tests themselves are run with, such as ELEPHANT_TEST_STACK."""
    for name in [name for name in os.environ if name.startswith("ELEPHANT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    write_movie(tmp_path / "m.h5", ramp(1, (2, 8, 8)))
    return tmp_path / "m.h5"


def test_the_workspace_of_the_env_file_is_used(shell: Shell, movie: Path) -> None:
    workspace = shell.folder / "elsewhere"
    (shell.folder / ".env").write_text(f"ELEPHANT_WORKSPACE={workspace}\n")
    assert shell("convert", movie, "m").status == 0
    assert (workspace / "datasets" / "m" / "imgs.zarr").is_dir()
    assert not (shell.folder / "workspace").exists()


def test_the_same_file_wins_as_for_the_server(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    home = shell.folder / "home"
    home.mkdir()
    monkeypatch.setenv("ELEPHANT_HOME", str(home))
    (home / ".env").write_text("ELEPHANT_WORKSPACE=of_home\n")
    assert "of_home/datasets/x" in shell("check", "x").err
    (shell.folder / ".env").write_text("elephant_workspace=of_here\n")
    assert "of_here/datasets/x" in shell("check", "x").err
    monkeypatch.setenv("ELEPHANT_WORKSPACE", "of_variable")
    assert "of_variable/datasets/x" in shell("check", "x").err
    assert "of_option/datasets/x" in shell("check", "x", "--workspace", "of_option").err


def test_an_env_file_that_cannot_be_read_is_an_error(shell: Shell) -> None:
    (shell.folder / ".env").write_bytes(b"A=\xff\n")
    done = shell("check", "x")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "cannot read .env" in done.err


def test_misspelt_variables_are_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elephant.cli.variables.knowing_packages", list)
    monkeypatch.setenv("ELEPHANT_WORKSPCE", "/x")
    monkeypatch.setenv("ELEPHANT_HTTP_PORT", "80")  # of a server that is not installed here
    expected = "warning: ELEPHANT_WORKSPCE is not a setting and has no effect: did you mean ELEPHANT_WORKSPACE?"
    assert shell("check", "x").err.splitlines()[:-1] == [expected]
    assert shell("check", "x", "--quiet").err.count("\n") == 1
    assert shell("models", "list", "--workspace", "x").err.splitlines()[0] == expected


def test_other_packages_know_their_variables(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = "[elephant.settings]\nvisitor = visitor:unknown\n"
    install(shell.folder, "def unknown():\n    return ['ELEPHANT_ODD is odd']\n", entries, monkeypatch)
    assert "ELEPHANT_ODD" not in shell("check", "x").err
    monkeypatch.setenv("ELEPHANT_ODD", "1")
    assert "warning: ELEPHANT_ODD is odd\n" in shell("check", "x").err


def test_what_is_read_of_other_machines_is_kept_below_the_workspace(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = values()
    write(tmp_path / "site" / "m.ome.zarr", image)
    workspace = shell.folder / "elsewhere"
    monkeypatch.setenv("ELEPHANT_WORKSPACE", str(workspace))
    try:
        with serving(tmp_path / "site") as site:
            assert shell("convert", f"{site.url}/m.ome.zarr", "m", "--channel", "0").status == 0
            assert any(path.is_file() for path in (workspace / ".cache" / "remote").rglob("*"))
            found = shell("check", "m", "--json").json
            assert (found["movie"], found["n_setups"]) == ("m.ome.zarr", 2)
            monkeypatch.setenv("ELEPHANT_REMOTE_CACHE_GIB", "much")
            done = shell("convert", f"{site.url}/m.ome.zarr", "other")
            assert done.err == "error: expected ELEPHANT_REMOTE_CACHE_GIB to be a number of GiB, got 'much'\n"
            monkeypatch.delenv("ELEPHANT_REMOTE_CACHE_GIB")
            monkeypatch.setenv("ELEPHANT_S3_ENDPOINT", site.url)
            (tmp_path / "site" / "bucket").mkdir()
            (tmp_path / "site" / "m.ome.zarr").rename(tmp_path / "site" / "bucket" / "m.ome.zarr")
            assert shell("convert", "s3://bucket/m.ome.zarr", "of_bucket").status == 0
    finally:
        use_rules(RemoteRules())
