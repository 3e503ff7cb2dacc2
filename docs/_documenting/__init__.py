"""What Sphinx is taught here: pages, or parts of them, that are made from the code each time.

A page says ``<!-- generated: NAME -->`` or ``<!-- generated: NAME ARGUMENT -->``, and gets the Markdown that the
function of that name in :data:`GENERATORS` returns. So nothing that is generated is kept, and none of it goes stale.
"""

import gc
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

from _documenting import commands, docstrings, errors, finding, http, listing, messages, modules, outside, settings

logger = logging.getLogger(__name__)

GENERATORS: Mapping[str, Callable[..., str]] = MappingProxyType(
    {
        "settings": settings.page,
        "commands": commands.page,
        "http": http.page,
        "errors": errors.page,
        "messages": messages.page,
        "room": modules.room,
        "rooms": modules.overview,
        "file": outside.page,
    }
)
_MARK = re.compile(r"^<!-- generated: (\w+) ?(.*?) ?-->$", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add all of this to Sphinx."""
    app.add_domain(finding.QuickPythonDomain, override=True)
    app.connect("builder-inited", _collect_rarely)
    app.connect("source-read", _fill)
    app.connect("env-get-outdated", _always_anew)
    app.connect("missing-reference", modules.find)
    app.connect("builder-inited", modules.check_pages)
    app.connect("autodoc-process-docstring", docstrings.prepare, priority=400)  # before Napoleon parses it
    app.connect("autodoc-process-signature", docstrings.sign)
    app.connect("write-started", listing.prepare)
    app.connect("html-page-context", _say_level, priority=900)  # when the theme is done
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    text = outside.with_links_inside(source[0], Path(app.env.doc2path(name)), app.srcdir)
    source[0] = _MARK.sub(lambda mark: _generated(name, *mark.groups()), text)


def _collect_rarely(_app: Sphinx) -> None:
    """Look for garbage rarely: pages are millions of objects that stay, and each look would go through all of them."""
    gc.freeze()
    gc.set_threshold(500_000, 20, 50)


def _say_level(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Give the headings of the list of pages a level, without which a screen reader cannot place them."""
    listed = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = listed.replace('role="heading"', 'role="heading" aria-level="2"')


def _generated(page: str, name: str, argument: str) -> str:
    make = GENERATORS.get(name)
    if make is None:
        logger.warning("nothing generates %r; there are %s", name, ", ".join(GENERATORS), location=page)
        return ""
    return make(argument) if argument else make()


def _always_anew(app: Sphinx, *_: object) -> list[str]:
    """Return the pages whose content depends on more than their file."""
    return [name for name in app.env.found_docs if _MARK.search(Path(app.env.doc2path(name)).read_text("utf-8"))]
