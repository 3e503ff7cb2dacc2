"""Docstrings as Sphinx needs them, where it would read something else in them than a person does."""

import re
from collections.abc import Mapping
from typing import Any

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx

from _documenting.tables import sentence

_NAMES = re.compile(r"^\s*\w+(, \w+)+$")
_BOUNDS: Mapping[type, tuple[str, str]] = {
    annotated_types.Ge: ("ge", "at least"),
    annotated_types.Gt: ("gt", "above"),
    annotated_types.Le: ("le", "at most"),
    annotated_types.Lt: ("lt", "below"),
}


def prepare(_app: Sphinx, what: str, _name: str, thing: Any, _options: object, lines: list[str]) -> None:
    """Change the lines of a docstring in place, before they are parsed."""
    for i, line in enumerate(lines):
        if _NAMES.match(line):
            lines[i] = line.replace(", ", ",")  # or all names but the last would be
    if what == "class" and issubclass(thing, BaseModel):
        lines += ["", *(f"* **{name}**: {_about(field)}" for name, field in thing.model_fields.items()), ""]


def sign(_app: Sphinx, what: str, _name: str, thing: Any, *_: object) -> tuple[str, None] | None:
    """Leave out the signature of parameters, whose fields are listed with their meanings."""
    return ("", None) if what == "class" and issubclass(thing, BaseModel) else None


def fields_of(module: object) -> set[str]:
    """Return the names of the fields of all parameters of a module, which are no members to show once more."""
    models = (thing for thing in vars(module).values() if isinstance(thing, type) and issubclass(thing, BaseModel))
    return {name for model in models for name in (*model.model_fields, "model_config")}


def _about(field: FieldInfo) -> str:
    limits = [f"{word} {getattr(limit, key)}" for limit in field.metadata for kind, (key, word) in _BOUNDS.items()
              if isinstance(limit, kind)]  # fmt: skip
    if not field.is_required():
        shown = repr(field.default)
        limits.append(f"by default ``{shown if len(shown) < 40 else type(field.default).__name__ + '()'}``")
    words = field.description or f"see :class:`{getattr(field.annotation, '__name__', '')}`"
    return sentence(words.replace("*", "\\*") + (f" ({', '.join(limits)})" if limits else ""))
