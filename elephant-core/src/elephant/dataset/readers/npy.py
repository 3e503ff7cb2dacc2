"""Arrays of NumPy in ``.npy`` files, which are mapped into memory; what is not asked for stays on the disk.

References
----------
The NPY format, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.axes import leading_axes
from elephant.dataset.readers.base import Reader, Region, ViewSetup, choose
from elephant.dataset.readers.bdv_xml import MOST_TIMEPOINTS
from elephant.dataset.readers.formats import format_of
from elephant.dataset.readers.tiff import DTYPES
from elephant.errors import DatasetError, InvalidInputError, NotFoundError
from elephant.progress import CancelToken, NeverCancelled

_MAGIC = b"\x93NUMPY"
_MOST_AXES = 5
_MOST_CHANNELS = 1000
_USUAL = {2: "YX", 4: "TZYX"}


@dataclass(frozen=True, kw_only=True)
class NpyReader(Reader):
    """Reads an array of NumPy.

    Attributes
    ----------
    letters
        What each axis of the array is; a dash for one of length 1.
    """

    suffixes = (".npy",)
    takes_axes: ClassVar[bool] = True

    letters: str

    @classmethod
    def open(
        cls,
        path: Path,
        setup: int | None = None,
        *,
        fill_gaps: bool = False,
        cancel: CancelToken = NeverCancelled(),  # noqa: B008 - has no state
        axes: str | None = None,
    ) -> Self:
        """Inspect an array without reading its values.

        Parameters
        ----------
        path
            The file.
        setup
            Number of the channel to read; None for the first.
        fill_gaps
            An array has no gaps.
        cancel
            Not asked: this takes no time.
        axes
            The axes, such as ``TZYX``; None: YX of two, and TZYX of four.

        Raises
        ------
        NotFoundError
            There is no such file.
        InvalidInputError
            There is no such channel, or the axes do not fit.
        DatasetError
            It is no array of numbers, not whole, or its axes are not clear.
        """
        return cls.inspect(path, setup, fill_gaps=fill_gaps, cancel=cancel, axes=axes)

    @classmethod
    def inspect(
        cls,
        path: Path,
        setup: int | None,
        *,
        fill_gaps: bool,
        cancel: CancelToken,
        axes: str | None = None,
        unknown: str = "",
    ) -> Self:
        """Do the same; axes without a meaning are taken for those of `unknown`, one after the other."""
        del fill_gaps, cancel
        array = _mapped(path)
        lead, given = "Q" * (array.ndim - 2), axes or _USUAL.get(array.ndim)
        letters = leading_axes(lead, array.shape[:-2], given, path, unknown) + "YX"
        lengths = dict(zip(letters, array.shape, strict=True))
        _check(array, lengths, path)
        n_channels, shape = lengths.get("C", 1), (lengths.get("Z", 1), *array.shape[-2:])
        setups = tuple(ViewSetup(i, size=shape, attributes={"channel": str(i)}) for i in range(n_channels))
        chosen = choose(setups, setup, path)
        return cls(
            path=path,
            shape=shape,
            dtype=DTYPES[array.dtype.name],
            n_timepoints=lengths.get("T", 1),
            setup=chosen,
            others=tuple(each for each in setups if each is not chosen),
            stored_bytes=array.nbytes // n_channels,
            given_axes=axes,
            letters=letters,
        )

    @classmethod
    def digest(cls, path: Path, setup: int | None, cancel: CancelToken) -> str:
        """Return a digest of sampled values, whatever axes a person gave."""
        try:
            found = cls.inspect(path, setup, fill_gaps=True, cancel=cancel, unknown="ZTC")
        except InvalidInputError:  # with the given axes there is such a source
            found = cls.inspect(path, None, fill_gaps=True, cancel=cancel, unknown="ZTC")
        return found.digest_of_values(cancel)

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Map the file into memory."""
        yield Timepoint(self, _mapped(self.path), t)


class Timepoint:
    """An open timepoint of an array."""

    def __init__(self, movie: NpyReader, array: NDArray[Any], t: int) -> None:
        place = {"T": t, "C": movie.setup.id, "-": 0}
        index = tuple(place.get(letter, slice(None)) for letter in movie.letters)
        spatial = [letter for letter in movie.letters if letter in "ZYX"]
        found = array[index]
        self._voxels = found if "Z" in spatial else found[np.newaxis]
        self._dtype = movie.dtype

    def __getitem__(self, region: Region) -> NDArray[Any]:
        """Return a block of the values, (Z, Y, X), of the movie's type."""
        return np.asarray(self._voxels[region]).astype(self._dtype)


def _mapped(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise NotFoundError(f"the movie {path} does not exist: check its name, or copy it")
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise DatasetError(
                    f"expected {path.name} to be an array of NumPy, got {format_of(path)}: save it again"
                )
        # Pickled objects can run any code: they are refused, and a header cannot be larger than NumPy's bound.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (DatasetError, MemoryError):
        raise
    except Exception as error:  # a damaged header makes NumPy raise errors of any kind
        words = " ".join(str(error).split())[:200]
        raise DatasetError(
            f"expected {path.name} to hold a whole array of numbers, but it does not ({words}): save it again with "
            "numpy.save, or copy it again"
        ) from error
    if not 2 <= array.ndim <= _MOST_AXES or not array.size:
        raise DatasetError(
            f"expected {path.name} to be an array of 2 to {_MOST_AXES} axes with values, got the shape {array.shape}: "
            "save it as T, Z, Y, X"
        )
    return np.asanyarray(array)


def _check(array: NDArray[Any], lengths: dict[str, int], path: Path) -> None:
    if array.dtype.name not in DTYPES:
        raise DatasetError(
            f"expected {path.name} to be an array of {', '.join(DTYPES)}, got {array.dtype}: convert it, for example "
            "to uint16"
        )
    if lengths.get("T", 1) > MOST_TIMEPOINTS or lengths.get("C", 1) > _MOST_CHANNELS:
        raise DatasetError(
            f"expected {path.name} to have at most {MOST_TIMEPOINTS} timepoints and {_MOST_CHANNELS} channels, got the "
            f"shape {array.shape}: give other `axes`, or save a part of it"
        )
