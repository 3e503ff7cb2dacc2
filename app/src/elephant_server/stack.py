"""``python -m elephant_server.stack``: the earlier name of :mod:`elephant_server.deploy`, which scripts still use."""

import sys

from elephant_server.deploy.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
