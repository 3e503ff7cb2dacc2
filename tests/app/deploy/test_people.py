import os
import stat
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from elephant.errors import InvalidInputError
from elephant_server.auth.tokens import holder_of, read_tokens
from elephant_server.deploy.people import command


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELEPHANT_TOKEN_FILE", str(tmp_path / "tokens"))
    return tmp_path / "tokens"


def users(*args: str) -> str:
    return CliRunner().invoke(command, args, catch_exceptions=False).output


def test_a_person_gets_an_address_that_works_until_they_are_removed(file: Path) -> None:
    address = users("add", " Ana   Silva ").splitlines()[-1].strip()
    users("add", "Bo")
    token = address.split("/t/")[1].rstrip("/")
    found = holder_of(token, read_tokens(file))
    assert found is not None
    assert found.name == "Ana Silva"
    assert token not in repr(found)
    assert users("list").splitlines() == ["Ana Silva", "Bo"]
    assert "no longer works" in users("remove", "ana silva")
    assert users("list").splitlines() == ["Bo"]
    assert holder_of(token, read_tokens(file)) is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_a_person_wrote_into_the_file_stays(file: Path) -> None:
    file.write_text("# of the lab\nabcdefghijklmnop1234\nABCDEFGHIJKLMNOP1234 Cy\n")
    file.chmod(0o640)
    users("add", "Di")
    lines = file.read_text().splitlines()
    assert lines[:3] == ["# of the lab", "abcdefghijklmnop1234", "ABCDEFGHIJKLMNOP1234 Cy"]
    assert lines[3].endswith(" Di")
    assert users("list").splitlines() == ["Cy", "Di", "and 1 without a name"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_nobody_is_locked_out_by_a_file_that_is_too_long(file: Path) -> None:
    file.write_text("".join(f"{i:020d} Somebody {i}\n" for i in range(1900)))
    before = file.read_text() + "#" * ((1 << 16) - 20 - len(file.read_text())) + "\n"
    file.write_text(before)
    assert read_tokens(file)
    with pytest.raises(InvalidInputError, match="nobody could get in"):
        users("add", "One Too Many")
    assert file.read_text() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_root_leaves_the_file_to_its_owner(file: Path) -> None:
    users("add", "Ana")
    os.chown(file, 1234, 1235)
    users("add", "Bo")
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 1235)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("add", "ANA"), "Ana has a token already"),
        (("add", "a/b"), "expected a name of 1 to 64 letters"),
        (("remove", "Bo"), "there is no Bo"),
        (("remove", "Ana"), "the last token"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(file: Path, args: tuple[str, ...], message: str) -> None:
    users("add", "Ana")
    before = file.read_bytes()
    with pytest.raises(Exception, match=message):
        users(*args)
    assert file.read_bytes() == before


def test_a_server_that_needs_no_token_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELEPHANT_TOKEN_FILE", raising=False)
    with pytest.raises(Exception, match="set ELEPHANT_TOKEN_FILE"):
        users("add", "Ana")
    monkeypatch.setenv("ELEPHANT_TOKEN", "abcdefghijklmnop1234")
    with pytest.raises(Exception, match="expected ELEPHANT_TOKEN_FILE"):
        users("add", "Ana")
    monkeypatch.delenv("ELEPHANT_TOKEN")
    monkeypatch.setenv("ELEPHANT_BIND_ADDRESS", "0.0.0.0")  # noqa: S104
    monkeypatch.setenv("ELEPHANT_WORKSPACE", str(tmp_path / "workspace"))
    assert "/t/" in users("add", "Ana")
    assert users("list").splitlines() == ["Ana"]


def test_people_who_are_added_at_once_all_get_in(file: Path) -> None:
    threads = [threading.Thread(target=_add, args=(f"Person {i}", file)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(holder.name for holder in read_tokens(file)) == [f"Person {i}" for i in range(8)]


def _add(name: str, file: Path) -> None:
    command.commands["add"].callback(name, file)
