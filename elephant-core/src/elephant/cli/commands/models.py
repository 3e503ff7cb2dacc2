"""``elephant models``."""

from pathlib import Path

import click

from elephant.cli import options
from elephant.cli.framework import Command, Option

_HELP = """List, inspect, import and restore models.

A model is a .pth file: a path, or a name below the workspace's folder models.
"""
_LIST = """List the models of the workspace.

\b
Example:
  elephant models list --workspace /data/elephant
"""
_INFO = """Say what is in a model file.

\b
Example:
  elephant models info nuclei.pth
"""
_IMPORT = """Take over a model file, from the original server or elsewhere.

FILE is read as weights alone: nothing in it is run. It is refused where it is damaged, holds another architecture, or
numbers that are none. NAME is its name below the workspace, or a path; by default that of the file, below the
workspace.

\b
Example:
  elephant models import ~/Downloads/detection.pth user/detection.pth
"""

_RESTORE = """Go back to an earlier generation of a model.

A generation is what a model held before a training, a reset or an import; `elephant models info` lists them. What the
model holds now becomes one itself, so that this can be taken back.

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


_as_json = "Print it as JSON."

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
                Option(["--overwrite"], is_flag=True, help="Replace a model that is there."),
                options.as_json("Print what was taken over as JSON."),
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
                    help="Which one; by default the newest that is not damaged.",
                ),
                options.as_json("Print what the model holds now as JSON."),
                options.workspace(),
            ],
        ),
    ],
)
