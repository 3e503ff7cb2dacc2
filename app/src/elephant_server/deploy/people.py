"""``elephant users``: who may use the server, each with a token of their own, in the file of tokens."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from elephant_server.auth.tokens import Holder

_HELP = """Give each person a token of their own.

Their names then stand beside their work: in the dashboard, in the log and in the record of annotations. Changes take
effect at once, without a restart. Tokens are in the file that ELEPHANT_TOKEN_FILE names, or, of a server that other
machines reach, in the one that was generated.

\b
Examples:
  elephant users add "Ana Silva"
  elephant users list
  elephant users remove "Ana Silva"
"""
_HEAD = "# One token per line, then the name of its holder. elephant users add, list and remove change this file."
_BYTES = 32


def add(name: str, file: Path | None) -> None:
    """Add a person, and print the address with the new token."""
    import secrets

    from elephant.errors import InvalidInputError
    from elephant_server.auth.tokens import EXPECTED_NAME, NAME, url_with_token
    from elephant_server.settings import load_settings

    name = " ".join(name.split())
    if not NAME.fullmatch(name):
        raise InvalidInputError(f"{EXPECTED_NAME}, got {name!r}")
    token, path = secrets.token_urlsafe(_BYTES), _file(file)

    def change(lines: list[str]) -> list[str]:
        same = [holder.name for holder in _read(path) if holder.name.casefold() == name.casefold()]
        if same:
            raise InvalidInputError(
                f'{same[0]} has a token already: expected another name, or elephant users remove "{same[0]}" first'
            )
        return [*lines, f"{token} {name}"]

    _change(path, change)
    settings = load_settings()
    click.echo(f"{name} was added to {path}. The address for the client and for a browser, which is as good as a key:")
    click.echo(f"  {url_with_token(_url(), settings, token)}")


def remove(name: str, file: Path | None) -> None:
    """Remove a person, whose token stops working at once."""
    from elephant.errors import InvalidInputError, NotFoundError
    from elephant_server.auth.tokens import read_line

    wanted = " ".join(name.split()).casefold()
    path = _file(file)

    def change(lines: list[str]) -> list[str]:
        holders = _read(path)
        if all(holder.name.casefold() != wanted for holder in holders):
            raise NotFoundError(f"there is no {name} in {path}: elephant users list shows the names")
        if all(holder.name.casefold() == wanted for holder in holders):
            raise InvalidInputError(
                f"{name} has the last token of {path}, without which nobody could get in: add another person first"
            )
        return [line for line in lines if (holder := read_line(line)) is None or holder.name.casefold() != wanted]

    _change(path, change)
    click.echo(f"{name} was removed from {path}: the token no longer works")


def show(file: Path | None) -> None:
    """List the names; tokens are not shown."""
    holders = _read(_file(file))
    unnamed = sum(not holder.name for holder in holders)
    for holder in holders:
        if holder.name:
            click.echo(holder.name)
    if unnamed:
        click.echo(f"and {unnamed} without a name" if unnamed < len(holders) else f"{unnamed} without a name")


def _url() -> str:
    from elephant_server.deploy.launcher import network_url
    from elephant_server.settings import load_settings

    return network_url(load_settings())


def _file(given: Path | None) -> Path:
    """Return the file of tokens.

    Raises
    ------
    elephant.errors.InvalidInputError
        The settings name none.
    """
    from elephant.errors import InvalidInputError
    from elephant_server.settings import load_settings

    settings = load_settings()
    path = given or settings.token_path
    if path is not None:
        return path.absolute()
    if settings.token is not None:
        raise InvalidInputError(
            "ELEPHANT_TOKEN holds one token for everybody: expected ELEPHANT_TOKEN_FILE, the path of a file for several"
        )
    raise InvalidInputError(
        "this server requires no token, since only its own machine reaches it: set ELEPHANT_TOKEN_FILE to the path of "
        "a file, or ELEPHANT_BIND_ADDRESS so that others reach it, then add people"
    )


def _read(path: Path) -> tuple["Holder", ...]:
    from elephant.errors import InvalidInputError, reason_of
    from elephant_server.auth.tokens import read_tokens

    try:
        return read_tokens(path)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read ({reason_of(error)}): run this as the user who owns it"
        ) from error
    except ValueError as error:
        raise InvalidInputError(str(error)) from error


def _change(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Change the lines of the file of tokens, whole or not at all; others who change it wait."""
    from filelock import FileLock

    from elephant.errors import InvalidInputError
    from elephant.io.atomic import explained_storage, replacing
    from elephant_server.auth.tokens import LARGEST_BYTES

    with explained_storage("the file of tokens", path.parent, 1 << 16):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            _read(path)  # what cannot be understood is not changed
            before = path.stat() if path.exists() else None
            lines = change(path.read_text(encoding="utf-8").splitlines() if before else [_HEAD])
            content = "".join(f"{line}\n" for line in lines).encode()
            if len(content) > LARGEST_BYTES:
                raise InvalidInputError(
                    f"{path} would take more than {LARGEST_BYTES // 1024} KiB, and then nobody could get in: remove "
                    "people first"
                )
            with replacing(path, mode=(before.st_mode & 0o660) if before else 0o600) as file:
                file.write(content)
            _keep_owner(path, before or path.parent.stat())


def _keep_owner(path: Path, owner: os.stat_result) -> None:
    """Leave the file to whom it belonged: the server may run as another user than root, who adds people."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


_FILE = click.Option(
    ["--file"], type=click.Path(path_type=Path), help="File of tokens; by default that of the server's settings."
)
_NAME = click.Argument(["name"])

command = click.Group(
    "users",
    help=_HELP,
    commands=[
        click.Command("add", callback=add, help="Add a person, and print their address.", params=[_NAME, _FILE]),
        click.Command("list", callback=show, help="List the names.", params=[_FILE]),
        click.Command("remove", callback=remove, help="Remove a person.", params=[_NAME, _FILE]),
    ],
)
