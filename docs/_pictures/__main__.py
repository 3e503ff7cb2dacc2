"""``make docs-pictures``: run the tutorial in a folder, and draw what came out."""

import sys
import tempfile
from pathlib import Path

from _pictures import diagrams, method, screens, story, tutorial


def main(folder: Path) -> None:
    """Make all pictures from what the tutorial leaves in `folder`."""
    story.play(folder)
    tutorial.draw(folder)
    method.draw(folder)
    diagrams.draw()
    screens.take(folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).absolute())
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
