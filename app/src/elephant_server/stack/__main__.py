"""``python -m elephant_server.stack``: run a server in the foreground."""

import argparse
import sys

from elephant.errors import ElephantError
from elephant_server.settings import load_settings
from elephant_server.stack.launcher import serve


def main() -> int:
    """Run until stopped; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m elephant_server.stack", description=main.__doc__)
    parser.add_argument("--url", action="store_true", help="print the address of the server and end")
    options = parser.parse_args()
    try:
        settings = load_settings()
        if options.url:
            print(settings.http_url)
        else:
            serve(settings)
    except ElephantError as error:
        print(f"Cannot serve: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
