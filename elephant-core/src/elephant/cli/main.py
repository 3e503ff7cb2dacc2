"""Which commands there are: those of this package, and those that other packages bring."""

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points, version
from types import MappingProxyType

import click

from elephant.cli.running import EXIT_STATUSES, run

GROUP = "elephant.commands"

# In the order in which a person meets them. Each is the `command` of the module of its name in `commands`; the words
# are here, so that nothing has to be imported to list them.
BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "convert": "Make a dataset from a movie.",
        "check": "Check that a dataset is complete, and show what is in it.",
        "train": "Train a detection model on spots, or a flow model on links.",
        "predict": "Find the nuclei of a dataset.",
        "link": "Find where nuclei were at the previous timepoint, and join them to tracks.",
        "export": "Write tracked nuclei for other programs.",
        "models": "List, inspect, import and restore models.",
        "doctor": "Show what is installed, what is wrong, and how to fix it.",
    }
)

_HELP = """Find and track nuclei in 3D+t and 2D+t movies, without a client.

Vectors are in the order X, Y, Z everywhere, in options and in files. Positions, radii and voxel sizes are in the
movie's physical unit; sizes of images are in voxels.

\b
Examples:
  elephant convert movie.h5 movie
  elephant train movie --spots annotated.csv --model nuclei.pth
  elephant predict movie --model nuclei.pth -o found.json
"""


class Commands(click.Group):
    """The commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the shape of click's method
        """Return the names: built-in ones in their order, then those of other packages."""
        return [*BUILT_IN, *(name for name in sorted(_brought()) if name not in BUILT_IN)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None if there is none of that name."""
        if cmd_name in BUILT_IN:
            return _as_command(importlib.import_module(f"elephant.cli.{cmd_name}").command, cmd_name)
        brought = _brought().get(cmd_name)
        return None if brought is None else _load(brought)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands; of the built-in ones none is imported."""
        rows = [(name, BUILT_IN.get(name) or self._words_of(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the requested command; if there is none, suggest a similar one."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name.lower(), self.list_commands(ctx), n=1)
            meant = f"Did you mean '{near[0]}'?" if near else f"Expected one of {', '.join(self.list_commands(ctx))}."
            raise click.UsageError(f"No such command '{name}'. {meant}", ctx)
        return super().resolve_command(ctx, args)

    def _words_of(self, ctx: click.Context, name: str) -> str:
        try:
            found = self.get_command(ctx, name)
        except click.ClickException as error:
            return error.message
        return found.get_short_help_str(limit=100) if found else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run(elephant, sys.argv[1:] if argv is None else argv)


def _print_version(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        click.echo(f"elephant {version('elephant-core')}")
        ctx.exit()


def _brought() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(entry: EntryPoint) -> click.Command:
    try:
        return _as_command(entry.load(), entry.name)
    except Exception as error:  # whatever is wrong with another package, the other commands work
        raise click.ClickException(
            f"the command {entry.name} of {entry.value} cannot be loaded ({error}): reinstall its package"
        ) from error


def _as_command(found: object, name: str) -> click.Command:
    if not isinstance(found, click.Command):
        raise TypeError(f"the command {name} must be a click.Command, but is {type(found).__name__}")
    return found


elephant = Commands(
    "elephant",
    help=_HELP,
    epilog=EXIT_STATUSES,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Show the version and exit.",
        )
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
