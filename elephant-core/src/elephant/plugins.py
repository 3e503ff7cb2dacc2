"""Packages that add to elephant through entry points: finding them, and naming the one at fault.

What a package of somebody else raises is never shown as a fault of elephant's, nor as a traceback: it becomes an error
that names the package.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn, TypeVar

from elephant import errors
from elephant.errors import Cancelled, ElephantError, InvalidInputError, PluginError

OWN_PACKAGE = "elephant-core"
_OWN_KINDS = frozenset({"reader", "exporter", "annotation", "linker"})  # of which elephant itself registers some
FULL_DISK = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a package adds under a name; it holds nothing of the package, and travels between processes.

    Attributes
    ----------
    kind
        What it adds, in words: ``reader``, ``exporter``, ``command``.
    name
        Name of the entry point.
    package
        Name of the package that is installed.
    """

    kind: str
    name: str
    package: str = OWN_PACKAGE

    @property
    def is_own(self) -> bool:
        """Whether it belongs to elephant itself, whose errors are reported as they are."""
        return self.package == OWN_PACKAGE

    @property
    def title(self) -> str:
        """What a person knows it by, such as ``the reader npy of the package elephant-npy``."""
        return f"the {self.kind} {self.name} of the package {self.package}"

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Report what is raised within as the fault of the package.

        Raises
        ------
        ElephantError
            The package raised it, to tell the person what is wrong; now it says which package that was.
        PluginError
            It raised anything else.
        Cancelled, MemoryError, OSError
            As they were raised; an OSError only where a disk is full.
        """
        if self.is_own:
            yield
            return
        try:
            yield
        except (Cancelled, MemoryError):
            raise
        except OSError as error:
            if error.errno in FULL_DISK:
                raise
            self._fail(error)
        except ElephantError as error:
            if type(error).__module__ != errors.__name__:
                self._fail(error)
            raise type(error)(f"{error} ({self.title} says so)") from error
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the package does, it is named
            self._fail(error)

    def load(self, entry: EntryPoint, base: type[T]) -> type[T]:
        """Import the class that an entry point names.

        Raises
        ------
        PluginError
            That fails, whatever the reason, or it is no subclass of `base`.
        """
        found = self._import(entry)
        if not isinstance(found, type) or not issubclass(found, base):
            raise self._wrong(f"a subclass of {_name_of(base)}", found)
        return found

    def load_object(self, entry: EntryPoint, base: type[T]) -> T:
        """Import the object that an entry point names.

        Raises
        ------
        PluginError
            That fails, whatever the reason, or it is no `base`.
        """
        found = self._import(entry)
        if not isinstance(found, base):
            raise self._wrong(f"a {_name_of(base)}", found)
        return found

    def _import(self, entry: EntryPoint) -> object:
        try:
            return entry.load()
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self.title} cannot be loaded ({_in_a_line(error)}): install the package again, or uninstall it"
            ) from error

    def _wrong(self, expected: str, found: object) -> PluginError:
        return PluginError(f"{self.title} should be {expected}, but is {found!r}: update the package, or uninstall it")

    def _fail(self, error: BaseException) -> NoReturn:
        raise PluginError(
            f"{self.title} failed ({_in_a_line(error)}): that is a fault of the package, not of elephant: update the "
            "package, or tell its authors"
        ) from error


def installed(kind: str) -> list[tuple[Plugin, EntryPoint]]:
    """Return what packages add to the group ``elephant.<kind>s``, by name."""
    found = [
        (Plugin(kind, entry.name, entry.dist.name if entry.dist else "of unknown name"), entry)
        for entry in entry_points(group=f"elephant.{kind}s")
    ]
    return sorted(found, key=lambda each: (each[0].name, each[0].package))


def installed_classes(
    kind: str, base: type[T], name: str | None = None
) -> tuple[list[tuple[Plugin, type[T]]], list[PluginError]]:
    """Return the classes that packages add, or those of one name, and what is wrong with the others.

    It is wrong as well if elephant's own are missing, as after a broken installation.
    """
    found: list[tuple[Plugin, type[T]]] = []
    broken: list[PluginError] = []
    there = installed(kind)
    if kind in _OWN_KINDS and not any(plugin.is_own for plugin, _ in there):
        broken.append(_own_are_missing(kind))
    for plugin, entry in there:
        if name is not None and plugin.name != name:
            continue
        try:
            found.append((plugin, plugin.load(entry, base)))
        except PluginError as error:
            broken.append(error)
    return found, broken


def installed_class(kind: str, base: type[T], name: str, own: str, what: str) -> tuple[Plugin, type[T]]:
    """Return the class that a package adds under a name.

    Parameters
    ----------
    kind, base
        What packages add, and what it must be a subclass of.
    name
        Name of the entry point.
    own
        The name that elephant itself has for its own.
    what
        What a person calls it, in messages.

    Raises
    ------
    InvalidInputError
        There is none of that name, or there are two.
    PluginError
        It cannot be loaded, or is something else; or elephant's own are missing, as after a broken installation.
    """
    found, broken = installed_classes(kind, base, name)
    if broken:
        raise broken[0]
    if not found:
        raise InvalidInputError(
            f"expected a {what} that is installed ({', '.join(installed_names(kind, own))}), got {name}: check the "
            "name, or install its package"
        )
    if len(found) > 1:
        titles = " and ".join(plugin.title for plugin, _ in found)
        raise InvalidInputError(f"{titles} have the same name: uninstall one of the packages")
    return found[0]


def _own_are_missing(kind: str) -> PluginError:
    return PluginError(
        f"expected elephant's own among the entry points elephant.{kind}s, got none of them: the installation of "
        f"{OWN_PACKAGE} is broken or older than its code; install it again"
    )


def installed_names(kind: str, own: str) -> list[str]:
    """Return the names that there are, with elephant's own; nothing is imported for it."""
    return sorted({own, *(plugin.name for plugin, _ in installed(kind))})


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


def _in_a_line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
