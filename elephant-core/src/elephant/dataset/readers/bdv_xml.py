"""The ``.xml`` of BigDataViewer: a movie's sources and timepoints, and its missing views.

Only the ``SequenceDescription`` is read here: the image loader, the view setups, the timepoints and the missing views.
As in BigDataViewer, setups and timepoints are sorted by number. The format is that of the library spim_data, described
by T. Pietzsch et al., *BigDataViewer*, Nature Methods 2015, doi:10.1038/nmeth.3392.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from elephant.dataset.readers.base import ViewSetup
from elephant.dataset.readers.spim_xml import ROOT, SEQUENCE, read_description
from elephant.errors import DatasetError, InvalidInputError
from elephant.types import VoxelSize

MOST_TIMEPOINTS = 100_000
LARGEST_NUMBER = 2**31 - 1
_IMAGE_TAGS = ("hdf5", "n5", "zarr", "ome.zarr")


class OtherFormatError(DatasetError):
    """An ``.xml`` that is not BigDataViewer's."""


@dataclass(frozen=True, slots=True)
class ZarrGroup:
    """Where the image of a view is in a folder of OME-Zarr.

    Attributes
    ----------
    path
        The image's folder within that of the movie.
    indices
        Along the axes before Z, Y, X, the last one first: the channel, then the timepoint; empty: 0.
    """

    path: str
    indices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SpimData:
    """What an ``.xml`` says of a movie.

    Attributes
    ----------
    path
        The ``.xml``.
    loader
        Format of the images: ``bdv.hdf5``, ``bdv.n5``, ...; empty if the file has none.
    images
        The file or folder of the images, as the ``.xml`` gives it; None if it gives none.
    setups
        The sources in BigDataViewer's order, by number.
    timepoints
        The numbers of the timepoints in BigDataViewer's order, ascending.
    missing
        (timepoint, setup) of the views that are known to have no image.
    groups
        For each (timepoint, setup) where its image is, if the images are in one folder of OME-Zarr for each.
    address
        Where the images are, if that is not on this machine: ``s3://...``.
    """

    path: Path
    loader: str
    images: Path | None
    setups: tuple[ViewSetup, ...]
    timepoints: tuple[int, ...]
    missing: frozenset[tuple[int, int]]
    groups: Mapping[tuple[int, int], ZarrGroup] = field(default_factory=dict)
    address: str = ""

    def setup(self, number: int) -> ViewSetup | None:
        """Return the source with a number, if there is one."""
        return next((setup for setup in self.setups if setup.id == number), None)

    def describes(self, movie: Path) -> bool:
        """Return whether the images are in this file, which may have been moved together with the ``.xml``."""
        if self.images is None or self.images.name != movie.name:
            return False
        return not self.images.exists() or self.images.resolve() == movie.resolve()


def read_spim_data(path: Path) -> SpimData:
    """Read an ``.xml`` of BigDataViewer, in time and memory proportional to the file.

    Parameters
    ----------
    path
        The ``.xml``. It is read up to the end of the ``SequenceDescription``, at most 8 MiB.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        It is not an ``.xml`` of BigDataViewer, is damaged or too large, or declares entities.
    """
    root = read_description(path)
    sequence = root.find(SEQUENCE)
    if root.tag != ROOT or sequence is None:
        raise OtherFormatError(
            f"expected {path.name} to be a SpimData file of BigDataViewer with a {SEQUENCE}, got <{root.tag}>: "
            "save the movie's .xml from BigDataViewer again"
        )
    try:
        loader = _loader(sequence)
        text, is_absolute = _place(loader)
        address = _address(loader, text)
        return SpimData(
            path=path,
            loader=loader.get("format", ""),
            images=_images(root, text, path, is_absolute=is_absolute) if text and not address else None,
            setups=_setups(sequence),
            timepoints=_timepoints(sequence),
            missing=_missing(sequence),
            groups=dict(_groups(loader)),
            address=address,
        )
    except ValueError as error:
        raise DatasetError(
            f"expected {path.name} to be an .xml of BigDataViewer, but {error}: correct it, or save it again"
        ) from error


def _loader(sequence: ET.Element) -> ET.Element:
    """Return the image loader; an empty one if there is none. That of images which were split is within another."""
    loader = sequence.find("ImageLoader")
    return ET.Element("ImageLoader") if loader is None else loader


def _place(loader: ET.Element) -> tuple[str, bool]:
    """Return where the images are, by the loader's first child that says so, and whether that is absolute."""
    named = next((child for child in loader if child.tag in _IMAGE_TAGS), None)
    return _text(named), named is not None and named.get("type") == "absolute"


def _address(loader: ET.Element, text: str) -> str:
    """Return where on other machines the images are; empty if they are on this one."""
    if loader.find("s3bucket") is not None:
        return f"s3://{_text(loader.find('s3bucket'))}/{text}"
    return text if "://" in text and not text.startswith("file:") else ""


def _images(root: ET.Element, text: str, path: Path, *, is_absolute: bool) -> Path:
    """Return the path of the images, relative to the base path unless it is absolute."""
    base = path.parent / (_text(root.find("BasePath")) or ".")
    # A path that Windows wrote has its last part behind a backslash.
    place = PureWindowsPath(text).as_posix() if "\\" in text else text
    if place.startswith("file:"):
        return Path(unquote(urlsplit(place).path))
    found = Path(place) if is_absolute else base / place
    # Java's writers may have encoded a relative path, too.
    return found.parent / unquote(found.name) if "%" in found.name and not found.exists() else found


def _groups(loader: ET.Element) -> Iterator[tuple[tuple[int, int], ZarrGroup]]:
    """Yield timepoint and setup of each view, and where its image is, as each version of BigStitcher writes them."""
    what = "a zgroup"
    for element in loader.iterfind("zgroups/zgroup"):
        numbers = (
            _number(element.get("tp", element.get("timepoint", "")), what),
            _number(element.get("setup", ""), what),
        )
        place = element.get("path") or _text(element.find("path"))
        listed = element.get("indicies", element.get("indices", "")).strip("[] ").replace(",", " ")
        yield numbers, ZarrGroup(place, tuple(_number(each, what) for each in listed.split()))


def _setups(sequence: ET.Element) -> tuple[ViewSetup, ...]:
    parent = sequence.find("ViewSetups")
    if parent is None:
        return ()
    named = list(_attribute_names(parent))
    shared = Counter((kind, name) for kind, _, name in named)
    names = {(kind, number): name for kind, number, name in named if shared[kind, name] == 1}
    found: dict[int, ViewSetup] = {}
    for element in parent.iterfind("ViewSetup"):
        setup = _setup(element, names)
        if setup.id in found:
            raise ValueError(f"two of its view setups have the number {setup.id}")
        found[setup.id] = setup
    return tuple(found[number] for number in sorted(found))


def _setup(element: ET.Element, names: Mapping[tuple[str, str], str]) -> ViewSetup:
    voxel = element.find("voxelSize")
    attributes = {child.tag: _text(child) for child in element.iterfind("attributes/*")}
    size = _numbers(_text(element.find("size")))
    return ViewSetup(
        id=_number(_text(element.find("id")), "the id of a view setup"),
        name=_text(element.find("name")),
        size=tuple(int(n) for n in reversed(size)) if size else None,
        voxel_size=_voxel_size(voxel),
        unit="" if voxel is None else _text(voxel.find("unit")),
        attributes={kind: names.get((kind, number), number) for kind, number in attributes.items()},
    )


def _attribute_names(parent: ET.Element) -> Iterator[tuple[str, str, str]]:
    """Yield the kind of each attribute, the number of each value, and its name, if it has one."""
    for group in parent.iterfind("Attributes"):
        for value in group:
            if name := _text(value.find("name")):
                yield group.get("name", ""), _text(value.find("id")), name


def _voxel_size(element: ET.Element | None) -> VoxelSize | None:
    numbers = _numbers(_text(element.find("size"))) if element is not None else None
    try:
        return VoxelSize(*reversed(numbers)) if numbers else None
    except InvalidInputError:
        return None


def _numbers(text: str) -> list[float] | None:
    """Return the three finite numbers of a size; None if the text is something else."""
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        return None
    return numbers if len(numbers) == 3 and all(map(math.isfinite, numbers)) else None


def _timepoints(sequence: ET.Element) -> tuple[int, ...]:
    element = sequence.find("Timepoints")
    if element is None:
        return ()
    kind = element.get("type", "")
    if kind == "range":
        first, last = (_number(_text(element.find(end)), f"its {end} timepoint") for end in ("first", "last"))
        found = set(_range(first, last, 1) if first <= last else ())
    elif kind == "pattern":
        found = _pattern(_text(element.find("integerpattern")))
    elif kind == "list":
        found = {_number(_text(t.find("id")) or _text(t), "a timepoint") for t in element.iterfind("Timepoint")}
    else:
        raise ValueError(f"its timepoints have the unknown type {kind[:40]!r}")
    if len(found) > MOST_TIMEPOINTS:
        raise ValueError(f"it has more than {MOST_TIMEPOINTS} timepoints")
    return tuple(sorted(found))


def _pattern(text: str) -> set[int]:
    """Return the numbers of a pattern such as ``0-4:2, 7``; an empty one means 0, as in BigDataViewer."""
    what = "its pattern of timepoints"
    found: set[int] = set()
    count = 0
    for part in (text or "0").split(","):
        span, _, step = part.replace(" ", "").partition(":")
        first, is_span, last = span.partition("-")
        start = _number(first, what)
        numbers = _range(start, _number(last, what) if is_span else start, _number(step or "1", what))
        count += len(numbers)
        if count > MOST_TIMEPOINTS:
            raise ValueError(f"{what} has more than {MOST_TIMEPOINTS} of them")
        found.update(numbers)
    return found


def _range(first: int, last: int, step: int) -> range:
    """Return the numbers from first to last, up or down; check their count before they are iterated over."""
    if step < 1:
        raise ValueError("its timepoints go in steps of 0")
    numbers = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    if len(numbers) > MOST_TIMEPOINTS:
        raise ValueError(f"it has {len(numbers)} timepoints, more than {MOST_TIMEPOINTS}")
    return numbers


def _missing(sequence: ET.Element) -> frozenset[tuple[int, int]]:
    what = "a missing view"
    views = sequence.iterfind("MissingViews/MissingView")
    return frozenset((_number(v.get("timepoint", ""), what), _number(v.get("setup", ""), what)) for v in views)


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > LARGEST_NUMBER:
        raise ValueError(f"{what} is not a whole number of at least 0: {text[:40]!r}")
    return int(text)


def _text(element: ET.Element | None) -> str:
    return "" if element is None or element.text is None else element.text.strip()
