"""What all commands have in common, and the options that several have."""

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from elephant.cli.running import Session
from elephant.cli.variables import REMOTE_CACHE, S3_ENDPOINT, gibibytes, unknown_variables, value_of

IMAGE_SECTION = "Image"
SPOTS_SECTION = "Files of spots"
_REPEATED = f"{__name__}.repeated"

logger = logging.getLogger(__name__)


class Option(click.Option):
    """An option that stands in a section of its command's help.

    Parameters
    ----------
    section
        Heading of the section.
    """

    def __init__(self, names: Sequence[str], *, section: str = "Options", **settings: Any) -> None:
        super().__init__(names, **settings)
        self.section = section

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:  # noqa: ARG002 - the shape of click's method
        """Return the value of the option's variable, from the environment or a ``.env`` file."""
        return value_of(self.envvar) if isinstance(self.envvar, str) else None


class Command(click.Command):
    """A command with the options that all of them have.

    Parameters
    ----------
    warns_of_variables
        Whether it warns of misspelt variables; False if its results name them anyway.
    """

    def __init__(
        self,
        name: str,
        *,
        params: Sequence[click.Parameter] = (),
        warns_of_variables: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(name, params=[*params, *_common()], **settings)
        self._warns_of_variables = warns_of_variables

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options by their sections, in the order in which they were declared."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        sections = list(dict.fromkeys(map(_section, options)))
        ordered = sorted(options, key=lambda option: sections.index(_section(option)))
        for section, members in groupby(ordered, key=_section):
            rows = [row for row in (option.get_help_record(ctx) for option in members) if row]
            with formatter.section(section):
                formatter.write_dl(rows)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments, and remember which options were given more often than they count."""
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        given = Counter(param.name for param in order if _counts_once(param))
        ctx.meta[_REPEATED] = [param for param in self.params if given[param.name] > 1]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Set up logging as the options say, then run."""
        session = ctx.ensure_object(Session)
        session.options = {str(p.name): p.opts[-1] for p in self.params if isinstance(p, click.Option)}
        with session.logging_to_terminal():
            for option in ctx.meta[_REPEATED]:
                logger.warning("%s was given more than once: the last one counts", option.opts[-1])
            for words in unknown_variables() if self._warns_of_variables else ():
                logger.warning("%s", words)
            return super().invoke(ctx)


def _counts_once(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and not param.multiple and not param.is_flag


def _section(option: click.Option) -> str:
    return option.section if isinstance(option, Option) else "Other"


def _common() -> list[click.Parameter]:
    return [
        _switch(["-q", "--quiet"], "quiet", "Show no progress and no warnings; results and errors are still printed."),
        _switch(["-v", "--verbose"], "verbose", "Also print log messages."),
        _switch(["--debug"], "debug", "Show where an error comes from."),
    ]


def _switch(names: list[str], field: str, words: str) -> click.Option:
    def take(ctx: click.Context, _param: click.Parameter, is_set: bool) -> None:
        setattr(ctx.ensure_object(Session), field, is_set)

    return Option([*names, field], is_flag=True, expose_value=False, callback=take, help=words, section="Other")


def dataset_argument() -> click.Argument:
    """Return the argument DATASET."""
    return click.Argument(["dataset"], metavar="DATASET")


def workspace() -> Option:
    """Return the option for the folder below which names are."""
    return Option(
        ["--workspace"],
        type=click.Path(path_type=Path, file_okay=False),
        envvar="ELEPHANT_WORKSPACE",
        show_envvar=True,
        callback=_cache_below,
        metavar="FOLDER",
        section="Locations",
        help="Folder of the datasets (datasets/) and models (models/); by default ./workspace, if it exists. A path "
        "works in place of a name.",
    )


def _cache_below(_ctx: click.Context, _param: click.Parameter, folder: Path | None) -> Path | None:
    """Let what is read of movies on other machines be kept below the workspace."""
    from elephant.cli.workspace import chosen_workspace
    from elephant.io.addresses import AWS, CACHE, DEFAULT_CACHE_GIB, RemoteRules, use_rules

    chosen = chosen_workspace(folder)
    use_rules(
        RemoteRules(
            cache=None if chosen is None else chosen.absolute() / CACHE,
            cache_bytes=gibibytes(REMOTE_CACHE, DEFAULT_CACHE_GIB),
            s3_endpoint=value_of(S3_ENDPOINT) or AWS,
        )
    )
    return folder


def voxel_size(default: str = "that of the dataset, if known") -> Option:
    """Return the option for the voxel size."""
    return Option(
        ["--voxel-size"],
        nargs=3,
        type=float,
        metavar="X Y Z",
        help="Physical size of a voxel, X Y Z, in the unit of the positions. In 2D Z is ignored. By default "
        f"{default}.",
    )


def model(words: str, *, required: bool = True) -> Option:
    """Return the option for the model file."""
    return Option(["--model"], required=required, metavar="NAME.pth", help=words)


def device() -> Option:
    """Return the option for what computes."""
    return Option(
        ["--device"],
        default="auto",
        show_default=True,
        metavar="NAME",
        section="Other",
        help="Device to compute on: auto, cpu, cuda, cuda:1, mps.",
    )


def timepoints() -> Option:
    """Return the option for timepoints."""
    return Option(
        ["-t", "--timepoints"],
        metavar="LIST",
        help="Timepoints, counted from 0: 3, 0-9, or 0,2,5-7. By default all.",
    )


def spots(words: str, *, required: bool = True) -> Option:
    """Return the option for files of spots, which may be given several times."""
    return files_of_spots("--spots", f"{words} May be given several times.", required=required)


def files_of_spots(name: str, words: str, *, required: bool, section: str = "Options") -> Option:
    """Return an option for files of spots."""
    return Option(
        [name],
        type=click.Path(path_type=Path, allow_dash=True),
        multiple=True,
        required=required,
        metavar="FILE",
        section=section,
        help=words,
    )


def output(words: str) -> Option:
    """Return the option for the file that is written."""
    return Option(["-o", "--output"], type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=words)


def children(name: str = "children") -> Option:
    """Make ``--children``, as parameter `name`."""
    return Option(
        ["--children", name],
        type=click.IntRange(1, 2),
        default=2,
        show_default=True,
        metavar="N",
        section="Tracks",
        help="How many children a spot may have: 2 allows divisions.",
    )


def overwrite() -> Option:
    """Return the option for replacing files other than the output of an earlier run."""
    return Option(
        ["--overwrite"],
        is_flag=True,
        help="Replace FILE even if it is an input, or was not written by elephant. The output of an earlier run is "
        "always replaced.",
    )


def as_json(words: str) -> Option:
    """Return the option for output that a script reads."""
    return Option(["--json", "as_json"], is_flag=True, help=words)
