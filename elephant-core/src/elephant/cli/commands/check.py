"""``elephant check``."""

from pathlib import Path

from elephant.cli import options
from elephant.cli.options import Command

_HELP = """Check that a dataset is complete, and show what is in it.

DATASET is a folder, or a name below the workspace. The exit status is 1 if it is not ready.

\b
Examples:
  elephant check movie
  elephant check /data/movie --json
"""


def check(dataset: str, workspace: Path | None, as_json: bool) -> int:
    """Run the command."""
    from elephant.cli.work.datasets import check_named

    return check_named(dataset, workspace, as_json)


command = Command(
    "check",
    callback=check,
    help=_HELP,
    params=[options.dataset_argument(), options.as_json("Print the result as JSON."), options.workspace()],
)
