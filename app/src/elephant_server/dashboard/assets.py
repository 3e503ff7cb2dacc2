"""The files of the page, read once and kept as they are sent."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
VERSION_MARK, MODULES_MARK = b"{{ version }}", b"{{ modules }}"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page.

    Attributes
    ----------
    content, packed
        Its bytes, and the same compressed.
    mimetype
        Its media type.
    tag
        Changes with the content.
    """

    content: bytes
    packed: bytes
    mimetype: str
    tag: str


def read_assets(folder: Path = FOLDER) -> dict[str, Asset]:
    """Return the page's files by their names.

    The page names the others by a version that changes with any of them, so that browsers may keep them for good. It
    also names all modules, so that they are asked for at once and not one after the other.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.suffix in TYPES}
    contents = {name: path.read_bytes() for name, path in files.items()}
    version = hashlib.sha256(b"".join(name.encode() + text for name, text in contents.items())).hexdigest()[:12]
    scripts = [name for name in contents if name.endswith(".js")]
    modules = "\n".join(f'<link rel="modulepreload" href="dashboard/static/{version}/{name}">' for name in scripts)
    return {name: _asset(name, text, version, modules) for name, text in contents.items()}


def _asset(name: str, content: bytes, version: str, modules: str) -> Asset:
    suffix = Path(name).suffix
    if suffix == ".html":
        content = content.replace(VERSION_MARK, version.encode()).replace(MODULES_MARK, modules.encode())
    tag = hashlib.sha256(content).hexdigest()[:16]
    return Asset(content, gzip.compress(content, 9, mtime=0), TYPES[suffix], tag)
