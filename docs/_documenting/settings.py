"""The page of the settings, from the models that check them."""

import typing
from pathlib import Path
from types import UnionType

from pydantic.fields import FieldInfo

from _documenting.tables import code, sentence, table
from elephant_server.settings import Settings, variable
from elephant_server.settings.base import SettingsGroup


def page() -> str:
    """Return a section for each group of settings, in the order in which they are declared."""
    parts = []
    for group in groups():
        rows = [row(name, field) for name, field in own_fields(group).items()]
        words = (group.__doc__ or "").splitlines()[0].removesuffix(".")
        parts += [f"## {words if group is not Settings else 'Messages'}", table(HEAD, rows)]
    return "\n\n".join(parts)


HEAD = ("variable", "default", "values", "meaning")


def groups() -> list[type[SettingsGroup]]:
    """Return the groups that make up the settings, those of the services first."""
    found = [kind for kind in Settings.__mro__ if issubclass(kind, SettingsGroup) and own_fields(kind)]
    return [*found[1:], found[0]]


def own_fields(group: type[SettingsGroup]) -> dict[str, FieldInfo]:
    """Return the fields that a group declares itself."""
    return {name: field for name, field in group.model_fields.items() if name in vars(group).get("__annotations__", {})}


def row(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    """Return the cells of one setting."""
    return (code(variable(name)), default_of(field), values_of(field), sentence(field.description or ""))


def default_of(field: FieldInfo) -> str:
    """Return the default as it would be written in a ``.env`` file; nothing where it is found at the start."""
    value = field.default
    if field.default_factory is not None or value is None or value == "":
        return ""
    return code(str(value).lower() if isinstance(value, bool) else value)


def values_of(field: FieldInfo) -> str:
    """Return what a value may be, in words."""
    kind = field.annotation
    if isinstance(kind, UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    metadata = list(field.metadata)
    if typing.get_origin(kind) is typing.Annotated:
        kind, *more = typing.get_args(kind)
        metadata += [m for info in more for m in getattr(info, "metadata", [])]
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(map(code, typing.get_args(kind)))
    bounds = {name: getattr(m, name) for m in metadata for name in ("ge", "le") if hasattr(m, name)}
    if "ge" in bounds and "le" in bounds:
        return f"{bounds['ge']} to {bounds['le']}"
    if "ge" in bounds:
        return f"{bounds['ge']} or more"
    words = {bool: "`true`, `false`", Path: "a path", str: "text", int: "a number"}
    return next((word for known, word in words.items() if kind is known), "")
