"""``elephant doctor``."""

from pathlib import Path

from elephant.cli import options
from elephant.cli.options import Command

_HELP = """Show what is installed, what is wrong, and how to fix it.

Checks Python and its packages, GPUs and their driver, cores, memory, the disk, the workspace and its locks, and,
if the server is installed, its programs and ports. The exit status is 1 if there is a problem.

\b
Example:
  elephant doctor --workspace /data/elephant
"""


def doctor(workspace: Path | None, as_json: bool) -> int:
    """Run the command."""
    from elephant.cli.work.doctor import examine

    return examine(workspace, as_json)


command = Command(
    "doctor",
    callback=doctor,
    help=_HELP,
    warns_of_variables=False,
    params=[options.as_json("Print the results as JSON."), options.workspace()],
)
