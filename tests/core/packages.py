"""Packages that are installed for the length of a test."""

import sys
from pathlib import Path

import pytest


def install(folder: Path, content: str, entries: str, monkeypatch: pytest.MonkeyPatch, name: str = "visitor") -> None:
    """Have a package of one module, with entry points."""
    site = folder / f"site-{name}"
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(content)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(entries)
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(site))
