"""Make a dataset from a BigDataViewer movie: ``elephant convert`` under its old name, with 8 bits by default.

``dataset_generator.py INPUT.h5 OUTPUT_DIR [--uint16] [--divisor D] [--2d]``
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from elephant.cli.convert import command
from elephant.cli.running import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    return run(command, ["--dtype", "uint8", "--overwrite", "--as-path", *given], Path(__file__).name)


if __name__ == "__main__":
    sys.exit(main())
