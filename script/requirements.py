"""Print what the packages in the given folders need from elsewhere, a line each: a layer of the image is made of it."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

# A name, and the extras that are wanted of it.
_NAMED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?")


def requirements(folders: list[Path]) -> list[str]:
    """Return the dependencies of the packages in ``folders`` and what they are built with, without each other.

    Of each other they may want extras, whose dependencies are among those that are returned.
    """
    descriptions = [tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")) for folder in folders]
    own: dict[str, dict[str, Any]] = {d["project"]["name"]: d["project"] for d in descriptions}
    found = {r for description in descriptions for r in description["build-system"]["requires"]}
    for project in own.values():
        for wanted in project.get("dependencies", ()):
            found.update(_of_extras(wanted, own) if _name(wanted) in own else (wanted,))
    return sorted(found)


def _of_extras(wanted: str, own: dict[str, dict[str, Any]]) -> list[str]:
    matched = _NAMED.match(wanted)
    extras = (matched[2] or "").split(",") if matched else []
    known = own[_name(wanted)].get("optional-dependencies", {})
    return [requirement for extra in extras if extra.strip() for requirement in known[extra.strip()]]


def _name(requirement: str) -> str:
    matched = _NAMED.match(requirement)
    return matched[1] if matched else requirement


if __name__ == "__main__":
    print("\n".join(requirements([Path(folder) for folder in sys.argv[1:]])))
