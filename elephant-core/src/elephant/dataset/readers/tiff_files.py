"""Opening TIFF files that others made: their pages are found without trusting them, and problems are explained.

References
----------
TIFF revision 6.0, Adobe 1992; the design of BigTIFF, https://www.awaresystems.be/imaging/tiff/bigtiff.html.
"""

import importlib.util
import logging
import lzma
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TIFF, TiffFile, TiffPage

from elephant.dataset.readers.formats import format_of
from elephant.errors import DatasetError, ElephantError, NotFoundError, reason_of
from elephant.progress import CancelToken

SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
CODECS = "imagecodecs"
INSTALL_CODECS = 'pip install "elephant-core[tiff]"'
LARGEST_SEGMENT_BYTES = 2**30
_MOST_PAGES = 20_000_000
_ASK_EVERY = 1000
_DEFLATE = {8, 32946, 50013}
_LZMA = {34925}
_LARGEST_UNCHECKED_BYTES = 256 << 20
_MOST_BY_DEFLATE = 1032  # bytes that a byte of deflate can become

logger = logging.getLogger("tifffile")


def is_tiff(path: Path) -> bool:
    """Return whether a file begins as a TIFF does."""
    try:
        with path.open("rb") as file:
            return file.read(4) in SIGNATURES
    except OSError:
        return False


@contextmanager
def opened(path: Path) -> Iterator[TiffFile]:
    """Open a TIFF; whatever is wrong with it, within the block too, is explained.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        It is no TIFF, or a damaged one.
    """
    if not path.is_file():
        raise NotFoundError(f"the movie {path} does not exist: check its name, or copy it")
    with quiet():
        try:
            with TiffFile(path) as tif:
                yield tif
        except (ElephantError, MemoryError):
            raise
        except PermissionError as error:
            raise DatasetError(f"{path} cannot be read ({reason_of(error)}): check who may read it") from error
        except Exception as error:  # a damaged file makes tifffile raise errors of any kind
            raise DatasetError(_why_not(path, error)) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what tifffile logs in this thread: the errors here say it in the reader's words."""
    here = threading.get_ident()

    def of_others(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(of_others)
    try:
        yield
    finally:
        logger.removeFilter(of_others)


def _why_not(path: Path, error: Exception) -> str:
    if not is_tiff(path):
        return f"expected {path.name} to be a TIFF, got {format_of(path)}: export the movie as TIFF, or copy it again"
    words = " ".join(str(error).split())[:200]
    words = words if any(map(str.isalpha, words)) else type(error).__name__
    return f"expected {path.name} to be a TIFF, but it is damaged ({words}): copy it again, or export it again"


def page_offsets(tif: TiffFile, path: Path, cancel: CancelToken) -> NDArray[np.int64]:
    """Return where the pages of a TIFF begin, in their order.

    tifffile follows a chain of pages without end if it leads back to itself after more than a hundred.

    Raises
    ------
    DatasetError
        The chain of pages leads back to itself, or out of the file.
    """
    form, file = tif.tiff, tif.filehandle
    found: dict[int, None] = {}
    offset = int(tif.pages.first.offset)
    while offset:
        if offset in found or len(found) >= _MOST_PAGES:
            raise DatasetError(
                f"expected the pages of {path.name} to come to an end, but the one after page {len(found)} is an "
                "earlier one: it is damaged; copy it again, or export it again"
            )
        if offset + form.tagnosize > file.size:
            raise truncated(path, len(found), file.size)
        found[offset] = None
        if len(found) % _ASK_EVERY == 0:
            cancel.check()
        offset = _next(file, form, offset)
        if offset < 0:
            raise truncated(path, len(found), file.size)
    return np.fromiter(found, np.int64, len(found))


def _next(file: Any, form: Any, offset: int) -> int:
    """Return where the next page begins, 0 after the last one, or -1 if the file ends before that is told."""
    try:
        file.seek(offset)
        n_tags = struct.unpack(form.tagnoformat, file.read(form.tagnosize))[0]
        file.seek(offset + form.tagnosize + n_tags * form.tagsize)
        return int(struct.unpack(form.offsetformat, file.read(form.offsetsize))[0])
    except (struct.error, OSError, ValueError, OverflowError):
        return -1


def truncated(path: Path, n_pages: int, size: int) -> DatasetError:
    """Return the error for a file that ends before its pages do."""
    return DatasetError(
        f"expected {path.name} to hold all of its pages, but it is truncated: it ends after {size} bytes, within or "
        f"after page {n_pages}. Copy it again, or open it in Fiji and save what is left"
    )


def page_at(tif: TiffFile, offset: int) -> TiffPage:
    """Return the page that begins at an offset."""
    tif.filehandle.seek(offset)
    return TiffPage(tif, 0)


def check_readable(page: TiffPage, path: Path) -> None:
    """Check that this machine can decompress a page, and that its pieces have a size that can be read.

    Raises
    ------
    DatasetError
        It cannot, or they have not; the message says what to install, or how to export the movie.
    """
    if page.dtype is None or not page.dataoffsets or 0 in page.shaped:
        raise DatasetError(
            f"expected the pages of {path.name} to hold images of 8, 16 or 32 bits, got {page.bitspersample} bits of "
            f"the kind {int(page.sampleformat)}, or none: convert it to 16 bits in Fiji"
        )
    if page.imagedepth > 1:
        raise DatasetError(
            f"expected {path.name} to have a page for each plane, got pages of {page.imagedepth} planes: save it with "
            "a page for each plane, as Fiji does"
        )
    if (size := segment_bytes(page)) > LARGEST_SEGMENT_BYTES:
        raise DatasetError(
            f"expected {path.name} to be stored in strips or tiles of at most {LARGEST_SEGMENT_BYTES >> 30} GiB, got "
            f"{size / 2**30:.3g} GiB: export it with smaller tiles, or a smaller movie"
        )
    _check_codec(page, path)


def _check_codec(page: TiffPage, path: Path) -> None:
    if page.compression == 1 and page.predictor == 1:
        return
    try:
        if page.compression != 1:
            TIFF.DECOMPRESSORS[page.compression]
        if page.predictor != 1:
            TIFF.UNPREDICTORS[page.predictor]
    except KeyError as error:
        name = getattr(page.compression, "name", page.compression)
        if importlib.util.find_spec(CODECS) is None:
            remedy = f"which needs the package {CODECS}: {INSTALL_CODECS}, or save the movie without compression"
        else:
            remedy = "which cannot be read here: open the movie in Fiji, and save it without compression"
        raise DatasetError(f"the images of {path.name} are compressed with {name}, {remedy}") from error


def check_end(tif: TiffFile, page: TiffPage, number: int, path: Path) -> None:
    """Check that the file does not end before a page does.

    Raises
    ------
    DatasetError
        It does.
    """
    size = tif.filehandle.size
    ends = (start + n for start, n in zip(page.dataoffsets, page.databytecounts, strict=False))
    if any(end > size for end in ends):
        raise truncated(path, number, size)


def segment_bytes(page: TiffPage) -> int:
    """Return the size of a strip or a tile when it is decompressed; of an uncompressed page, that of a line."""
    if page.is_contiguous:
        return page.imagewidth * page.samplesperpixel * max(1, page.bitspersample // 8)
    height, width = segment_shape(page)
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    return height * width * samples * (np.dtype(page.dtype).itemsize if page.dtype else 1)


def segment_shape(page: TiffPage) -> tuple[int, int]:
    """Return Y, X of a strip or a tile."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def check_expansion(data: bytes, page: TiffPage) -> None:
    """Check that compressed bytes become no more than a strip or tile holds, before a decoder without bounds has them.

    Raises
    ------
    ValueError
        They become more.
    """
    if importlib.util.find_spec(CODECS) is not None:
        return  # its decoders have bounds
    most = 2 * segment_bytes(page) + 4096
    if page.compression in _DEFLATE and len(data) * _MOST_BY_DEFLATE > max(most, _LARGEST_UNCHECKED_BYTES):
        found = len(zlib.decompressobj().decompress(data, most + 1))
    elif page.compression in _LZMA:
        found = len(lzma.LZMADecompressor().decompress(data, most + 1))
    else:
        return
    if found > most:
        raise ValueError(f"a strip or tile becomes more than {most} bytes")
