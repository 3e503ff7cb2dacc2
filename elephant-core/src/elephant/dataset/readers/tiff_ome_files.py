"""The files of an OME-TIFF: which planes are in which of them, and which files are missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.tiff_files import check_end, opened, page_at, page_offsets
from elephant.dataset.readers.tiff_ome import COMPANION, MOST_XML_BYTES, OmeDocument, OmeImage, parse
from elephant.dataset.readers.tiff_stacks import MISSING, Page, Stack
from elephant.errors import DatasetError, NotFoundError, reason_of
from elephant.progress import CancelToken

_MOST_PLANES = 1_000_000  # of which most have no page


@dataclass(frozen=True, slots=True)
class _File:
    """A file, and where its pages begin; None if it is missing."""

    path: Path
    pages: NDArray[np.int64] | None


def is_companion(path: Path) -> bool:
    """Return whether a file has the name of one with the metadata of several OME-TIFFs."""
    return path.name.lower().endswith(COMPANION)


def read_companion(path: Path) -> OmeDocument:
    """Read the file with the metadata of several OME-TIFFs.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        It cannot be read.
    """
    if not path.is_file():
        raise NotFoundError(
            f"the file {path.name} with the metadata of the OME-TIFF does not exist: copy it beside the other files"
        )
    try:
        with path.open("rb") as file:
            data = file.read(MOST_XML_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({reason_of(error)}): check who may read it") from error
    return parse(data.decode("utf-8", "replace"), path)


def ome_stacks(document: OmeDocument, path: Path, cancel: CancelToken) -> list[Stack]:
    """Return the images that OME-XML describes.

    Parameters
    ----------
    document
        What was read from `path`.
    path
        The OME-TIFF, or the companion file.
    cancel
        Asked for every file.

    Raises
    ------
    DatasetError
        A file is damaged, or holds fewer pages than the OME-XML says, or there is no image at all.
    """
    if document.metadata_file is not None and not document.images:
        companion = path.parent / document.metadata_file
        document, path = read_companion(companion), companion
    files = _files(document, path, cancel)
    stacks = [_stack(image, files, path, cancel) for image in document.images]
    if not stacks:
        raise DatasetError(
            f"expected {path.name} to describe an image in its OME-XML, got none: export the movie again"
        )
    return stacks


def _files(document: OmeDocument, path: Path, cancel: CancelToken) -> dict[str | None, _File]:
    """Return the files by the names that the OME-XML has for them; None is the one that holds it."""
    names = dict.fromkeys(each.file for image in document.images for each in image.data)
    own = None if is_companion(path) else path
    if any(not image.data for image in document.images):
        names[None] = None
    if own is not None and len(names) == 1 and not any((path.parent / name).exists() for name in names if name):
        return {name: _read(own, cancel) for name in names}  # the only file may have been renamed
    found = {}
    for name in names:
        place = own if name is None else path.parent / name
        if place is None:
            raise DatasetError(
                f"expected {path.name} to name the files of its planes, got planes without: export it again"
            )
        found[name] = _read(place, cancel) if place.is_file() else _File(place, None)
    return found


def _read(path: Path, cancel: CancelToken) -> _File:
    cancel.check()
    with opened(path) as tif:
        return _File(path, page_offsets(tif, path, cancel))


def _stack(image: OmeImage, files: dict[str | None, _File], path: Path, cancel: CancelToken) -> Stack:
    places, numbers = _planes(image, files, path)
    present = np.argwhere(places != MISSING)
    paths = [file.path for file in files.values()]
    missing = tuple(file.path.name for file in files.values() if file.pages is None)
    if not len(present):
        raise DatasetError(
            f"expected {path.name} to hold the planes of the image {image.name or 0}, got none"
            f"{f': {missing[0]} is missing, copy it beside it' if missing else ': export it again'}"
        )
    cancel.check()
    first, last = tuple(present[0]), tuple(present[-1])
    with opened(paths[numbers[last]]) as tif:
        check_end(tif, page_at(tif, int(places[last])), len(present), paths[numbers[last]])
    with opened(paths[numbers[first]]) as tif:
        page = Page.of(tif, page_at(tif, int(places[first])), paths[numbers[first]])
    return Stack(
        name=image.name,
        files=tuple(paths),
        places=places,
        numbers=numbers,
        page=page,
        channels=image.channels,
        voxel_size=image.voxel_size,
        unit=image.unit,
        interval=image.interval,
        missing_files=missing,
    )


def _planes(image: OmeImage, files: dict[str | None, _File], path: Path) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return where the page of each plane is, and in which file, both (T, C, Z)."""
    lengths = dict(zip("TCZ", image.sizes, strict=True))
    slowest_first = image.order[::-1]
    shape = [lengths[axis] for axis in slowest_first]
    n_pages = sum(len(file.pages) for file in files.values() if file.pages is not None)
    n_planes = lengths["T"] * lengths["C"] * lengths["Z"]
    if n_planes > max(_MOST_PLANES, 2 * n_pages):
        raise DatasetError(
            f"expected {path.name} to hold the {n_planes} planes that its OME-XML declares, got {n_pages} pages: "
            "export the movie again"
        )
    places, numbers = np.full(n_planes, MISSING, np.int64), np.zeros(n_planes, np.int32)
    order = {name: number for number, name in enumerate(files)}
    for start, pages, name in _runs(image, files, shape, path):
        places[start : start + len(pages)] = pages
        numbers[start : start + len(pages)] = order[name]
    axes = [slowest_first.index(axis) for axis in "TCZ"]
    return places.reshape(shape).transpose(axes), numbers.reshape(shape).transpose(axes)


def _runs(
    image: OmeImage, files: dict[str | None, _File], shape: list[int], path: Path
) -> Iterator[tuple[int, NDArray[np.int64], str | None]]:
    """Yield the number of a plane in the order of the file, and the pages that hold it and those after it."""
    n_planes = int(np.prod(shape))
    if not image.data:
        yield 0, _part(files[None], 0, n_planes, path), None
        return
    for each in image.data:
        file, first = files[each.file], dict(zip("TCZ", each.first, strict=True))
        at = [first[axis] for axis in image.order[::-1]]
        if any(i >= n for i, n in zip(at, shape, strict=True)):
            raise DatasetError(
                f"expected the planes of {path.name} to be within T, C, Z = {image.sizes}, got {each.first}: export "
                "the movie again"
            )
        if file.pages is not None:
            start = int(np.ravel_multi_index(at, shape))
            n = len(file.pages) - each.page if each.count is None else each.count
            yield start, _part(file, each.page, min(n, n_planes - start), path), each.file


def _part(file: _File, first: int, n: int, path: Path) -> NDArray[np.int64]:
    pages = file.pages
    assert pages is not None  # noqa: S101 - missing files were left out
    if first + n > len(pages):
        there = f"{file.path.name}, which {path.name} names," if file.path != path else path.name
        raise DatasetError(
            f"expected {there} to have {first + n} pages, as the OME-XML says, got {len(pages)}: it is truncated, "
            "or was saved anew by a program that left planes out; copy it again, or export it again"
        )
    return pages[first : first + n]
