"""The installed exporters, and where an export goes: a file or a folder, which replaces only an earlier export."""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from elephant.console import Console
from elephant.errors import InvalidInputError, NotFoundError, PluginError
from elephant.export.base import A_FOLDER, Exporter, Report, TrackedMovie
from elephant.export.ctc import CtcExporter
from elephant.plugins import Plugin, installed_class
from elephant.progress import CancelToken, ProgressReporter

CTC = "ctc"


@dataclass(frozen=True, slots=True)
class InstalledExporter:
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


def exporter_named(name: str) -> InstalledExporter:
    """Return an exporter.

    Raises
    ------
    InvalidInputError
        There is no exporter of that name, or there are several.
    PluginError
        It cannot be loaded.
    """
    if name == CTC:
        return InstalledExporter(Plugin("exporter", CTC), CtcExporter)
    plugin, kind = installed_class("exporter", Exporter, name, CTC, "format")  # type: ignore[type-abstract]
    with plugin.blamed():
        endings = kind.endings
        if not endings or not isinstance(endings, tuple):
            raise PluginError(f"expected `endings` to be a tuple of file name endings, got {endings!r}")
    return InstalledExporter(plugin, kind)


# What a file's name ends with (.tif, .h5, .docx), unlike the version or the date of a folder (run.2026).
_FILE_ENDING = re.compile(r"\.([a-z][a-z0-9]{0,3}|7z)", re.IGNORECASE)


def check_name(output: Path, exporter: InstalledExporter) -> None:
    """Refuse an output whose name has the ending of another kind of file.

    Raises
    ------
    InvalidInputError
        It has; the message says which ending is expected.
    """
    endings = [ending for ending in exporter.kind.endings if ending != A_FOLDER]
    is_of_folder = output.suffix.lower() in exporter.kind.folder_endings or not _FILE_ENDING.fullmatch(output.suffix)
    if (A_FOLDER in exporter.kind.endings and is_of_folder) or _is_file(output, exporter):
        return
    words, way = f"expected a name that ends with {' or '.join(endings)}", ""
    if A_FOLDER in exporter.kind.endings:
        words = f"{words}, or that of a folder" if endings else "expected the name of a folder"
        way = f": leave out {output.suffix}" + (f", or write {endings[0]}" if endings else "")
    raise InvalidInputError(f"{words}, got {output.name!r}{way}")


def check_output(output: Path, exporter: InstalledExporter, *, overwrite: bool) -> None:
    """Refuse an output that cannot be written, or where something else exists.

    Raises
    ------
    NotFoundError
        Its folder does not exist.
    InvalidInputError
        Something exists there that is not an earlier export, or that is not to be replaced.
    """
    if not output.absolute().parent.is_dir():
        raise NotFoundError(f"there is no folder {output.parent} for {output.name}: create it first")
    if output.is_symlink():
        raise InvalidInputError(f"{output} is a link to {output.readlink()}: choose another name")
    if not output.exists():
        return
    if output.is_dir() == _is_file(output, exporter):
        raise InvalidInputError(f"{output} is a {'folder' if output.is_dir() else 'file'}: choose another name")
    _check_replaceable(output, exporter)
    if not overwrite:
        raise InvalidInputError(f"there is an earlier export at {output}: choose another name, or overwrite")


def export_to(
    output: Path, exporter: InstalledExporter, movie: TrackedMovie, console: Console, *, overwrite: bool
) -> Report:
    """Write tracked nuclei, completely or not at all.

    Parameters
    ----------
    output
        A file or a folder that :func:`check_name` and :func:`check_output` accept.
    exporter
        The exporter.
    movie
        The nuclei and their dataset.
    console
        Shows the progress.
    overwrite
        Whether to replace an earlier export.

    Raises
    ------
    InvalidInputError, elephant.errors.PluginError
        The nuclei cannot be written in this format, or the exporter failed.
    elephant.errors.Cancelled, KeyboardInterrupt
        The export was stopped; the output is unchanged.
    """
    with tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f".{output.name}.") as beside:
        place = Path(beside) / "new" / f"export{output.suffix.lower() if _is_file(output, exporter) else ''}"
        place.parent.mkdir()
        with console.attend(lambda: f"{output} is unchanged") as (bars, cancel):
            report = exporter.export(movie, place, bars, cancel)
            _put(place, output, exporter, overwrite)
    return report


def _put(written: Path, output: Path, exporter: InstalledExporter, overwrite: bool) -> None:
    """Move the finished export from a temporary folder beside `output` to `output`."""
    check_output(output, exporter, overwrite=overwrite)  # again: others may have written there meanwhile
    if written.is_file():
        written.chmod(0o644)
        written.replace(output)
        return
    old = written.with_name("old")
    if output.exists():
        output.rename(old)
    try:
        shutil.move(written, output)
    except BaseException:
        if old.exists():
            old.rename(output)
        raise


def _is_file(output: Path, exporter: InstalledExporter) -> bool:
    """Return whether an export is written as a file, by its name."""
    return output.suffix != "" and output.suffix.lower() in exporter.kind.endings


def _check_replaceable(output: Path, exporter: InstalledExporter) -> None:
    """Refuse to replace what no export wrote."""
    if output.is_dir() and output.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise InvalidInputError(f"{output} is the current folder, or one above it: give the name of a folder in it")
    other = exporter.other_content(output)
    if other is not None:
        raise InvalidInputError(
            f"{output} holds {other}, which was not written by an export and would be lost: choose another name, or "
            f"move it away"
        )
