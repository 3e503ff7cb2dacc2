"""``python -m elephant_server.deploy``: run a server in the foreground, or query one."""

import argparse
import sys

from elephant.errors import ElephantError
from elephant_server.auth.tokens import password_of, url_with_token
from elephant_server.deploy import health
from elephant_server.deploy.launcher import access, serve
from elephant_server.settings import load_settings


def main() -> int:
    """Run until stopped; return the exit status."""
    options = _parser().parse_args()
    try:
        settings = load_settings()
        if options.health:
            return health.main()
        if options.url:
            print(url_with_token(settings.http_url, settings))
        elif options.access:
            known = settings.model_copy(update={"rabbitmq_password": password_of(settings)})
            print("\n".join(access(known)))
        else:
            serve(settings)
    except ElephantError as error:
        print(f"Cannot serve: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m elephant_server.deploy", description=main.__doc__)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--url", action="store_true", help="print the address of the server, with its token, and exit")
    instead.add_argument("--access", action="store_true", help="print all that a client needs to know, and exit")
    instead.add_argument("--health", action="store_true", help="exit with 0 if the server answers, otherwise with 1")
    return parser


if __name__ == "__main__":
    sys.exit(main())
