"""Which commands there are: those of this package, and those that other packages add."""

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, version
from types import MappingProxyType
from typing import Any

import click

from elephant.cli.running import EXIT_STATUSES, run
from elephant.errors import PluginError
from elephant.plugins import Plugin, installed

_ADDED = f"{__name__}.added"

# In the order in which a person meets them. Each is the `command` of the module of its name in `commands`; the words
# are here, so that nothing has to be imported to list them.
BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "convert": "Make a dataset from a movie.",
        "add": "Make a dataset that reads its images from a movie in place.",
        "check": "Check that a dataset is complete, and show what is in it.",
        "train": "Train a detection model on spots, or a flow model on links.",
        "predict": "Find the nuclei of a dataset.",
        "review": "List where errors are expected, worst first: spots that may be wrong, nuclei that may be missing.",
        "link": "Find where nuclei were at the previous timepoint, and join them to tracks.",
        "track": "Join the spots of a whole movie to lineages, from their positions.",
        "export": "Write tracked nuclei for other programs.",
        "evaluate": "Compare found nuclei and tracks with true ones.",
        "models": "List, inspect, import and restore models.",
        "record": "Show what a dataset was taught, and repeat it.",
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

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Import the command that is asked for before click calls itself.

        Deeper down, Python 3.11 gets a piece of its stack from the system, and returns it, with nearly each call while
        NumPy is imported: 30 ms.
        """
        if args and args[0] in BUILT_IN:
            _imported(args[0])
        return super().make_context(info_name, args, parent, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names: built-in ones in their order, then those that other packages add."""
        return [*BUILT_IN, *(name for name in _added(ctx) if name not in BUILT_IN)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of that name.

        Raises
        ------
        PluginError
            The package that adds it is broken.
        """
        if cmd_name in BUILT_IN:
            return _imported(cmd_name)
        if cmd_name not in _added(ctx):
            return None
        plugin, entry = _added(ctx)[cmd_name]
        return plugin.load_object(entry, click.Command)

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
        except PluginError as error:
            return str(error)
        return found.get_short_help_str(limit=100) if found else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run(elephant, sys.argv[1:] if argv is None else argv)


def _print_version(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        click.echo(f"elephant {version('elephant-core')}")
        ctx.exit()


def _imported(name: str) -> click.Command:
    found: click.Command = importlib.import_module(f"elephant.cli.{name}").command
    return found


def _added(ctx: click.Context) -> dict[str, tuple[Plugin, EntryPoint]]:
    """Return the commands of other packages by name; looked for once in a run."""
    if _ADDED not in ctx.meta:
        ctx.meta[_ADDED] = {plugin.name: (plugin, entry) for plugin, entry in installed("command")}
    added: dict[str, tuple[Plugin, EntryPoint]] = ctx.meta[_ADDED]
    return added


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
