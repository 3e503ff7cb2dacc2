"""``elephant serve``, also as ``python -m elephant_server.embedded``."""

import sys
from pathlib import Path

import click

from elephant.errors import ElephantError
from elephant.memory import uncollected
from elephant_server.embedded.spawning import started_early

_HELP = """Serve the ELEPHANT client of Mastodon without the whole stack.

Needs no other program. Settings are variables that begin with ELEPHANT_, or lines of a file .env in the current folder;
these options override them. The client gets no messages over RabbitMQ unless ELEPHANT_RABBITMQ_HOST names a broker.

\b
Example:
  elephant serve --workspace /data/elephant --port 8081
"""


def serve(port: int | None, workspace: Path | None, gpu: str | None) -> int:
    """Run the command."""
    given = {"http_port": port, "workspace": workspace, "gpu": gpu}
    with started_early() as first:
        with uncollected():
            from elephant_server.embedded.server import serve as run
            from elephant_server.settings import load_settings
        try:
            run(load_settings(**{name: value for name, value in given.items() if value is not None}), first)
        except ElephantError as error:
            click.echo(f"Cannot serve: {error}", err=True)
            return 1
    return 0


command = click.Command(
    "serve",
    callback=serve,
    help=_HELP,
    params=[
        click.Option(["--port"], type=click.IntRange(1, 65535), help="Port of the server's address."),
        click.Option(["--workspace"], type=click.Path(path_type=Path), help="Folder of datasets, models and logs."),
        click.Option(["--gpu"], help="all, an index, a list (0,1), or '' for none."),
    ],
)


def main() -> int:
    """Run the command by itself: ``python -m elephant_server.embedded``."""
    return int(command.main(standalone_mode=False) or 0)


if __name__ == "__main__":
    sys.exit(main())
