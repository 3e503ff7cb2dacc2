"""Which linkers are installed, and using one of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from elephant.errors import InvalidInputError
from elephant.plugins import Plugin, installed_class
from elephant.progress import CancelToken, NeverCancelled, NoReporter, ProgressReporter
from elephant.tracking.linkers.base import NONE, Corrections, Detections, Linker, Solution

GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class InstalledLinker:
    """A linker of a package, with its parameters.

    Attributes
    ----------
    plugin
        Whose it is.
    linker
        What joins the spots.
    """

    plugin: Plugin
    linker: Linker

    def link(
        self,
        detections: Detections,
        corrections: Corrections | None = None,
        reporter: ProgressReporter | None = None,
        cancel: CancelToken | None = None,
    ) -> Solution:
        """Join the detections of a movie; see :meth:`.Linker.link`.

        Raises
        ------
        elephant.errors.PluginError
            The package failed, or returned something else than parents.
        """
        corrections = corrections or Corrections()
        with self.plugin.blamed():
            found = self.linker.link(detections, corrections, reporter or NoReporter(), cancel or NeverCancelled())
            _check(found, detections)
        return found


def _check(found: Solution, detections: Detections) -> None:
    """Raise where a package's solution is none."""
    n, parents = len(detections), np.asarray(found.parents)
    if parents.shape != (n,) or not np.issubdtype(parents.dtype, np.integer):
        raise TypeError(f"expected an index of a parent for each of {n} spots, or -1, got {found.parents!r}")
    children = np.flatnonzero(parents != NONE)
    if len(children) and not (parents[children].min() >= 0 and parents[children].max() < n):
        raise ValueError(f"expected parents among {n} spots, got {parents.min()} to {parents.max()}")
    if np.any(detections.timepoints[parents[children]] >= detections.timepoints[children]):
        raise ValueError("expected parents that are earlier than their children")


def linker_named(name: str, params: Mapping[str, Any]) -> InstalledLinker:
    """Return a linker that is installed.

    Parameters
    ----------
    params
        By name; those that are left out have their defaults.

    Raises
    ------
    elephant.errors.InvalidInputError
        There is none of that name, or there are two; or a parameter is unknown or wrong.
    elephant.errors.PluginError
        It cannot be loaded.
    """
    plugin, kind = installed_class("linker", Linker, name, GLOBAL, "linker")  # type: ignore[type-abstract]
    try:
        with plugin.blamed():
            return InstalledLinker(plugin, kind(**params))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInputError(
            f"{where} of the linker {name} is missing or wrong ({first['msg']}): correct it"
        ) from error
