"""``elephant doctor``: all checks, and their results."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elephant.cli import options
from elephant.cli.options import Command
from elephant.cli.running import DONE, FAILED, print_json
from elephant.cli.variables import knowing_packages, unknown_variables
from elephant.cli.workspace import chosen_workspace
from elephant.words import counted

if TYPE_CHECKING:
    from elephant.cli.health import Check, Finding

_HELP = """Show what is installed, what is wrong, and how to fix it.

Checks Python and its packages, GPUs and their driver, cores, memory, the disk, the workspace and its locks, and,
if the server is installed, its programs and ports. The exit status is 1 if there is a problem.

\b
Example:
  elephant doctor --workspace /data/elephant
"""

GROUP = "elephant.doctor"
_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(workspace: Path | None, as_json: bool) -> int:
    """Run all checks and print their results."""
    from elephant.cli.health import Status

    found = list(findings(chosen_workspace(workspace)))
    n_problems = sum(finding.status is Status.PROBLEM for finding in found)
    if as_json:
        print_json({"healthy": not n_problems, "findings": [asdict(finding) for finding in found]})
    else:
        _print(found)
    return FAILED if n_problems else DONE


def findings(workspace: Path | None) -> "Iterator[Finding]":
    """Yield what all checks find, those of other packages last."""
    from elephant.cli.health import check_machine, check_software, check_workspace

    for check in (check_software, _check_devices, check_machine, check_workspace, _check_variables):
        yield from check(workspace)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        yield from _of_others(entry, workspace)


def _check_devices(workspace: Path | None) -> "Iterable[Finding]":
    try:
        from elephant.cli.health_gpu import check_devices  # a PyTorch that is broken fails here
    except (ImportError, OSError):
        return []  # the packages' finding says it
    return check_devices(workspace)


def _check_variables(_workspace: Path | None) -> "Iterable[Finding]":
    """Name misspelt variables, unless the checks of a package that knows all names do."""
    from elephant.cli.health import warning

    if knowing_packages():
        return
    for words in unknown_variables():
        what, _, remedy = words.partition(": ")
        yield warning("settings", what, remedy)


def _of_others(entry: EntryPoint, workspace: Path | None) -> "Iterator[Finding]":
    from elephant.cli.health import problem

    try:
        check: Check = entry.load()
        yield from check(workspace)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with another package is a finding
        yield problem(
            entry.name, f"the checks of {entry.value} failed: {error!r}", "Reinstall the package that provides them."
        )


def _print(found: "list[Finding]") -> None:
    width = max(len(finding.name) for finding in found)
    for finding in found:
        status = click.style(f"{finding.status:8}", fg=_COLOURS[finding.status])
        click.echo(f"{status} {finding.name:{width}}  {finding.message}")
        if finding.remedy:
            click.echo(f"{'':8} {'':{width}}  -> {finding.remedy}")
    n_problems, n_warnings = (sum(finding.status == status for finding in found) for status in ("problem", "warning"))
    click.echo(f"\n{counted(n_problems, 'problem')}, {counted(n_warnings, 'warning')}")


command = Command(
    "doctor",
    callback=doctor,
    help=_HELP,
    warns_of_variables=False,
    params=[options.as_json("Print the results as JSON."), options.workspace()],
)
