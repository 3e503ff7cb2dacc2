"""The ``.xml`` of BigDataViewer: a movie's sources and timepoints, and its missing views.

Only the ``SequenceDescription`` is read: the image loader, the view setups, the timepoints and the missing views. As
in BigDataViewer, setups and timepoints are sorted by number. The format is that of the library spim_data, described by
T. Pietzsch et al., *BigDataViewer*, Nature Methods 2015, doi:10.1038/nmeth.3392.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree as ET

from elephant.dataset.readers.base import ViewSetup
from elephant.errors import DatasetError, InvalidInputError, NotFoundError, reason_of
from elephant.types import VoxelSize

MOST_TIMEPOINTS = 100_000
LARGEST_NUMBER = 2**31 - 1
_MOST_BYTES = 8 << 20
_MOST_ELEMENTS = 200_000
_DEEPEST = 32
_BLOCK = 1 << 20
_ROOT, _SEQUENCE = "SpimData", "SequenceDescription"
_IMAGE_TAGS = ("hdf5", "n5", "zarr")
_HDF5_LOADERS = ("", "bdv.hdf5")
_MOST_FILES = 50  # a movie's folder usually has one

logger = logging.getLogger(__name__)


class _OtherFormatError(DatasetError):
    """An ``.xml`` that is not BigDataViewer's."""


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
    """

    path: Path
    loader: str
    images: Path | None
    setups: tuple[ViewSetup, ...]
    timepoints: tuple[int, ...]
    missing: frozenset[tuple[int, int]]

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
    root = _parse(path)
    sequence = root.find(_SEQUENCE)
    if root.tag != _ROOT or sequence is None:
        raise _OtherFormatError(
            f"expected {path.name} to be a SpimData file of BigDataViewer with a {_SEQUENCE}, got <{root.tag}>: "
            "save the movie's .xml from BigDataViewer again"
        )
    try:
        return SpimData(
            path=path,
            loader=_loader(sequence),
            images=_images(root, sequence, path),
            setups=_setups(sequence),
            timepoints=_timepoints(sequence),
            missing=_missing(sequence),
        )
    except ValueError as error:
        raise DatasetError(
            f"expected {path.name} to be an .xml of BigDataViewer, but {error}: correct it, or save it again"
        ) from error


def find_spim_data(movie: Path) -> SpimData | None:
    """Read the ``.xml`` beside a movie.

    Parameters
    ----------
    movie
        The ``.h5``, or a link to it.

    Returns
    -------
    SpimData or None
        Of the ``.xml`` files that refer to the movie, the one with the movie's name, otherwise the first by name.

    Raises
    ------
    DatasetError
        The ``.xml`` with the movie's name is damaged, so that its missing views are not known.
    """
    for place in dict.fromkeys((movie, movie.resolve())):
        for path in _xmls_beside(place):
            if (data := _described_by(path, place)) is not None:
                return data
    return None


def locate(path: Path) -> tuple[Path, SpimData | None]:
    """Return the path of a movie's images, and the content of its ``.xml``.

    Parameters
    ----------
    path
        The ``.h5``, whose ``.xml`` is looked for beside it, or an ``.xml``, which names its images.

    Raises
    ------
    NotFoundError
        The ``.xml`` does not exist, or the images that it names.
    DatasetError
        The ``.xml`` is damaged, or its images are of another format.
    """
    if path.suffix.lower() != ".xml":
        return path, find_spim_data(path)
    data = read_spim_data(path)
    if data.images is None or data.loader not in _HDF5_LOADERS:
        raise DatasetError(
            f"expected the images of {path.name} to be HDF5, got the format {data.loader or 'of another program'}: "
            "save the movie as HDF5 from BigDataViewer or BigStitcher"
        )
    if not data.images.exists():
        raise NotFoundError(f"{path.name} names the images {data.images}, which do not exist: put them in that place")
    return data.images, data


def _xmls_beside(movie: Path) -> list[Path]:
    own = movie.with_suffix(".xml")
    others = sorted(p for p in movie.parent.glob("*.[xX][mM][lL]") if p != own and not p.name.startswith("."))
    return [path for path in (own, *others[:_MOST_FILES]) if path.is_file()]


def _described_by(path: Path, movie: Path) -> SpimData | None:
    is_own = path.stem == movie.stem
    try:
        data = read_spim_data(path)
    except DatasetError as error:
        if is_own and not isinstance(error, _OtherFormatError):
            raise
        logger.info("%s is not used for %s: %s", path.name, movie.name, error)
        return None
    if data.describes(movie):
        return data
    if is_own:
        named = "no images" if data.images is None else f"the images {data.images.name}"
        logger.warning("%s names %s, not %s: it is not used", path.name, named, movie.name)
    return None


class _Builder:
    """Keeps the elements of the description, and nothing after it."""

    def __init__(self) -> None:
        self._open: list[ET.Element] = []
        self._text: list[str] = []
        self._count = 0
        self.root: ET.Element | None = None
        self.is_done = False

    def doctype(self, name: str, public: str | None, system: str | None) -> None:  # noqa: ARG002
        """Refuse a document type, before it can declare entities."""
        raise ValueError("it declares a document type, whose entities could be of any size")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        if self.is_done:
            return
        self._count += 1
        if self._count > _MOST_ELEMENTS or len(self._open) == _DEEPEST:
            raise ValueError(f"it has more than {_MOST_ELEMENTS} elements, or more than {_DEEPEST} inside one another")
        element = ET.Element(tag, attributes)
        if self._open:
            self._open[-1].append(element)
        else:
            self.root = element
            self.is_done = tag != _ROOT
        self._open.append(element)
        self._text.clear()

    def data(self, text: str) -> None:
        """Collect an element's text, which the parser may pass one character at a time."""
        if not self.is_done:
            self._text.append(text)

    def end(self, tag: str) -> None:
        """End an element; text beside other elements is ignored."""
        if not self.is_done:
            element = self._open.pop()
            if not len(element):
                element.text = "".join(self._text)
            self._text.clear()
            self.is_done = len(self._open) == 1 and tag == _SEQUENCE

    def close(self) -> ET.Element | None:
        """Return the root."""
        return self.root


def _parse(path: Path) -> ET.Element:
    builder = _Builder()
    parser = ET.XMLParser(target=builder)  # noqa: S314 - a document type, and with it any entity, is refused
    try:
        with path.open("rb") as file:
            while not builder.is_done and (block := file.read(_BLOCK)):
                if file.tell() > _MOST_BYTES:
                    raise ValueError(f"its {_SEQUENCE} does not end within {_MOST_BYTES >> 20} MiB")
                parser.feed(block)
        if not builder.is_done:
            parser.close()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}: check its name") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({reason_of(error)}): check who may read it") from error
    except (ET.ParseError, ValueError, LookupError) as error:
        if not builder.is_done:
            raise _unreadable(path, error) from error
    if builder.root is None:
        raise _unreadable(path, "it is empty")
    return builder.root


def _unreadable(path: Path, why: object) -> DatasetError:
    return DatasetError(
        f"expected {path.name} to be an .xml of BigDataViewer, but it cannot be read ({why}): "
        "save it again from BigDataViewer, or move it away"
    )


def _loader(sequence: ET.Element) -> str:
    loader = sequence.find("ImageLoader")
    return "" if loader is None else loader.get("format", "")


def _images(root: ET.Element, sequence: ET.Element, path: Path) -> Path | None:
    """Return the path of the images: that of the loader's first child with one, relative to the base path."""
    loader = sequence.find("ImageLoader")
    named = next((child for child in loader if child.tag in _IMAGE_TAGS), None) if loader is not None else None
    text = _text(named)
    if named is None or not text:
        return None
    base = path.parent / (_text(root.find("BasePath")) or ".")
    # A path that Windows wrote has its last part behind a backslash.
    place = PureWindowsPath(text).as_posix() if "\\" in text else text
    return Path(place) if named.get("type") == "absolute" else base / place


def _setups(sequence: ET.Element) -> tuple[ViewSetup, ...]:
    parent = sequence.find("ViewSetups")
    if parent is None:
        return ()
    names = {(kind, number): name for kind, number, name in _attribute_names(parent)}
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
    """Yield the kind of each attribute, the number of each value, and its name, for values that have one."""
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
