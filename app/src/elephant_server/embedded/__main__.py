"""``python -m elephant_server.embedded``: the same as ``elephant serve``."""

import sys

from elephant_server.embedded.command import main

if __name__ == "__main__":
    sys.exit(main())
