"""Files of the repository's root that are pages too, and links to them."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    "SECURITY.md": "explanation/security.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
}
_LINK = re.compile(r"\]\(([^)#\s:]+\.md)(#[^)]*)?\)")
_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)\n?")


def page(name: str) -> str:
    """Return a file of the root; its links lead from there."""
    text = (ROOT / name).read_text(encoding="utf-8")
    page_file = ROOT / "docs" / PAGES[name]
    return _LINK.sub(lambda link: _moved(link, ROOT, page_file), text)


def with_links_inside(text: str, page_file: Path, docs: Path) -> str:
    """Return a page whose links to files of the root lead to the pages that these are here."""

    def inside(link: re.Match[str]) -> str:
        target = (page_file.parent / link[1]).resolve()
        is_root = target.parent == docs.resolve().parent
        return _moved(link, page_file.parent, page_file) if is_root and target.name in PAGES else link[0]

    return _LINK.sub(inside, text)


def _moved(link: re.Match[str], begin: Path, page_file: Path) -> str:
    target = (begin / link[1]).resolve()
    if target.parent == ROOT and target.name in PAGES:
        target = ROOT / "docs" / PAGES[target.name]
    return f"]({os.path.relpath(target, page_file.parent)}{link[2] or ''})"
