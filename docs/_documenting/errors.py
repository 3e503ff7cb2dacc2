"""The table of errors, from the classes and from what the server answers for them."""

import inspect
from types import ModuleType

import elephant.errors
import elephant_server.errors
from _documenting.tables import cell, code, sentence, table
from elephant.errors import Cancelled, ElephantError
from elephant_server.api.errors import status_of


def page() -> str:
    """Return the table of all errors that a person can do something about."""
    rows = [(f"{{py:class}}`{name}`", _status(kind), _words(kind)) for name, kind in _kinds(elephant.errors)]
    rows += [(code(kind.__name__), _status(kind), _words(kind)) for _, kind in _kinds(elephant_server.errors)]
    return table(("error", "status", "meaning"), rows)


def _kinds(module: ModuleType) -> list[tuple[str, type[Exception]]]:
    """Return the errors that a module declares."""
    return [
        (f"{module.__name__}.{name}", kind)
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == module.__name__
    ]


def _status(kind: type[Exception]) -> str:
    if kind is Cancelled:
        return "200, `completed: false`; 204 of files"
    return str(status_of(kind(""))) if issubclass(kind, ElephantError) else "500"


def _words(kind: type[Exception]) -> str:
    return sentence(cell((kind.__doc__ or "").split("\n\n")[0]).replace(":class:", ""))
