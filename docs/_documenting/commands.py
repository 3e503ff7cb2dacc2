"""The pages of the command line, from click's own objects."""

import re
from collections.abc import Callable, Iterator
from itertools import groupby

import click

from _documenting.tables import code, sentence, table
from elephant.cli.main import elephant
from elephant.cli.options import Option

# Two hyphens would become a dash.
_OPTION = re.compile(r"--[a-z][\w-]*( [a-z0-9]+\b(?=[.)]))?")


def page() -> str:
    """Return a section for each command, and for each command of a group."""
    return "\n\n".join(section for path, command in commands(elephant, ()) for section in _sections(path, command))


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command below a group with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def _sections(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(("elephant", *path)))
    yield f"{'#' * (len(path) + 1)} elephant {' '.join(path)}"
    yield f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```"
    yield _help(command.help or "")
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    for heading, members in groupby(sorted(options, key=_place(options)), key=_heading):
        yield f"**{_with_code(heading)}**"
        yield table(("option", "meaning", "default"), [_row(option, context) for option in members])


def _help(text: str) -> str:
    """Return the text of a help; paragraphs that click leaves alone stay as they are."""
    parts = []
    for paragraph in text.replace("\b\n", "\b").split("\n\n"):
        if paragraph.startswith("\b"):
            heading, *lines = paragraph[1:].splitlines()
            shown = "\n".join(line.removeprefix("  ") for line in lines)
            parts.append(f"{heading}\n\n```sh\n{shown}\n```")
        else:
            parts.append(_with_code(" ".join(paragraph.split()).replace("<", "\\<")))
    return "\n\n".join(parts)


def _with_code(words: str) -> str:
    """Return words whose options are code, unless they are within such."""
    parts = words.split("`")
    return "`".join(part if i % 2 else _OPTION.sub(r"`\g<0>`", part) for i, part in enumerate(parts))


def _heading(option: click.Option) -> str:
    return option.section if isinstance(option, Option) else "Options"


def _place(options: list[click.Option]) -> Callable[[click.Option], int]:
    order = list(dict.fromkeys(map(_heading, options)))
    return lambda option: order.index(_heading(option))


def _row(option: click.Option, context: click.Context) -> tuple[str, str, str]:
    record = option.get_help_record(context)
    names = record[0] if record else ", ".join(option.opts)
    words = _with_code(sentence(option.help or ""))
    if option.envvar:
        words += f" The variable {code(option.envvar)} says the same."
    if option.required:
        return code(names), words, "*required*"
    default = option.default if option.show_default and option.default is not None else ""
    if isinstance(default, tuple | list):
        default = " ".join(map(str, default))
    return code(names), words, code(default)
