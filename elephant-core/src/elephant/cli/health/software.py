"""Python and the packages."""

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from elephant.cli.health.findings import Finding, ok, problem

# The module to import, by the name of its package. A wheel for another machine is installed, but does not import.
_PACKAGES = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy.ndimage",
    "scikit-image": "skimage.transform",
    "zarr": "zarr",
    "h5py": "h5py",
    "tifffile": "tifffile",
    "pydantic": "pydantic",
    "filelock": "filelock",
}
_OLDEST = (3, 11)


def check_software(_workspace: Path | None) -> Iterator[Finding]:
    """Look at Python and at the packages that the core needs."""
    found = sys.version_info[:3]
    text = f"{'.'.join(map(str, found))} at {sys.executable}"
    if found[:2] < _OLDEST:
        yield problem("python", text, f"Install Python {'.'.join(map(str, _OLDEST))} or newer.")
    else:
        yield ok("python", text)
    yield from check_packages(_PACKAGES)


def check_packages(packages: dict[str, str], heading: str = "packages") -> Iterator[Finding]:
    """Look at packages, each with the module that shows whether it works."""
    working = []
    for name, module in packages.items():
        try:
            importlib.import_module(module)
            working.append(f"{name} {version(name)}")
        except (ImportError, OSError, PackageNotFoundError) as error:  # OSError: a library of the system is missing
            reason = (str(error).strip().splitlines() or [""])[0]
            yield problem(name, f"cannot be used: {reason}", f"Reinstall it: pip install --force-reinstall {name}")
    yield ok(heading, ", ".join(working))
