"""Where an ``.xml`` of BigDataViewer places its views: the ``ViewRegistrations``.

A view may be shifted, turned or scaled in BigDataViewer and Mastodon. A dataset holds its voxels as they are stored,
and a spot is at the voxel of its position over the size of a voxel. So a view fits only if it is scaled by that size,
and nothing else. Transforms are listed from the last that is applied to the first, as in the library spim_data.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from elephant.dataset.readers.base import ViewSetup
from elephant.types import FloatArray

logger = logging.getLogger(__name__)

_MOST_BYTES = 256 << 20
_MOST_TEXT = 2_000  # characters of a transform
_BLOCK = 1 << 20
_SAME = 1e-3  # relative
_SHIFT = 0.5  # voxels


class _Builder:
    """Keeps where the views of a source are, as the parser comes to them."""

    def __init__(self, setup: int) -> None:
        self.found: list[tuple[str, FloatArray]] = []
        self._setup = str(setup)
        self._timepoint: str | None = None
        self._matrix = np.eye(4)
        self._text: list[str] | None = None

    def doctype(self, name: str, public: str | None, system: str | None) -> None:  # noqa: ARG002
        """Refuse a document type, before it can declare entities."""
        raise ValueError("it declares a document type")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        if tag == "ViewRegistration" and attributes.get("setup") == self._setup:
            self._timepoint, self._matrix = attributes.get("timepoint", "")[:20], np.eye(4)
        elif tag == "affine" and self._timepoint is not None:
            self._text = []

    def data(self, text: str) -> None:
        """Collect a transform's numbers, which the parser may pass one character at a time."""
        if self._text is not None and len(self._text) < _MOST_TEXT:
            self._text.append(text)

    def end(self, tag: str) -> None:
        """End an element."""
        if tag == "affine" and self._text is not None:
            numbers = np.array("".join(self._text).split(), dtype=np.float64).reshape(3, 4)
            self._matrix = self._matrix @ np.vstack([numbers, [0, 0, 0, 1]])
            self._text = None
        elif tag == "ViewRegistration" and self._timepoint is not None:
            self.found.append((self._timepoint, self._matrix[:3]))
            self._timepoint = None

    def close(self) -> None:
        """Return nothing."""


def warn_of_registration(path: Path, setup: ViewSetup) -> None:
    """Warn if a source is elsewhere in BigDataViewer, and in Mastodon, than its voxels say.

    Parameters
    ----------
    path
        The ``.xml``, whose beginning could be read.
    setup
        The source.
    """
    for timepoint, matrix in _registrations(path, setup.id):
        if off := _off(matrix, setup):
            logger.warning(
                "%s: %s is %s at timepoint %s (ViewRegistration), which the dataset does not follow: spots of Mastodon "
                "are at other places in it. Remove these transforms from the .xml, or export the movie as "
                "BigDataViewer shows it, before you mark nuclei",
                path.name,
                setup.title,
                off,
                timepoint,
            )
            return


def _registrations(path: Path, setup: int) -> Iterator[tuple[str, FloatArray]]:
    """Yield the timepoint of each view of a source, and how its voxels (X, Y, Z, 1) are placed, (3, 4)."""
    builder = _Builder(setup)
    parser = ET.XMLParser(target=builder)  # noqa: S314 - a document type, and with it any entity, is refused
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                if file.tell() > _MOST_BYTES:
                    raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MiB")
                parser.feed(block)
                yield from builder.found
                builder.found.clear()
    except (OSError, ET.ParseError, ValueError, LookupError) as error:
        logger.warning(
            "%s: where its views are in BigDataViewer cannot be read (%s): they are taken for unmoved", path.name, error
        )


def _off(matrix: FloatArray, setup: ViewSetup) -> str:
    """Return how a placing differs from a scaling by the size of a voxel; empty if it does not."""
    n = 2 if setup.size is not None and setup.size[0] == 1 else 3  # a plane is anywhere along Z
    scale = np.diag(matrix)[:n]
    voxel = np.abs(scale) if setup.voxel_size is None else np.array(setup.voxel_size.zyx[::-1])[:n]
    shift, rest = matrix[:n, 3], matrix[:n, :n] - np.diag(scale)
    least, axes = voxel.max() * _SAME, f"({', '.join('XYZ'[:n])})"
    words = []
    if not np.isfinite(matrix).all() or np.abs(rest).max() > least:
        words.append("turned or sheared")
    elif np.any(np.abs(scale - voxel) > _SAME * voxel):
        words.append(f"scaled by {_shown(scale)} instead of {_shown(voxel)} {axes}, the size of a voxel,")
    if np.any(np.abs(shift) > _SHIFT * voxel):
        words.append(f"shifted by {_shown(shift)} {axes}")
    return " and ".join(words)


def _shown(numbers: FloatArray) -> str:
    return " x ".join(f"{n:.6g}" for n in numbers)
