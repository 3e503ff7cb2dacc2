"""Train on one timepoint of a movie and show what is found in the next; needs a running server (make serve)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

try:
    from examples.demo.run import main
except ModuleNotFoundError as error:
    sys.exit(f"The module {error.name} is missing: run it as make demo, which installs what is missing.")

if __name__ == "__main__":
    sys.exit(main())
