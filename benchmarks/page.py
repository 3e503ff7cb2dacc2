"""The page that people read: a section for each machine, and their figures side by side."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmarks.remarks import AFTERWORD, INTRODUCTION, NO_GPU, SIDE_BY_SIDE, TITLES, remark

Json = dict[str, Any]
PICTURE = "images/benchmarks-growth.svg"
_WIDTH = 118


def page(report: Json) -> Iterator[str]:
    """Yield the lines of the page."""
    yield from INTRODUCTION.strip().splitlines()
    for kind, title in TITLES.items():
        yield from ("", f"## {title}")
        runs = titled(report.get(kind, {}))
        if not runs:
            yield from ("", NO_GPU)
        if len(runs) > 1:
            yield from _side_by_side(runs)
        for name, run in runs.items():
            yield from ("", f"### {name}", "", *_machine(run), "", *_table(run), "", *_numbers(run))
    curves = curves_of(report)
    if curves:
        yield from ("", "## How it grows", "", f"![What was measured, with straight lines through it]({PICTURE})", "")
        yield from ("| | fits | R² | on |", "| --- | --- | ---: | --- |")
        yield from (_fit_line(curve, name) for name, found in curves.items() for curve in found)
    yield from ("", *AFTERWORD.strip().splitlines())


def titled(runs: Mapping[str, Json]) -> dict[str, Json]:
    """Return runs by short names of their machines: that of the processor alone where no other run has the same."""
    processors = [_device(run["machine"]) for run in runs.values()]
    return {
        processor if processors.count(processor) == 1 else key: run
        for processor, (key, run) in zip(processors, runs.items(), strict=True)
    }


def curves_of(report: Json) -> dict[str, list[Json]]:
    """Return the curves that were measured, by the machines' names."""
    found = {}
    for runs in report.values():
        for name, run in titled(runs).items():
            curves = [curve for group in run["groups"].values() for curve in group["curves"]]
            if curves:
                found[name] = curves
    return found


def in_words(row: Json) -> str:
    """Return a row as a line for a terminal."""
    kept = f", {_kept(row)}" if row.get("memory_kept") else ""
    goal = "" if row["goal"] is None else f", goal {_number(row['goal'])}: {_verdict(row)}"
    return f"{_plain(row['work'])}: {_measured(row)}{kept}{goal}"


def _device(machine: Json) -> str:
    return f"{machine['gpu']}, {machine['cpu']}" if "gpu" in machine else str(machine["cpu"])


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
        width=_WIDTH,
    )


def _side_by_side(runs: Mapping[str, Json]) -> Iterator[str]:
    yield from ("", *textwrap.wrap(SIDE_BY_SIDE, width=_WIDTH))
    yield from ("", "| work | " + " | ".join(runs) + " |", "| --- |" + " ---: |" * len(runs))
    by_key = [{row["key"]: row for row in _rows(run)} for run in runs.values()]
    names = {key: row["work"] for rows in reversed(by_key) for key, row in rows.items()}
    for key in _in_order(by_key):
        yield _line(names[key], *(_cell(rows[key]) if key in rows else "" for rows in by_key))


def _in_order(by_key: Iterable[Mapping[str, Json]]) -> list[str]:
    """Return the keys of all, those that only some have after those that come before them there."""
    order: list[str] = []
    for rows in by_key:
        place = 0
        for key in rows:
            if key in order:
                place = order.index(key) + 1
            else:
                order.insert(place, key)
                place += 1
    return order


def _cell(row: Json) -> str:
    kept = f"; {_number(row['memory_kept']['median'])} {_kept_unit(row)}" if row.get("memory_kept") else ""
    goal = "" if row["goal"] is None else f" (goal {_number(row['goal'])})"
    return f"{_number(row['measured']['median'])} {row['unit']}{kept}{goal}"


def _table(run: Json) -> Iterator[str]:
    yield "| work | measured | in P\\*, T\\* | goal | reached | what is missing, and why |"
    yield "| --- | ---: | ---: | ---: | --- | --- |"
    for row in _rows(run):
        goal = "" if row["goal"] is None else _number(row["goal"])
        why = remark(run["machine"]["cpu"], row["key"]) if row["reached"] is False else ""
        yield _line(row["work"], _measured(row), _kept(row), goal, _verdict(row), why)


def _line(*cells: str) -> str:
    return _escaped(f"| {' | '.join(cells)} |")


def _escaped(text: str) -> str:
    """Return text in which the star of P* is none of emphasis."""
    return text.replace("*", r"\*")


def _numbers(run: Json) -> Iterator[str]:
    yield from ("In numbers:", "")
    for row in _rows(run):
        if row["details"]:
            numbers = ", ".join(f"{name} {_number(value)}" for name, value in row["details"].items())
            yield _escaped(f"- {row['work']}: {numbers}")


def _rows(run: Json) -> Iterator[Json]:
    return (row for group in run["groups"].values() for row in group["rows"])


def _measured(row: Json) -> str:
    return _spread(row["measured"], row["unit"])


def _kept(row: Json) -> str:
    return _spread(row["memory_kept"], _kept_unit(row)) if row.get("memory_kept") else ""


def _kept_unit(row: Json) -> str:
    """Return P* for P, and the like."""
    return f"{row['unit'][0]}*{row['unit'][1:]}"


def _spread(spread: Json, unit: str) -> str:
    middle, low, high = (_number(spread[name]) for name in ("median", "low", "high"))
    return f"{middle} {unit}" + (f" ({low} to {high})" if low != high else "")


def _verdict(row: Json) -> str:
    return {None: "", True: "yes", False: "no"}[row["reached"]]


def _fit_line(curve: Json, name: str) -> str:
    fit = f"{_number(curve['intercept'])} + {_number(curve['slope'])} x {curve['x_label']}, {curve['y_label']}"
    return f"| {curve['title']} | {fit} | {curve['r2']:.3f} | {name} |"


def _plain(text: str) -> str:
    return text.replace("`", "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
