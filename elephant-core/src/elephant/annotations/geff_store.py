"""The groups and arrays of a graph in the Graph Exchange File Format, opened without trusting them.

References
----------
The specification of GEFF, versions 0.2 to 1.3, https://liveimagetrackingtools.org/geff.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elephant.annotations.base import MOST_SPOTS
from elephant.dataset.readers.zarr_places import METADATA, ZarrPlace, place_of
from elephant.errors import DatasetError, ElephantError, InvalidInputError
from elephant.words import in_bytes

if TYPE_CHECKING:
    import zarr

KEY = "geff"
_OURS = "elephant"
_LARGEST_BLOCK_BYTES = 256 << 20
_LARGEST_ITEM_BYTES = 1024  # of a string
_MOST_BLOCKS = 100_000
_LARGEST_ARRAY_BYTES = 2 << 30  # the ellipsoids of the most nodes take 1.4 GB
_MOST_FOLDERS = 1000


class _Part(BaseModel):
    """A part of the metadata; what is not needed is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Axis(_Part):
    """A property of the nodes that is a position or a time.

    Attributes
    ----------
    scale, scaled_unit, offset
        By what values are multiplied, and what is added then, to be in another unit.
    """

    name: str
    type: str | None = None
    unit: str | None = None
    scale: float | None = None
    scaled_unit: str | None = None
    offset: float | None = None


class _Described(_Part):
    varlength: bool = False


class Metadata(_Part):
    """What a file says of its graph."""

    geff_version: str = Field(max_length=100)
    directed: bool
    axes: tuple[Axis, ...] | None = None
    sphere: str | None = None
    ellipsoid: str | None = None
    track_node_props: dict[str, str] | None = None
    node_props_metadata: dict[str, _Described] = Field(default_factory=dict)
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether an export of this program wrote it."""
        return _OURS in self.extra


@dataclass(frozen=True, slots=True)
class Property:
    """The values of a property, (N, ...), and which of them are missing, (N,)."""

    values: NDArray[Any]
    missing: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class GeffStore:
    """An open graph.

    Attributes
    ----------
    place
        The folder or archive.
    root
        Key of the graph's group, with ``/`` at its end, or empty.
    name
        Of the file, for people.
    metadata
        What it says of itself.
    """

    place: ZarrPlace
    root: str
    name: str
    metadata: Metadata

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a graph, or the only one in a folder.

        Raises
        ------
        InvalidInputError
            There is none, or there are several, or its metadata are damaged.
        """
        try:
            place = place_of(path)
            roots = roots_of(place)
            found = [] if len(roots) != 1 else _attributes(place, roots[0])
        except (ElephantError, OSError, ValueError) as error:
            raise _damaged(path.name, error) from error
        if not found or not isinstance(found, dict):
            names = ", ".join(f"{path.name}/{root.rstrip('/')}" for root in roots[:5])
            raise InvalidInputError(
                f"expected {path.name} to hold one graph in GEFF, got {len(roots)}: "
                + (f"choose one of them ({names})" if roots else "check that it was copied whole")
            )
        try:
            metadata = Metadata.model_validate(found[KEY])
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or KEY
            raise InvalidInputError(
                f"the metadata of {path.name} are not those of a graph in GEFF ({where}: {problem['msg'].lower()}): "
                "export it again"
            ) from error
        return cls(place, roots[0], path.name, metadata)

    def ids(self, what: str) -> NDArray[np.int64]:
        """Return the ids of the ``nodes``, (N,), or of both ends of the ``edges``, (E, 2).

        Raises
        ------
        InvalidInputError
            They are missing, damaged, too many, or no whole numbers.
        """
        key = f"{what}/ids"
        array = self._array(key)
        is_shape = array.ndim == 1 if what == "nodes" else array.ndim == 2 and array.shape[1] == 2
        if not is_shape or array.dtype.kind not in "iu":
            raise InvalidInputError(
                f"expected {key} of {self.name} to be whole numbers, {'one' if what == 'nodes' else 'two'} for each, "
                f"got {array.dtype} of the shape {array.shape}: export it again"
            )
        if array.shape[0] > MOST_SPOTS:
            raise InvalidInputError(
                f"expected at most {MOST_SPOTS} {what} in {self.name}, got {array.shape[0]}: export a part of them"
            )
        values = self._values(key, array)
        if values.size and values.max() > np.iinfo(np.int64).max:
            raise InvalidInputError(
                f"expected ids below 2^63 in {key} of {self.name}, got {values.max()}: export it again"
            )
        return values.astype(np.int64)

    def property(self, what: str, name: str, n: int) -> Property | None:
        """Return a property of the ``nodes`` or ``edges``, of which there are `n`; None if there is none of that name.

        Raises
        ------
        InvalidInputError
            It is damaged, or neither numbers nor short text.
        """
        described = self.metadata.node_props_metadata.get(name) if what == "nodes" else None
        key = f"{what}/props/{name}"
        if not _is_plain(name) or (described is not None and described.varlength) or not self._has(f"{key}/values"):
            return None
        array = self._array(f"{key}/values")
        if array.ndim < 1 or array.shape[0] != n or math.prod(array.shape[1:]) > 9:
            raise InvalidInputError(
                f"expected {name} of {self.name} to have a value for each of the {n} {what}, got the shape "
                f"{array.shape}: export it again"
            )
        values = self._values(f"{key}/values", array)
        missing = np.zeros(n, dtype=bool)
        if self._has(f"{key}/missing"):
            marks = self._array(f"{key}/missing")
            if marks.shape != (n,) or marks.dtype.kind not in "biu":
                raise InvalidInputError(
                    f"expected {name} of {self.name} to say for each of the {n} {what} whether it is missing, got "
                    f"{marks.dtype} of the shape {marks.shape}: export it again"
                )
            missing = self._values(f"{key}/missing", marks).astype(bool)
        return Property(values, missing)

    def _has(self, key: str) -> bool:
        try:
            return any(self.place.read(f"{self.root}{key}/{name}") is not None for name in (".zarray", "zarr.json"))
        except (ElephantError, OSError, ValueError) as error:
            raise _damaged(self.name, error) from error

    def _array(self, key: str) -> "zarr.Array[Any]":
        """Open an array, and judge how much memory a block of it would take."""
        if not self._has(key):
            raise InvalidInputError(f"{self.name} has no {key}, so it is incomplete: copy or export it again")
        try:
            array = self.place.array(self.root + key)
        except Exception as error:  # each store, format and codec raises errors of its own
            raise _damaged(f"{key} of {self.name}", error) from error
        if array.dtype.kind not in "iufbUT" or (array.dtype.kind == "U" and array.dtype.itemsize > _LARGEST_ITEM_BYTES):
            raise InvalidInputError(
                f"expected {key} of {self.name} to be numbers or short text, got {array.dtype}: export it again"
            )
        size = math.prod(array.shape) * array.dtype.itemsize
        if size > _LARGEST_ARRAY_BYTES:
            raise InvalidInputError(
                f"expected {key} of {self.name} to take at most {in_bytes(_LARGEST_ARRAY_BYTES)}, got "
                f"{in_bytes(size)}: export it again"
            )
        edges = array.shards or array.chunks
        block = math.prod(edges) * array.dtype.itemsize
        n_blocks = math.prod(-(-size // max(edge, 1)) for size, edge in zip(array.shape, edges, strict=True))
        if n_blocks > _MOST_BLOCKS:
            raise InvalidInputError(
                f"expected {key} of {self.name} to be stored in at most {_MOST_BLOCKS} blocks, got {n_blocks}: export "
                "it again"
            )
        if block > _LARGEST_BLOCK_BYTES:
            raise InvalidInputError(
                f"expected {key} of {self.name} to be stored in blocks of at most {in_bytes(_LARGEST_BLOCK_BYTES)}, "
                f"got {in_bytes(block)}: export it again"
            )
        return array

    def _values(self, key: str, array: "zarr.Array[Any]") -> NDArray[Any]:
        try:
            return np.asarray(array[...])
        except MemoryError:
            raise
        except Exception as error:  # each store, format and codec raises errors of its own
            raise _damaged(f"{key} of {self.name}", error) from error


def roots_of(place: ZarrPlace) -> list[str]:
    """Return the keys of the graphs in a place: of the place itself (empty), or else of folders in it."""
    if KEY in _attributes(place, ""):
        return [""]
    folders = [f"{name}/" for name in sorted(place.folders())[:_MOST_FOLDERS] if not name.startswith(".")]
    return [root for root in folders if KEY in _attributes(place, root)]


def _attributes(place: ZarrPlace, root: str) -> dict[str, Any]:
    """Return the attributes of a group; empty if it has none."""
    for name in METADATA:
        content = place.read(root + name)
        if content is None:
            continue
        try:
            found = json.loads(content)
        except RecursionError as error:
            raise ValueError(f"{name} is nested too deeply") from error
        found = found.get("attributes", {}) if isinstance(found, dict) and name == "zarr.json" else found
        return found if isinstance(found, dict) else {}
    return {}


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and PurePosixPath(name).name == name and not set("\\:\0") & set(name)


def _damaged(what: str, error: Exception) -> InvalidInputError:
    if isinstance(error, DatasetError):
        return InvalidInputError(str(error))
    words = " ".join(str(error).split())[:200] or type(error).__name__
    return InvalidInputError(f"{what} cannot be read ({words}): copy or export it again")
