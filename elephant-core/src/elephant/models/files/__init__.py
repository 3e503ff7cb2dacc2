"""The table of a model file: names and shapes of its weights, and the positions of their numbers in the file.

It is read without PyTorch and without unpickling, in both of PyTorch's formats: a .zip file, and the format before
version 1.6, pickles one after another followed by the numbers. For any file, reading the table takes time and memory
proportional to the table's size.
"""

import io
import os
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from elephant.models.files.pickled import Global, KeyKindError, Meaning, PickleError, named, read_pickle
from elephant.models.files.zip_layout import BEGINNING, Archive, ArchiveError

MOST_MEMBERS = 32
LARGEST_TABLE = 4 << 20  # that of a published network takes 20 kB
_MOST_AXES = 16
_MOST_NUMBERS = 1 << 62
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_SIZES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "bool": 1, "complex128": 16, "complex64": 8, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1, "uint16": 2, "uint32": 4, "uint64": 8,
}  # fmt: skip
_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64", "UntypedStorage": "uint8",
}  # fmt: skip
_TENSORS = {"_rebuild_tensor": 4, "_rebuild_tensor_v2": 6, "_rebuild_tensor_v3": 7}  # least number of arguments
_PARAMETERS = {"_rebuild_parameter", "_rebuild_parameter_with_state"}


class DamagedTableError(Exception):
    """A file is not a PyTorch file, or is damaged; the message says why."""


class NotWeightsError(Exception):
    """A PyTorch file holds something other than state dicts; the message says what."""


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """A tensor of a model file.

    Attributes
    ----------
    storage
        Index of the table's storage that holds its numbers.
    dtype
        PyTorch's name of their type.
    offset, size, stride
        Their position in the storage, in numbers; a tensor never reaches beyond its storage.
    """

    storage: int
    dtype: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelTable:
    """The contents of a model file.

    Attributes
    ----------
    members
        For each network, its tensors by name.
    storages
        Offset and length of each storage in the file, bytes.
    is_big_endian
        Whether numbers have their most significant byte first.
    """

    members: list[dict[str, TensorPlace]]
    storages: list[tuple[int, int]]
    is_big_endian: bool


def read_table(file: BinaryIO) -> ModelTable:
    """Read the table of a model file.

    Raises
    ------
    DamagedTableError
        It is not a PyTorch file, or is damaged.
    NotWeightsError
        It holds something other than a state dict or a list of them.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    is_zip = file.read(len(BEGINNING)) == BEGINNING
    try:
        return _read_zip(file, size) if is_zip else _read_old(file, size)
    except (ArchiveError, PickleError) as error:
        raise DamagedTableError(str(error)) from error
    except KeyKindError as error:
        raise NotWeightsError("a dict whose keys are not strings") from error


@dataclass(frozen=True, slots=True)
class _Storage:
    index: int
    dtype: str
    first: int  # of a part of a storage, in numbers
    count: int


class _Storages:
    """The storages that a table names, in order of appearance."""

    def __init__(self) -> None:
        self.keys: dict[str, int] = {}
        self.n_bytes: list[int] = []
        self.widths: list[int] = []  # bytes of a number

    def named(self, persistent_id: Any) -> _Storage:
        """Return the storage of a persistent id."""
        if not isinstance(persistent_id, tuple) or len(persistent_id) not in (5, 6) or persistent_id[0] != "storage":
            raise PickleError("a reference to something other than a storage")
        kind, key, _, count, *view = persistent_id[1:]
        is_named = isinstance(kind, Global) and kind.name in _STORAGES and isinstance(key, str)
        if not is_named or not _is_count(count):
            raise PickleError("a storage of an unsupported type")
        dtype = _STORAGES[kind.name]
        index = self.keys.setdefault(key, len(self.keys))
        if index == len(self.n_bytes):
            self.n_bytes.append(count * _SIZES[dtype])
            self.widths.append(_SIZES[dtype])
        if self.n_bytes[index] != count * _SIZES[dtype]:
            raise PickleError(f"a storage of two lengths ({key[:80]})")
        return _part(_Storage(index, dtype, 0, count), view[0] if view else None)


def _part(storage: _Storage, view: Any) -> _Storage:
    """Return a part of a storage, which old files may refer to."""
    if view is None:
        return storage
    if not isinstance(view, tuple) or len(view) != 3 or not all(map(_is_count, view[1:])):
        raise PickleError("an impossible part of a storage")
    _, first, count = view
    if first + count > storage.count:
        raise PickleError("a part that reaches beyond its storage")
    return _Storage(storage.index, storage.dtype, first, count)


def _is_known(found: Global) -> bool:
    if found.module == "torch._utils":
        return found.name in _TENSORS or found.name in _PARAMETERS
    if found.module in ("torch", "torch.storage", "torch.cuda"):
        return found.name in _STORAGES or found.name in _SIZES
    return (found.module, found.name) == ("collections", "OrderedDict")


def _reduce(called: Global, arguments: tuple[Any, ...]) -> Any:
    """Return the result of a call: a dict or a tensor."""
    if called.name == "OrderedDict":
        return named(_pairs(arguments))
    if called.name in _PARAMETERS and arguments and isinstance(arguments[0], TensorPlace):
        return arguments[0]
    if called.name in _TENSORS and len(arguments) >= _TENSORS[called.name]:
        return _tensor(arguments, arguments[6] if called.name == "_rebuild_tensor_v3" else None)
    raise PickleError(f"a call of {called} that does not belong in a state dict")


def _pairs(arguments: tuple[Any, ...]) -> list[Any]:
    """Return the entries of a new dict: none, or a list of pairs as Python 2 wrote it."""
    pairs = arguments[0] if arguments else []
    if len(arguments) > 1 or not isinstance(pairs, list) or not all(isinstance(p, list | tuple) for p in pairs):
        raise PickleError("a dict that is built in an unsupported way")
    if any(len(pair) != 2 for pair in pairs):
        raise PickleError("a dict that is built in an unsupported way")
    return pairs


def _tensor(arguments: tuple[Any, ...], dtype: Any) -> TensorPlace:
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, _Storage) or not _is_count(offset) or not _are_counts(size) or not _are_counts(stride):
        raise PickleError("a tensor that does not belong in a state dict")
    name, available = storage.dtype, storage.count
    if dtype is not None:
        if not isinstance(dtype, Global) or dtype.name not in _SIZES or storage.first:
            raise PickleError("a tensor of an unsupported type")
        name, available = dtype.name, storage.count * _SIZES[storage.dtype] // _SIZES[dtype.name]
    is_empty = 0 in size
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=False))
    if len(size) != len(stride) or (not is_empty and last >= available) or prod(size) > _MOST_NUMBERS:
        raise PickleError("a tensor that reaches beyond its storage")
    first = 0 if is_empty else storage.first + offset
    return TensorPlace(storage.index, name, first, size, (0,) * len(size) if is_empty else stride)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST_NUMBERS


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and len(values) <= _MOST_AXES and all(map(_is_count, values))


def _read_zip(file: BinaryIO, size: int) -> ModelTable:
    archive, storages = Archive(file, size), _Storages()
    folder = next(iter(archive.entries), "").split("/")[0]
    content = archive.read(f"{folder}/data.pkl", LARGEST_TABLE)
    if content is None:
        raise DamagedTableError("it has no table of weights")
    value = read_pickle(io.BytesIO(content), Meaning(_is_known, _reduce, storages.named))
    order = archive.read(f"{folder}/byteorder", 16)
    return ModelTable(
        _members(value),
        [_checked(archive.place(f"{folder}/data/{key}"), storages.n_bytes[i], key) for key, i in storages.keys.items()],
        order == b"big",
    )


def _read_old(file: BinaryIO, size: int) -> ModelTable:
    """Read the table of a file that PyTorch wrote before version 1.6."""
    storages = _Storages()
    file.seek(0)
    head = io.BytesIO(file.read(LARGEST_TABLE))
    if (_plain(head), _plain(head)) != (_MAGIC, _VERSION):
        raise DamagedTableError("it does not begin like one")
    system = _plain(head)
    value = read_pickle(head, Meaning(_is_known, _reduce, storages.named))
    keys, position = _plain(head), head.tell()
    places: dict[str, tuple[int, int]] = {}
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, str) or key in places or key not in storages.keys:
            raise DamagedTableError("its list of storages is broken")
        file.seek(position)
        index = storages.keys[key]
        n_bytes = int.from_bytes(file.read(8), "little") * storages.widths[index]
        position += 8
        if position + n_bytes > size:
            raise DamagedTableError(f"its storage {key[:80]} is cut off")
        places[key] = position, n_bytes
        position += n_bytes
    found = [_checked(places.get(key), storages.n_bytes[i], key) for key, i in storages.keys.items()]
    return ModelTable(_members(value), found, isinstance(system, dict) and system.get("little_endian") is False)


def _plain(file: BinaryIO) -> Any:
    """Read a pickle of plain values."""
    return read_pickle(file, Meaning(lambda _: False, _reduce, _Storages().named))


def _checked(place: tuple[int, int] | None, n_bytes: int, key: str) -> tuple[int, int]:
    if place is None or place[1] != n_bytes:
        found = "is missing" if place is None else f"has {place[1]} bytes, expected {n_bytes}"
        raise DamagedTableError(f"its storage {key[:80]} {found}")
    return place


def _members(content: Any) -> list[dict[str, TensorPlace]]:
    members = content if isinstance(content, list) else [content]
    if len(members) > MOST_MEMBERS:  # a list may repeat the same weights at no cost in the file
        raise NotWeightsError(f"{len(members)} networks, more than the {MOST_MEMBERS} that a model can have")
    for member in members:
        if not isinstance(member, dict) or not member or any(type(v) is not TensorPlace for v in member.values()):
            raise NotWeightsError(_kind_of(content))
    if not members:
        raise NotWeightsError("an empty list")
    return members


def _kind_of(content: Any) -> str:
    if isinstance(content, TensorPlace):
        return "a tensor"
    kinds: list[tuple[Any, str]] = [(list, "a list of something else"), (dict, "a dict of something else")]
    return next((words for kind, words in kinds if isinstance(content, kind)), type(content).__name__)
