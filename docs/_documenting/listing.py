"""The list of all pages, which stands beside each of them."""

from functools import partial
from typing import Any

from docutils.nodes import bullet_list
from sphinx.addnodes import toctree
from sphinx.application import Sphinx


def prepare(app: Sphinx, _builder: object) -> None:
    """Have a list of titles made from titles alone.

    For each page, Sphinx copies the contents of all pages, with every name of the reference, and then drops all but the
    titles: a fifth of the time.
    """
    titles = {page: _title_of(contents) for page, contents in app.env.tocs.items()}
    app.connect("html-page-context", partial(_list_titles, titles), priority=400)  # before the theme asks for the list


def _list_titles(
    titles: dict[str, bullet_list], app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: object
) -> None:
    list_pages = context["toctree"]

    def listed(**options: Any) -> Any:
        if not options.get("titles_only"):
            return list_pages(**options)
        whole = app.env.tocs
        app.env.tocs = titles
        try:
            return list_pages(**options)
        finally:
            app.env.tocs = whole

    context["toctree"] = listed


def _title_of(contents: bullet_list) -> bullet_list:
    """Return a copy of a page's contents with its title alone, or all of them where it lists other pages."""
    copied = contents.deepcopy()
    if not any(copied.findall(toctree)):
        for item in copied.children:
            del item[1:]
    return copied
