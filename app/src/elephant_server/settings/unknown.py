"""Variables that look like settings but are not: usually one is misspelt, and its default is used silently."""

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from elephant_server.settings.base import PREFIX, variable
from elephant_server.settings.loading import Settings, env_files

_LIKE = 0.7
# What the scripts for containers, and the tests, read.
_OF_SCRIPTS = frozenset(
    PREFIX + name
    for name in (
        *("APPTAINER", "BASE", "CHECKOUT", "DOCKER", "IMAGE_NAME", "INSTANCE", "LOGIN_NODE", "SIF", "TORCH"),
        *("TEST_CLIENT", "TEST_IMAGE", "TEST_STACK"),
    )
)


def unknown_settings() -> list[str]:
    """Return a sentence for each variable, or line of a ``.env`` file, that looks like a setting but is not."""
    found = [_describe(name, "") for name in _unknown(os.environ)]
    for file in env_files():
        found += [_describe(name, f" in {file}") for name in _unknown(_names_in(file))]
    return found


def known_names() -> frozenset[str]:
    """Return all names that the server or its scripts know."""
    return frozenset(variable(field) for field in Settings.model_fields) | _OF_SCRIPTS


def _unknown(names: Iterable[str]) -> Iterator[str]:
    known = known_names()
    return (name for name in sorted(names) if name.upper().startswith(PREFIX) and name.upper() not in known)


def _names_in(file: Path) -> list[str]:
    try:
        return list(dotenv_values(file, encoding="utf-8")) if file.is_file() else []
    except (OSError, UnicodeDecodeError):  # refused where the settings are read
        return []


def _describe(name: str, place: str) -> str:
    plain = {known.removeprefix(PREFIX): known for known in sorted(known_names())}
    near = get_close_matches(name.upper().removeprefix(PREFIX), plain, n=1, cutoff=_LIKE)
    remedy = f"did you mean {plain[near[0]]}?" if near else "`docs/reference/settings.md` lists them."
    return f"{name}{place} is not a setting and has no effect: {remedy}"
