"""``python -m elephant.cli``: the command, for when its script is not on the path."""

import sys

from elephant.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
