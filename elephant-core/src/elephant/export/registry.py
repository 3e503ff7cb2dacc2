"""The installed exporters."""

from dataclasses import dataclass
from pathlib import Path

from elephant.errors import PluginError
from elephant.export.base import Exporter, Report, TrackedMovie
from elephant.export.ctc import CtcExporter
from elephant.plugins import Plugin, installed_class
from elephant.progress import CancelToken, ProgressReporter

CTC = "ctc"


@dataclass(frozen=True, slots=True)
class Form:
    """An installed exporter.

    Attributes
    ----------
    plugin
        The package and name that it is registered under.
    kind
        The exporter's class.
    """

    plugin: Plugin
    kind: type[Exporter]

    def export(self, movie: TrackedMovie, place: Path, reporter: ProgressReporter, cancel: CancelToken) -> Report:
        """Write the nuclei to a temporary path, and check that something was written.

        Raises
        ------
        PluginError
            The exporter failed, or wrote nothing.
        """
        with self.plugin.blamed():
            report = self.kind().export(movie, place, reporter, cancel)
            is_file = bool(place.suffix)
            if not (place.is_file() if is_file else place.is_dir()):
                raise FileNotFoundError(f"it wrote no {'file' if is_file else 'folder'}")
        return report or Report("written")

    def other_content(self, output: Path) -> str | None:
        """Return the name of something at a path that must not be replaced; None if nothing is."""
        with self.plugin.blamed():
            return self.kind().other_content(output)


def form_named(name: str) -> Form:
    """Return an exporter.

    Raises
    ------
    InvalidInputError
        There is no exporter of that name, or there are several.
    PluginError
        It cannot be loaded.
    """
    if name == CTC:
        return Form(Plugin("exporter", CTC), CtcExporter)
    plugin, kind = installed_class("exporter", Exporter, name, CTC, "format")  # type: ignore[type-abstract]
    with plugin.blamed():
        endings = kind.endings
        if not endings or not isinstance(endings, tuple):
            raise PluginError(f"expected `endings` to be a tuple of file name endings, got {endings!r}")
    return Form(plugin, kind)
