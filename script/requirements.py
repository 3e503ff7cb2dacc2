"""Print what the packages in the given folders need from elsewhere, a line each: a layer of the image is made of it."""

import sys
import tomllib
from pathlib import Path


def requirements(folders: list[Path]) -> list[str]:
    """Return the dependencies of the packages in ``folders`` and what they are built with, without each other."""
    descriptions = [tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")) for folder in folders]
    own = {description["project"]["name"] for description in descriptions}
    found = [d for description in descriptions for d in description["project"]["dependencies"] if d not in own]
    return sorted({*found, *(r for description in descriptions for r in description["build-system"]["requires"])})


if __name__ == "__main__":
    print("\n".join(requirements([Path(folder) for folder in sys.argv[1:]])))
