"""``elephant models``."""

from pathlib import Path

import click

from elephant.cli import options
from elephant.cli.options import Command, Option

_HELP = """List, inspect, import and restore models.

A model is a .pth file: a path, or a name below the workspace's folder models.
"""
_LIST = """List the models of the workspace.

\b
Example:
  elephant models list --workspace /data/elephant
"""
_INFO = """Show what is in a model file.

\b
Example:
  elephant models info nuclei.pth
"""
_IMPORT = """Copy a model file into the workspace, from the original server or elsewhere.

Only weights are read from FILE: nothing in it is run. It is refused if it is damaged, has a different architecture, or
contains NaN or infinite values. NAME is a name below the workspace, or a path; by default FILE's name, below the
workspace.

\b
Example:
  elephant models import ~/Downloads/detection.pth user/detection.pth
"""

_RESTORE = """Go back to an earlier version of a model.

A version is what a model held before a training, a reset or an import; `elephant models info` lists them. The
current version is kept as well, so that this can be undone.

\b
Examples:
  elephant models restore nuclei.pth
  elephant models restore nuclei.pth --generation 3
"""


def list_models(workspace: Path | None, as_json: bool) -> int:
    """Run ``elephant models list``."""
    from elephant.cli.work.models import list_all

    return list_all(workspace, as_json)


def info(model: str, workspace: Path | None, as_json: bool) -> int:
    """Run ``elephant models info``."""
    from elephant.cli.work.models import describe

    return describe(model, workspace, as_json)


def take_over(file: Path, name: str | None, workspace: Path | None, overwrite: bool, as_json: bool) -> int:
    """Run ``elephant models import``."""
    from elephant.cli.work.models import import_file

    return import_file(file, name, workspace, overwrite, as_json)


def restore(model: str, generation: int | None, workspace: Path | None, as_json: bool) -> int:
    """Run ``elephant models restore``."""
    from elephant.cli.work.models import restore_version

    return restore_version(model, generation, workspace, as_json)


def _model() -> click.Argument:
    return click.Argument(["model"], metavar="NAME.pth")


_as_json = "Print the result as JSON."

command = click.Group(
    "models",
    help=_HELP,
    commands=[
        Command("list", callback=list_models, help=_LIST, params=[options.as_json(_as_json), options.workspace()]),
        Command("info", callback=info, help=_INFO, params=[_model(), options.as_json(_as_json), options.workspace()]),
        Command(
            "import",
            callback=take_over,
            help=_IMPORT,
            params=[
                click.Argument(["file"], type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.pth"),
                click.Argument(["name"], required=False, metavar="[NAME.pth]"),
                Option(["--overwrite"], is_flag=True, help="Replace an existing model."),
                options.as_json("Print the result as JSON."),
                options.workspace(),
            ],
        ),
        Command(
            "restore",
            callback=restore,
            help=_RESTORE,
            params=[
                _model(),
                Option(
                    ["--generation"],
                    type=int,
                    metavar="N",
                    help="Number of the version; by default the newest that is not damaged.",
                ),
                options.as_json("Print what the model now holds as JSON."),
                options.workspace(),
            ],
        ),
    ],
)
