"""Where masks go: an archive or a folder, which replaces an earlier export and nothing else."""

import re
import shutil
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import click

from elephant.errors import InvalidInputError, NotFoundError
from elephant.workflows.tracks import TRACKS

_MASK = re.compile(r"mask\d{3,}\.tif")
# What a file's name ends with (.tif, .h5, .docx), unlike the version or the date of a folder (run.2026).
_FILE_ENDING = re.compile(r"\.([a-z][a-z0-9]{0,3}|7z)", re.IGNORECASE)


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse an output that cannot be written, or whose place something else has.

    Raises
    ------
    click.UsageError
        Its name ends like that of a file other than a .zip.
    NotFoundError
        Its folder is not there.
    InvalidInputError
        Something is there, and is no earlier export, or is not to be replaced.
    """
    if not is_archive(output) and _FILE_ENDING.fullmatch(output.suffix):
        raise click.UsageError(
            f"--output: expected a name that ends with .zip, or that of a folder, got {output.name!r}: leave out "
            f"{output.suffix}, or write .zip"
        )
    if not output.absolute().parent.is_dir():
        raise NotFoundError(f"there is no folder {output.parent} for {output.name}: create it first")
    if output.is_symlink():
        raise InvalidInputError(f"{output} is a link to {output.readlink()}: choose another name")
    if not output.exists():
        return
    if output.is_dir() == is_archive(output):
        raise InvalidInputError(f"{output} is a {'folder' if output.is_dir() else 'file'}: choose another name")
    _check_replaceable(output)
    if not overwrite:
        raise InvalidInputError(f"there is an earlier export at {output}: give --overwrite, or another name")


def is_archive(output: Path) -> bool:
    """Tell whether masks go into a .zip."""
    return output.suffix.lower() == ".zip"


def put_masks(archive: Path, output: Path, overwrite: bool) -> None:
    """Move what was written, in a folder of its own beside `output`, into its place."""
    check_output(output, overwrite)  # again: others may have written there meanwhile
    if is_archive(output):
        archive.chmod(0o644)
        archive.replace(output)
        return
    folder, old = archive.parent / "masks", archive.parent / "old"
    with ZipFile(archive) as whole:
        whole.extractall(folder)
    if output.exists():
        output.rename(old)
    try:
        shutil.move(folder, output)
    except BaseException:
        if old.exists():
            old.rename(output)
        raise


def _check_replaceable(output: Path) -> None:
    """Refuse to replace what no export made."""
    if not is_archive(output) and output.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise InvalidInputError(f"{output} is the current folder, or one above it: give the name of a folder in it")
    other = _other_file(output)
    if other is not None:
        raise InvalidInputError(
            f"{output} holds {other}, which was not written by an export and would be lost: choose another name, or "
            f"move it away"
        )


def _other_file(output: Path) -> str | None:
    """Return the name of something in an archive or a folder that is not of an export; None where there is nothing."""
    if is_archive(output):
        try:
            with ZipFile(output) as archive:
                return next((name for name in sorted(archive.namelist()) if not _is_of_export(name)), None)
        except (BadZipFile, OSError):
            return "something other than a .zip archive"
    others = (p.name for p in output.iterdir() if not _is_of_export(p.name) or p.is_symlink() or not p.is_file())
    return min(others, default=None)


def _is_of_export(name: str) -> bool:
    return name == TRACKS or _MASK.fullmatch(name) is not None
