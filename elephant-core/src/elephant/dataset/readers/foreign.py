"""Which package reads a file of a microscope, and how to install it; nothing of these packages is imported here."""

import importlib.util
from pathlib import Path

BIOIO = "bioio"
# What each of bioio's plug-ins reads best, by the ending of the file's name.
_PLUGINS = {
    ".czi": "bioio-czi",
    ".lif": "bioio-lif",
    ".nd2": "bioio-nd2",
    ".dv": "bioio-dv",
    ".r3d": "bioio-dv",
    ".sldy": "bioio-sldy",
    ".lsm": "bioio-bioformats",
    ".oib": "bioio-bioformats",
    ".oif": "bioio-bioformats",
    ".vsi": "bioio-bioformats",
}


def plugin_for(path: Path) -> str | None:
    """Return the name of the plug-in of bioio for a file, by its ending; None if it is of another format."""
    return _PLUGINS.get(path.suffix.lower())


def how_to_install(path: Path) -> str | None:
    """Return a sentence that says how to install what reads a file; None if it is there, or nothing reads the file."""
    plugin = plugin_for(path)
    if plugin is None or all(importlib.util.find_spec(name) for name in (BIOIO, plugin.replace("-", "_"))):
        return None
    java = ", and Java" if plugin == "bioio-bioformats" else ""
    return (
        f"{path.name} is read by the package {plugin}, which is not installed here: "
        f'pip install "elephant-core[bioio]" {plugin}{java}; or open the movie in Fiji and export it as OME-TIFF'
    )
