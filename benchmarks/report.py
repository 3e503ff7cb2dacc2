"""Keeps what was measured: JSON for programs, with the figures of each machine, and a page and a picture for people."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import Curve, Result, Row
from benchmarks.page import PICTURE, curves_of, page
from benchmarks.picture import draw

Json = dict[str, Any]
JSON_FILE, PAGE = "benchmarks.json", "benchmarks.md"
# What tells machines apart: figures of two that differ in one of these stand side by side.
_IDENTITY = ("gpu", "cpu", "cores", "instructions", "pytorch", "server", "movie")


def load(folder: Path) -> Json:
    """Return what earlier runs have left in a folder; nothing where there was none.

    A file from when it had the figures of one machine alone is read as well.
    """
    path = folder / JSON_FILE
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {kind: {_key(runs["machine"]): runs} if "machine" in runs else runs for kind, runs in report.items()}


def enter(report: Json, kind: str, machine: Json, group: str, moment: Json, results: Sequence[Result]) -> Json:
    """Take over what a group has measured, in place of what it had measured on the same machine, and return it.

    What was measured on other machines stays.
    """
    run = report.setdefault(kind, {}).setdefault(_key(machine), {"groups": {}})
    run["machine"] = machine
    rows = [r.as_json() for r in results if isinstance(r, Row)]
    curves = [r.as_json() for r in results if isinstance(r, Curve)]
    run["groups"][group] = entered = {**moment, "rows": rows, "curves": curves}
    return entered


def write(folder: Path, report: Json, order: Sequence[str]) -> None:
    """Write all files into a folder.

    Parameters
    ----------
    order
        The names of all groups. Others are dropped.
    """
    (folder / PICTURE).parent.mkdir(parents=True, exist_ok=True)
    for run in (run for runs in report.values() for run in runs.values()):
        run["groups"] = {name: run["groups"][name] for name in order if name in run["groups"]}
    (folder / JSON_FILE).write_text(json.dumps(_short(report), indent=1) + "\n", encoding="utf-8")
    curves = curves_of(report)
    if curves:
        draw(folder / PICTURE, curves)
    (folder / PAGE).write_text("\n".join(page(report)) + "\n", encoding="utf-8")


def _key(machine: Json) -> str:
    named = {**machine, "cores": f"{machine['cores']} cores", "pytorch": f"PyTorch {machine['pytorch']}"}
    return ", ".join(str(named[name]) for name in _IDENTITY if name in named)


def _short(value: Any) -> Any:
    """Return the same with numbers of four digits: more is noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list | tuple) else value
