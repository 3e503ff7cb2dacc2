"""Train on one timepoint of a movie and show what is found in the next; needs a running server (make start)."""

import sys

try:
    from elephant_server.demo.run import main
except ModuleNotFoundError as error:
    sys.exit(f"The module {error.name} is missing: install the development environment (make install) first.")

if __name__ == "__main__":
    sys.exit(main())
