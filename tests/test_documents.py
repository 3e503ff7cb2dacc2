"""Documents name what is there."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "protocol.md"


def test_every_test_of_the_table_is_there() -> None:
    named = set(re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE.read_text(encoding="utf-8")))
    assert len(named) > 50
    missing = [f"{file}::{test}" for file, test in sorted(named) if test not in functions(TESTS / file)]
    assert missing == []


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


UNIT = TESTS.parent / "script" / "elephant.service"
PLACE = "/opt/elephant-server"


def unit(text: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def test_the_unit_starts_the_launcher_and_lets_it_end_what_it_started() -> None:
    service = unit(UNIT.read_text())["Service"]
    python, _, module = service["ExecStart"].split(" ")
    assert (python, service["WorkingDirectory"]) == (f"{PLACE}/.venv/bin/python", PLACE)
    for name in (module, module.replace(".stack", ".embedded")):
        assert importlib.util.find_spec(f"{name}.__main__") is not None
    assert service["KillMode"] == "mixed"
    page = (TESTS.parent / "docs" / "how-to" / "keep-it-running.md").read_text()
    assert PLACE in page
    assert f"script/{UNIT.name}" in page


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze: apt-get install systemd")
@pytest.mark.parametrize("kind", ["--system", "--user"])
def test_systemd_takes_the_unit(tmp_path: Path, kind: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / ".venv").symlink_to(tmp_path)
    shutil.copy2("/bin/true", tmp_path / "bin" / "python")
    text = UNIT.read_text().replace(PLACE, str(tmp_path)).replace("User=elephant\n", "")
    if kind == "--user":
        text = text.replace("multi-user.target", "default.target")
    file = tmp_path / UNIT.name
    file.write_text(text)
    command = ["systemd-analyze", kind, "verify", "--man=no", str(file)]
    variables = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=60)
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []
