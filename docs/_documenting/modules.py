"""The pages of the Python interface: a page a room, and references by any name under which a thing is known."""

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils.nodes import Element, TextElement
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

import elephant
from _documenting.docstrings import fields_of
from _documenting.tables import sentence, table

logger = logging.getLogger(__name__)
PACKAGE = Path(elephant.__file__).parent
PAGES = Path(__file__).parents[1] / "reference" / "python"
DOCUMENTED = ("elephant.", "elephant_server.client")
LEFT_OUT = {"cli"}  # the command line has a page of its own


def rooms() -> list[str]:
    """Return the names of the packages and modules below ``elephant``."""
    names = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in _sources(PACKAGE)}
    return sorted(names - {"__init__"} - LEFT_OUT)


def room(name: str) -> str:
    """Return the page of a room: its modules, and what is in them."""
    package = PACKAGE / name
    if not package.is_dir():
        return f"# elephant.{name}\n\n{_automodule(f'elephant.{name}')}"
    parts = [f"# elephant.{name}", f"```{{eval-rst}}\n.. automodule:: elephant.{name}\n```"]
    for path in _sources(package):
        if path.name != "__init__.py":
            dotted = ".".join(("elephant", *path.relative_to(PACKAGE).with_suffix("").parts))
            parts.append(f"## {dotted.removeprefix('elephant.')}\n\n{_automodule(dotted)}")
    return "\n\n".join(parts)


def overview() -> str:
    """Return a table of the rooms with their first words."""
    rows = [(f"[{name}]({name}.md)", sentence(_words(name))) for name in rooms()]
    return table(("room", "what is in it"), rows)


def check_pages(_app: Sphinx) -> None:
    """Warn where a room has no page, or a page no room."""
    there = {path.stem for path in PAGES.glob("*.md")} - {"index"}
    for name in sorted(there ^ set(rooms())):
        logger.warning("docs/reference/python/%s.md: rooms and pages differ", name)


def find(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: TextElement) -> Element | None:
    """Resolve a reference by what its name means in its module, wherever that was declared.

    What belongs to another project stays without a link. Returns None where there is no such thing.
    """
    if node.get("refdomain") != "py":
        return None
    found = _meaning(node["reftarget"].split("[")[0], node.get("py:module"))
    if found is None:
        return None
    module, name = found
    if not module.startswith(DOCUMENTED):
        return content
    domain = env.get_domain("py")
    page = node.get("refdoc", env.docname)
    return domain.resolve_xref(env, page, app.builder, "obj", f"{module}.{name}", node, content) or content


def _meaning(target: str, module: str | None) -> tuple[str, str] | None:
    """Return the module that declares a thing and the thing's name there."""
    for scope, path in _readings(target, module):
        thing: Any = scope
        try:
            for part in path:
                thing = getattr(thing, part)
        except AttributeError:
            continue
        return getattr(thing, "__module__", None) or scope.__name__, getattr(thing, "__qualname__", path[-1])
    return None


def _readings(target: str, module: str | None) -> Iterator[tuple[Any, list[str]]]:
    parts = target.split(".")
    if module:
        yield importlib.import_module(module), parts
    yield sys.modules["builtins"], parts
    for n in range(len(parts) - 1, 0, -1):
        try:
            yield importlib.import_module(".".join(parts[:n])), parts[n:]
        except ImportError:
            continue


def _automodule(dotted: str) -> str:
    fields = sorted(fields_of(importlib.import_module(dotted)))
    without = f"   :exclude-members: {', '.join(fields)}\n" if fields else ""
    members = f"   :members: {', '.join(own)}\n" if (own := list(_own_members(dotted))) else ""
    return f"```{{eval-rst}}\n.. automodule:: {dotted}\n{members}   :show-inheritance:\n{without}```"


def _own_members(dotted: str) -> Iterator[str]:
    """Yield the public names of a module: those in ``__all__``, or those that it declares.

    Asked for all members, autodoc also prepares what a module imports before it leaves it out: a third of the time.
    """
    module = importlib.import_module(dotted)
    if hasattr(module, "__all__"):
        yield from module.__all__
        return
    analyzer = ModuleAnalyzer.for_module(dotted)
    analyzer.analyze()
    for name, thing in vars(module).items():
        is_own = ("", name) in analyzer.attr_docs or getattr(thing, "__module__", dotted) == dotted
        if is_own and not name.startswith("_"):
            yield name


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _words(name: str) -> str:
    path = PACKAGE / name
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0]
