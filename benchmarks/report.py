"""Writes what was measured: JSON for programs, a page and a picture for people."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import Curve, Result, Row
from benchmarks.remarks import AFTERWORD, INTRODUCTION, NO_GPU, REMARKS, TITLES

Json = dict[str, Any]
JSON_FILE, PAGE, PICTURE = "benchmarks.json", "benchmarks.md", "images/benchmarks-growth.svg"


def load(folder: Path) -> Json:
    """Return what earlier runs have left in a folder; nothing where there was none."""
    path = folder / JSON_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def enter(report: Json, kind: str, machine: Json, group: str, moment: Json, results: Sequence[Result]) -> None:
    """Take over what a group has measured; what was measured on another machine is forgotten."""
    run = report.get(kind)
    if run is None or run["machine"] != machine:
        run = report[kind] = {"machine": machine, "groups": {}}
    rows = [r.as_json() for r in results if isinstance(r, Row)]
    curves = [r.as_json() for r in results if isinstance(r, Curve)]
    run["groups"][group] = {**moment, "rows": rows, "curves": curves}


def write(folder: Path, report: Json, order: Sequence[str]) -> None:
    """Write all files into a folder."""
    (folder / PICTURE).parent.mkdir(parents=True, exist_ok=True)
    for run in report.values():
        run["groups"] = {name: run["groups"][name] for name in order if name in run["groups"]}
    (folder / JSON_FILE).write_text(json.dumps(_short(report), indent=1) + "\n", encoding="utf-8")
    curves = [curve for run in report.values() for group in run["groups"].values() for curve in group["curves"]]
    if curves:
        draw(folder / PICTURE, curves)
    (folder / PAGE).write_text("\n".join(page(report, curves)) + "\n", encoding="utf-8")


def page(report: Json, curves: Sequence[Json]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield from INTRODUCTION.strip().splitlines()
    for kind, title in TITLES.items():
        yield from ("", f"## {title}", "")
        if kind not in report:
            yield NO_GPU
            continue
        yield from _machine(report[kind])
        yield from _table(report[kind]["groups"])
        yield from _numbers(report[kind]["groups"])
    if curves:
        yield from ("", "## How it grows", "", f"![What was measured, with straight lines through it]({PICTURE})", "")
        yield from ("| | fits | R² |", "| --- | --- | ---: |")
        yield from (_fit_line(curve) for curve in curves)
    yield from ("", *AFTERWORD.strip().splitlines())


def draw(path: Path, curves: Sequence[Json]) -> None:
    """Draw each curve with its straight line."""
    import matplotlib as mpl  # noqa: PLC0415 - slow, and for this picture alone
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 9}
    columns = min(len(curves), 2)
    rows = -(-len(curves) // columns)
    figure = Figure((3.6 * columns, 2.6 * rows), layout="constrained", facecolor="white")
    for i, curve in enumerate(curves, start=1):
        axes = figure.add_subplot(rows, columns, i)
        xs, ys = zip(*curve["points"], strict=True)
        ends = [0, max(xs)]
        axes.plot(ends, [curve["intercept"] + curve["slope"] * x for x in ends], color="#8b96a3", linewidth=1)
        axes.plot(xs, ys, "o", color="#0077b6", markersize=4)
        axes.set(title=_plain(curve["title"]), xlabel=curve["x_label"], ylabel=curve["y_label"])
        axes.set(xlim=(0, None), ylim=(0, 1.15 * max(ys)))
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def in_words(row: Json) -> str:
    """Return a row as a line for a terminal."""
    goal = "" if row["goal"] is None else f", goal {_number(row['goal'])}: {_verdict(row)}"
    return f"{_plain(row['work'])}: {_measured(row)}{goal}"


def _machine(run: Json) -> Iterator[str]:
    machine, groups = run["machine"], run["groups"].values()
    loads = sorted({group["load"] for group in groups})
    dates = sorted({group["date"] for group in groups})
    device = f"{machine['gpu']} (CUDA {machine['cuda']}), " if "gpu" in machine else ""
    load = f"{loads[0]} to {loads[-1]}" if len(loads) > 1 else str(loads[0])
    yield from textwrap.wrap(
        f"{device}{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB of memory; PyTorch "
        f"{machine['pytorch']} ({machine['instructions']}), Python {machine['python']}, {machine['system']}; "
        f"the server: {machine['server']}; {machine['movie']}. Measured on {' and '.join(dates)}. The load before each "
        f"group of rows, that is programs that would run, the benchmark's own among them, was {load}.",
        width=118,
    )
    yield ""


def _table(groups: Mapping[str, Json]) -> Iterator[str]:
    yield "| work | measured | goal | reached | what is missing, and why |"
    yield "| --- | ---: | ---: | --- | --- |"
    for row in _rows(groups):
        goal = "" if row["goal"] is None else _number(row["goal"])
        remark = REMARKS.get(row["key"], "") if row["reached"] is False else ""
        yield f"| {row['work']} | {_measured(row)} | {goal} | {_verdict(row)} | {remark} |"


def _numbers(groups: Mapping[str, Json]) -> Iterator[str]:
    yield from ("", "In numbers:", "")
    for row in _rows(groups):
        if row["details"]:
            numbers = ", ".join(f"{name} {_number(value)}" for name, value in row["details"].items())
            yield f"- {row['work']}: {numbers}"


def _rows(groups: Mapping[str, Json]) -> Iterator[Json]:
    return (row for group in groups.values() for row in group["rows"])


def _measured(row: Json) -> str:
    spread = row["measured"]
    middle, low, high = (_number(spread[name]) for name in ("median", "low", "high"))
    return f"{middle} {row['unit']}" + (f" ({low} to {high})" if low != high else "")


def _verdict(row: Json) -> str:
    return {None: "", True: "yes", False: "no"}[row["reached"]]


def _fit_line(curve: Json) -> str:
    fit = f"{_number(curve['intercept'])} + {_number(curve['slope'])} x {curve['x_label']}, {curve['y_label']}"
    return f"| {curve['title']} | {fit} | {curve['r2']:.3f} |"


def _plain(text: str) -> str:
    return text.replace("`", "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _short(value: Any) -> Any:
    """Return the same with numbers of four digits: more is noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list | tuple) else value
