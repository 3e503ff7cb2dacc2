"""What Zarr reads a hierarchy on another machine by. Apart from the rest, since Zarr is slow to import."""

from collections.abc import AsyncIterator, Iterable
from pathlib import PurePosixPath

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from elephant.dataset.readers.remote import RemoteFolder
from elephant.errors import ForbiddenError
from elephant.io.http_objects import Span

_ATTRIBUTES = ".zattrs"


class RemoteStore(Store):
    """The objects of a :class:`RemoteFolder`, for reading."""

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, folder: RemoteFolder) -> None:
        super().__init__(read_only=True)
        self._folder = folder

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteStore) and other._folder is self._folder

    def __str__(self) -> str:
        return self._folder.url

    __repr__ = __str__

    def __hash__(self) -> int:
        return hash(self._folder.url)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return an object or a part of it; None if there is none."""
        try:
            content = await self._folder.get(key, _span(byte_range))
        except ForbiddenError:
            if PurePosixPath(key).name != _ATTRIBUTES:  # beside an array, they say nothing of its values
                raise
            content = None
        return None if content is None else prototype.buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of objects."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether there is an object."""
        return await self._folder.get(key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse to write."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Refuse to delete."""
        raise NotImplementedError

    def list(self) -> AsyncIterator[str]:
        """Refuse to list: a web server has no list."""
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refuse to list."""
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refuse to list."""
        raise NotImplementedError


def _span(part: ByteRequest | None) -> Span | None:
    match part:
        case None:
            return None
        case RangeByteRequest(start, end):
            return Span(start, end)
        case OffsetByteRequest(offset):
            return Span(offset)
        case SuffixByteRequest(suffix):
            return Span(-suffix)
