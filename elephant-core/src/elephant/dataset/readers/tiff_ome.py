"""What the OME-XML of a TIFF says: its images, their channels and voxel size, and which page holds which plane.

References
----------
Goldberg et al., Genome Biology 2005, doi:10.1186/gb-2005-6-5-r47; the OME-TIFF specification 6.3,
https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html.
"""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.etree import ElementTree as ET

from elephant.errors import DatasetError
from elephant.types import VoxelSize
from elephant.units import factor_between, seconds_in, unit_named

COMPANION = ".companion.ome"
MOST_XML_BYTES = 256 << 20
_MOST_IMAGES = 10_000
_ORDERS = {f"XY{a}{b}{c}" for a, b, c in ("ZCT", "ZTC", "CTZ", "CZT", "TCZ", "TZC")}
# What programs write where nobody said how large a pixel is.
UNCALIBRATED = ("", "pixel", "reference frame", "null", "none")
_KEPT = {"OME", "Image", "Pixels", "Channel", "TiffData", "UUID", "BinaryOnly"}


@dataclass(frozen=True, slots=True)
class TiffData:
    """Pages that hold planes: the first page and plane, and how many there are.

    Attributes
    ----------
    file
        Name of the file; None for the one with the metadata.
    page
        The first of its pages, from 0.
    first
        (T, C, Z) of the plane in it; C counts channels, or groups of samples.
    count
        Number of pages and planes; None for all of the file's.
    """

    file: str | None
    page: int
    first: tuple[int, int, int]
    count: int | None


@dataclass(frozen=True, slots=True)
class OmeImage:
    """An image: a position, a tile or the only one.

    Attributes
    ----------
    name
        Its name; may be empty.
    order
        The axes in which planes follow each other, fastest first, such as ``ZCT``.
    sizes
        (T, C, Z), C of channels or groups of samples.
    channels
        Their names, each of one sample.
    voxel_size, unit
        None if not known.
    interval
        Seconds between timepoints; None if not known.
    data
        Which pages hold its planes; empty: all pages in order.
    """

    name: str
    order: str
    sizes: tuple[int, int, int]
    channels: tuple[str, ...]
    voxel_size: VoxelSize | None
    unit: str
    interval: float | None
    data: tuple[TiffData, ...]


@dataclass(slots=True)
class OmeDocument:
    """The parts of an OME-XML that tell where images are.

    Attributes
    ----------
    uuid
        Identifier of the file that holds it; empty if there is none.
    metadata_file
        Name of the file with the metadata, if they are elsewhere; otherwise None.
    images
        The images.
    """

    uuid: str = ""
    metadata_file: str | None = None
    images: list[OmeImage] = field(default_factory=list)


def parse(text: str, path: Path) -> OmeDocument:
    """Read OME-XML; what else it says is dropped at once.

    Raises
    ------
    DatasetError
        It is damaged, or makes no sense.
    """
    if len(text) > MOST_XML_BYTES:
        raise _wrong(path, f"XML of {len(text) >> 20} MiB")
    if "<!DOCTYPE" in text:
        raise _wrong(path, "XML with a document type")
    document = OmeDocument()
    try:
        for element in _elements(text):
            tag = _name(element)
            if tag == "OME":
                document.uuid = element.get("UUID", "")
            elif tag == "BinaryOnly":
                document.metadata_file = plain_name(element.get("MetadataFile", ""), path)
            elif tag == "Image":
                document.images.append(_image(element, document, path))
                element.clear()
                if len(document.images) > _MOST_IMAGES:
                    raise _wrong(path, f"more than {_MOST_IMAGES} images")
    except (ET.ParseError, ValueError, KeyError, OverflowError) as error:
        raise _wrong(path, " ".join(str(error).split())[:200]) from error
    return document


def plain_name(name: str, path: Path) -> str:
    """Return the name of a file beside this one.

    Raises
    ------
    DatasetError
        It is elsewhere.
    """
    if PurePosixPath(name).name != name or PureWindowsPath(name).name != name or name in ("", ".", ".."):
        raise DatasetError(
            f"expected the other files of {path.name} to be beside it, but one of them is {name!r}: export the movie "
            "again, with all files in the same folder"
        )
    return name


def _elements(text: str) -> Iterator[ET.Element]:
    """Yield elements when they end, the root when it begins; others than those that are needed are emptied."""
    source = io.BytesIO(text.encode())
    for event, element in ET.iterparse(source, events=("start", "end")):  # noqa: S314 - entities are refused
        tag = _name(element)
        if event == "start":
            if tag == "OME":
                yield element
        elif tag not in _KEPT:
            element.clear()
        elif tag != "OME":
            yield element


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: ET.Element, name: str) -> list[ET.Element]:
    return [child for child in element if _name(child) == name]


def _image(element: ET.Element, document: OmeDocument, path: Path) -> OmeImage:
    pixels = next(iter(_children(element, "Pixels")), None)
    if pixels is None:
        raise _wrong(path, f"an image ({element.get('Name', '')}) without pixels")
    order = pixels.get("DimensionOrder", "XYZCT")
    if order not in _ORDERS:
        raise _wrong(path, f"the order of dimensions {order}")
    sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in "TCZ"}
    if min(sizes.values()) < 1:
        raise _wrong(path, f"the sizes {sizes}")
    channels = _children(pixels, "Channel")
    n_samples = max([int(channel.get("SamplesPerPixel", 1)) for channel in channels], default=1)
    if n_samples < 1 or sizes["C"] % n_samples:
        raise _wrong(path, f"{sizes['C']} channels of {n_samples} samples")
    size, unit = _voxel_size(pixels, sizes["Z"])
    return OmeImage(
        name=element.get("Name") or "",
        order=order[2:],
        sizes=(sizes["T"], sizes["C"] // n_samples, sizes["Z"]),
        channels=tuple(channel.get("Name") or "" for channel in channels),
        voxel_size=size,
        unit=unit,
        interval=_interval(pixels),
        data=tuple(_tiff_data(each, document, path) for each in _children(pixels, "TiffData")),
    )


def _tiff_data(element: ET.Element, document: OmeDocument, path: Path) -> TiffData:
    uuid = next(iter(_children(element, "UUID")), None)
    file = None
    if uuid is not None and not (document.uuid and (uuid.text or "").strip() == document.uuid):
        name = uuid.get("FileName")
        file = None if name is None else plain_name(name, path)
    count = element.get("PlaneCount", "1" if element.get("IFD") is not None else None)
    first = tuple(int(element.get(f"First{axis}", 0)) for axis in "TCZ")
    page, n = int(element.get("IFD", 0)), None if count is None else int(count)
    if min(first) < 0 or page < 0 or (n is not None and n < 0):
        raise ValueError(f"a page {page} with the planes {first}")
    return TiffData(file, page, (first[0], first[1], first[2]), n)


def _voxel_size(pixels: ET.Element, n_z: int) -> tuple[VoxelSize | None, str]:
    """Return the voxel size and its unit; None if it is not known along an axis that has several voxels."""
    edges, units = {}, {}
    for axis in "ZYX":
        edges[axis] = float(pixels.get(f"PhysicalSize{axis}", "nan"))
        units[axis] = pixels.get(f"PhysicalSize{axis}Unit", "µm")
    if n_z == 1 and not edges["Z"] > 0:
        edges["Z"], units["Z"] = 1.0, units["X"]
    if unit_named(units["X"]) in UNCALIBRATED or not all(math.isfinite(edge) and edge > 0 for edge in edges.values()):
        return None, ""
    found = [in_unit(edges[axis], units[axis], units["X"]) for axis in "ZYX"]
    if any(edge is None for edge in found):
        return None, ""
    z, y, x = (edge for edge in found if edge is not None)
    return VoxelSize(z, y, x), units["X"]


def in_unit(length: float | None, unit: str, wanted: str) -> float | None:
    """Return a length in another unit; None if it is not known, or the units are not those of lengths."""
    factor = factor_between(unit, wanted)
    return None if length is None or factor is None else length * factor


def _interval(pixels: ET.Element) -> float | None:
    given, unit = float(pixels.get("TimeIncrement", "nan")), pixels.get("TimeIncrementUnit", "s")
    seconds = given * (seconds_in(unit) or math.nan)
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _wrong(path: Path, what: str) -> DatasetError:
    return DatasetError(
        f"expected {path.name} to say in its OME-XML what its pages are, got {what}: export the movie again, or open "
        "it in Fiji and save it as TIFF"
    )
