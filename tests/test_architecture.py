"""Imports keep to their direction: data flows one way, and each room knows only the rooms before it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "elephant-core" / "src" / "elephant"
APP = ROOT / "app" / "src" / "elephant_server"

WEB = {"flask", "werkzeug", "celery", "kombu", "redis", "pika", "elephant_server", "supervisor"}

# Each room may import from itself and from those before it. Rooms in one line do not know each other.
CORE_ORDER: list[set[str]] = [
    {"errors", "progress", "words", "memory", "units"},
    {"types", "io", "hardware", "plugins", "console"},
    {"device", "slabs"},
    {"config"},
    {"keywords"},
    {"geometry", "components"},
    {"dataset", "simulation", "intensities"},
    {"images"},
    {"labels", "tracking"},
    {"export", "lineages"},
    {"annotations", "evaluation"},
    {"crops", "spots", "quality"},
    {"models"},
    {"training", "prediction"},
    {"methods"},
    {"review"},
    {"pipeline"},
    {"cli"},
]
APP_ORDER: list[set[str]] = [
    {"errors", "settings", "device_memory", "publishing", "stop_flag"},
    {"rabbitmq"},
    {"uploads", "movies"},
    {"schemas"},
    {"jobs", "client"},
    {"feed"},
    {"logs"},
    {"services"},
    {"api"},
    {"auth"},
    {"dashboard"},
    {"main", "worker"},
    {"wsgi", "deploy"},
    {"doctor", "embedded", "stack"},
]


def modules(package: Path) -> Iterator[Path]:
    return (path for path in sorted(package.rglob("*.py")))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path: Path, package: Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


# For the tests alone: npy2bdv is under the GPL.
TESTS_ONLY = {"npy2bdv", "pybdv", "z5py"}


def test_what_is_for_the_tests_is_neither_imported_nor_required() -> None:
    for package in (CORE, APP):
        described = (package.parents[1] / "pyproject.toml").read_text()
        assert not [name for name in TESTS_ONLY if name in described]
        for path in modules(package):
            assert not {name.split(".")[0] for name in imports(path)} & TESTS_ONLY, path


@pytest.mark.parametrize("path", list(modules(CORE)), ids=lambda p: str(p.relative_to(CORE)))
def test_the_core_knows_no_web(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & WEB


@pytest.mark.parametrize(
    ("package", "name", "order"), [(CORE, "elephant", CORE_ORDER), (APP, "elephant_server", APP_ORDER)]
)
def test_each_room_knows_only_the_rooms_before_it(package: Path, name: str, order: list[set[str]]) -> None:
    rank = {room_name: i for i, rooms in enumerate(order) for room_name in rooms}
    wrong = []
    for path in modules(package):
        here = room(path, package)
        if here == "__init__":
            continue
        assert here in rank, f"{here} has no place in the order of {name}"
        for imported in imports(path):
            parts = imported.split(".")
            if parts[0] != name or len(parts) < 2 or parts[1] == here or parts[1] not in rank:
                continue
            if rank[parts[1]] >= rank[here]:
                wrong.append(f"{path.relative_to(package)} imports {imported}")
    assert not wrong


def test_a_request_handler_imports_neither_torch_nor_the_workers_code() -> None:
    code = (
        "import sys, elephant_server.main as m; m.create_app();"
        "print([x for x in ('torch', 'elephant.models.unet', 'elephant_server.jobs.tasks') if x in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_launcher_imports_nothing_of_what_the_workers_are_asked() -> None:
    """A health check starts one every few seconds."""
    code = (
        "import sys, elephant_server.deploy.__main__;"
        "print([x for x in ('torch', 'zarr', 'h5py', 'flask', 'celery', 'elephant.dataset') if x in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_importing_anything_connects_to_nothing() -> None:
    code = """
import socket, importlib, pkgutil, elephant, elephant_server
def refuse(*args, **kwargs): raise AssertionError("a connection was tried")
socket.socket.connect = refuse
skipped = ("__main__", "guard", "watch")
for package in (elephant, elephant_server):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name.rsplit(".", 1)[1] not in skipped:
            importlib.import_module(module.name)
print("fine")
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("fine")
