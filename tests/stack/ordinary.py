"""An ordinary user who can run the server, where the tests run as root."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from elephant_server.settings import checkout_root

UID, GID = 65534, 65534
SOURCES = ("elephant-core/src", "app/src")


@pytest.fixture(scope="session")
def readable() -> Iterator[Path]:
    """Give a folder that every user can read; pytest's own are for who runs it."""
    with tempfile.TemporaryDirectory(prefix="elephant-users-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def python_of_user(readable: Path) -> str | None:
    """Give a Python with the server's packages that an ordinary user can run, if there is one: this or another."""
    command = [sys.executable, "-c", "import elephant_server.deploy.launcher, torch"]
    if _as_user(command) == 0:
        return sys.executable
    system = f"/usr/bin/python3.{sys.version_info.minor}"
    if not Path(system).exists() or not os.access(checkout_root(), os.R_OK) or _as_user([system, "-c", ""]) != 0:
        return None
    return _make_environment(readable / "venv", system)


@pytest.fixture(scope="session")
def python(python_of_user: str | None) -> str:
    """Give the same, and skip what needs it where there is none."""
    if python_of_user is None:
        pytest.skip(f"user {UID} can run neither {sys.executable} nor that of the system")
    return python_of_user


def _as_user(command: list[str]) -> int:
    try:
        return subprocess.call(command, user=UID, group=GID, extra_groups=[], stderr=subprocess.DEVNULL, cwd="/")
    except OSError:
        return 1


def _make_environment(folder: Path, system: str) -> str:
    """Make a virtual environment of the system's Python that has the packages of this one."""
    subprocess.run([system, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python3*/site-packages"))
    paths = [sysconfig.get_path("purelib"), *(str(checkout_root() / source) for source in SOURCES)]
    (packages / "elephant.pth").write_text("\n".join(paths))
    script = Path(sysconfig.get_path("scripts")) / "uwsgi"
    lines = script.read_text().splitlines()
    own = folder / "bin" / "uwsgi"
    own.write_text("\n".join([f"#!{folder}/bin/python", *lines[1:]]))
    own.chmod(0o755)
    # Redis' client asks for this before 3.11.3, and it is installed with it there.
    (packages / "async_timeout.py").write_text("from asyncio import timeout as timeout\n")
    return str(folder / "bin" / "python")
