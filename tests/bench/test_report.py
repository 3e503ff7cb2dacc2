"""The report keeps the figures of each machine, and its page shows them side by side."""

import json
from pathlib import Path

import pytest
from benchmarks import goals, report
from benchmarks.measuring import Curve, Row, Spread, row_of_ratios
from benchmarks.page import page

ONE = {"cpu": "Snail 1", "cores": 2, "memory_gib": 8, "pytorch": "2.0", "instructions": "AVX2", "python": "3.11"}
ONE |= {"system": "Linux", "server": "one process", "movie": "a simulated movie"}
OTHER = ONE | {"cpu": "Hare 2", "instructions": "AVX512, avx512_bf16"}
MOMENT = {"date": "2026-01-02", "load": 0.5}
LATER = {"date": "2026-02-03", "load": 0.5}


def row(key: str, value: float, goal: float | None = None) -> Row:
    return Row(
        key, f"work {key}", Spread(value, value, value), "P", goal, {"s": 1}, Spread(2 * value, value, 3 * value)
    )


def test_figures_of_two_machines_stand_side_by_side() -> None:
    written: report.Json = {}
    report.enter(written, "cpu", ONE, "first", MOMENT, [row("a", 1.0, 2.0), row("b", 3.0)])
    report.enter(written, "cpu", OTHER, "first", LATER, [row("a", 0.5, 0.25), row("new", 4.0), row("b", 5.0)])
    text = "\n".join(page(written))
    assert "| work | Snail 1 | Hare 2 |" in text
    lines = [line for line in text.splitlines() if line.startswith("| work ")][1:4]
    assert lines == [
        r"| work a | 1 P; 2 P\* (goal 2) | 0.5 P; 1 P\* (goal 0.25) |",
        r"| work new |  | 4 P; 8 P\* |",
        r"| work b | 3 P; 6 P\* | 5 P; 10 P\* |",
    ]
    assert text.index("### Snail 1") < text.index("2026-01-02") < text.index("### Hare 2") < text.index("2026-02-03")
    assert r"| work a | 1 P | 2 P\* (1 to 3) | 2 | yes |  |" in text
    assert r"| work a | 0.5 P | 1 P\* (0.5 to 1.5) | 0.25 | no |  |" in text


def test_a_machine_is_told_by_what_decides_its_speed() -> None:
    written: report.Json = {}
    report.enter(written, "cpu", ONE, "first", MOMENT, [row("a", 1.0)])
    report.enter(written, "cpu", ONE | {"python": "3.12"}, "first", LATER, [row("a", 2.0)])
    (run,) = written["cpu"].values()
    assert run["machine"]["python"] == "3.12"
    assert [r["measured"]["median"] for r in run["groups"]["first"]["rows"]] == [2.0]
    report.enter(written, "cpu", ONE | {"pytorch": "3.0"}, "first", LATER, [row("a", 3.0)])
    report.enter(written, "cpu", ONE | {"movie": "mine.h5"}, "first", LATER, [row("a", 4.0)])
    assert list(written["cpu"]) == [
        "Snail 1, 2 cores, AVX2, PyTorch 2.0, one process, a simulated movie",
        "Snail 1, 2 cores, AVX2, PyTorch 3.0, one process, a simulated movie",
        "Snail 1, 2 cores, AVX2, PyTorch 2.0, one process, mine.h5",
    ]


def test_a_file_with_one_machine_alone_is_read_as_before(tmp_path: Path) -> None:
    older = row("a", 1.0).as_json()
    del older["memory_kept"]
    curve = Curve("growth", "Growth", "x", "y", [(1, 2), (2, 3)]).as_json()
    groups = {"first": {**MOMENT, "rows": [older], "curves": [curve]}}
    (tmp_path / report.JSON_FILE).write_text(json.dumps({"cpu": {"machine": ONE, "groups": groups}}))
    written = report.load(tmp_path)
    steeper = Curve("growth", "Growth", "x", "y", [(1, 3), (2, 5)])
    report.enter(written, "cpu", OTHER, "first", LATER, [row("a", 2.0), steeper])
    report.write(tmp_path, written, ["first"])
    again = json.loads((tmp_path / report.JSON_FILE).read_text())["cpu"]
    assert [run["machine"]["cpu"] for run in again.values()] == ["Snail 1", "Hare 2"]
    (kept, _) = again.values()
    assert kept["groups"] == json.loads(json.dumps(groups))
    text = (tmp_path / report.PAGE).read_text()
    assert "| Growth | 1 + 1 x x, y | 1.000 | Snail 1 |\n| Growth | 1 + 2 x x, y | 1.000 | Hare 2 |" in text
    picture = (tmp_path / report.PICTURE).read_text()
    assert picture.count(">Growth<") == 1
    assert ">Hare 2<" in picture


def test_ratios_to_both_yardsticks() -> None:
    found = row_of_ratios("x", "x", "T", {"plain": [4, 8], "kept": [2, 4], "ours": [4, 8]}, scale=0.5, spots=7)
    assert found.measured == Spread(0.5, 0.5, 0.5)
    assert found.memory_kept == Spread(1, 1, 1)
    assert found.details == {"s": 3, "plain s": 6, "memory kept s": 3, "spots": 7}
    assert row_of_ratios("x", "x", "T", {"plain": [4], "ours": [4]}).memory_kept is None


@pytest.mark.parametrize(("has_bfloat16", "expected"), [(True, 0.25), (False, 0.9)])
def test_goals_are_those_of_the_processor(monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool, expected: float) -> None:
    monkeypatch.setattr(goals, "has_bfloat16", lambda: has_bfloat16)
    assert goals.goal("seg-predict") == expected
    assert goals.goal("reading") is None
