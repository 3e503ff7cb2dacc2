"""Documents name what is there."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "protocol.md"


def test_every_test_of_the_table_is_there() -> None:
    named = set(re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE.read_text(encoding="utf-8")))
    assert len(named) > 50
    missing = [f"{file}::{test}" for file, test in sorted(named) if test not in functions(TESTS / file)]
    assert missing == []


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
