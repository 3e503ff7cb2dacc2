"""Zarr hierarchies on other machines: what was read is kept on disk, and a source that changes or goes is an error.

What the cache holds is used without asking for ten minutes; then the server confirms it by its version, or gives the
new one. While a movie is read, the metadata of its array are looked at again once a minute, and before an absent block
is taken to be empty: what is deleted or replaced meanwhile must not look like an image that is black.
"""

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from elephant.dataset.readers.zarr_places import METADATA, ZIP, ZIPS_OF_ZARR, ZarrPlace
from elephant.errors import ForbiddenError, InvalidInputError, RemoteError
from elephant.io.addresses import RemoteRules, address_of, allowed_rules, in_folder, shown, url_of
from elephant.io.connections import check_installed, waited_for
from elephant.io.http_objects import (
    LARGEST_METADATA_BYTES,
    Answer,
    Span,
    fetch_object,
)
from elephant.io.object_cache import Entry, ObjectCache
from elephant.progress import current_token

if TYPE_CHECKING:
    import zarr

_FRESH_S = 600.0
_LOOKED_AT_EACH_S = 60.0
_MOST_VERSIONS = 10_000
_OF_ARRAY = {3: "zarr.json", 2: ".zarray"}
_FORMATS: dict[str, Literal[2, 3]] = {"zarr.json": 3, ".zattrs": 2}
_OF_METADATA = frozenset({*METADATA, *_OF_ARRAY.values(), ".zmetadata"})


class RemoteFolder:
    """The objects below an address, read through the cache; for one process.

    Parameters
    ----------
    url
        The http(s) address.
    rules
        Which addresses are allowed, and where the cache is.
    """

    def __init__(self, url: str, rules: RemoteRules) -> None:
        self.url = url
        self._rules = rules
        self._cache = (
            None if rules.cache is None or not rules.cache_bytes else ObjectCache(rules.cache, rules.cache_bytes)
        )
        self._versions: OrderedDict[str, str] = OrderedDict()  # of objects of which parts are read
        self._watched: dict[str, _Watched] = {}  # by the keys of arrays
        self.zarr_format: Literal[2, 3] | None = None

    async def metadata(self, key: str) -> Answer:
        """Return a file of metadata as it is now."""
        answer = await fetch_object(in_folder(self.url, key), self._rules, most_bytes=LARGEST_METADATA_BYTES)
        if answer.content is not None and PurePosixPath(key).name in _FORMATS:
            self.zarr_format = _FORMATS[PurePosixPath(key).name]
        return answer

    async def find_format(self, array: str) -> None:
        """Find the format of an array."""
        try:
            await self.metadata(f"{array}/{_OF_ARRAY[3]}")
        except ForbiddenError:
            self.zarr_format = 2

    async def watch(self, array: str, name: str) -> None:
        """Let the reads of an array fail from now on once its metadata are no longer what they are now."""
        now = time.monotonic()
        key = f"{array}/{name}"
        self._watched[array] = _Watched(key, await self.metadata(key), now, asyncio.Lock())

    async def get(self, key: str, span: Span | None = None) -> bytes | None:
        """Return an object or a part of it; None if there is none.

        Raises
        ------
        RemoteError
            It cannot be read, or the movie is no longer what it was when it was opened.
        """
        started = time.monotonic()
        watched = next((each for array, each in self._watched.items() if key.startswith(f"{array}/")), None)
        if watched is not None:
            if watched.key == key:
                return watched.known.content
            if watched.seen < started - _LOOKED_AT_EACH_S:
                await self._look(watched, started - _LOOKED_AT_EACH_S)
        url = in_folder(self.url, key)
        found = None if self._cache is None else await self._kept(self._cache, url, span)
        if found is None or not 0 <= time.time() - found.entry.checked <= _FRESH_S:
            found = await self._asked(url, span, found)
            if found.entry.content is None and watched is not None and PurePosixPath(key).name not in _OF_METADATA:
                await self._look(watched, started)
        content = found.entry.content
        if span is None or content is None:
            return content
        self._check_version(key, found.entry.version)
        return span.of(content) if found.is_whole else content

    @staticmethod
    async def _kept(cache: ObjectCache, url: str, span: Span | None) -> "_Found | None":
        """Return what the cache has: the part, or the whole object."""
        for part in (None,) if span is None else (span, None):
            entry = await asyncio.to_thread(cache.find, _name(url, part))
            if entry is not None:
                return _Found(entry, part is None)
        return None

    async def _asked(self, url: str, span: Span | None, known: "_Found | None") -> "_Found":
        """Return an object as the server has it now."""
        checked, version = time.time(), ""
        if known is not None and known.entry.content is not None:
            version, span = known.entry.version, None if known.is_whole else span
        answer = await fetch_object(url, self._rules, span, version)
        if answer.is_same and known is not None:
            if self._cache is not None:
                await asyncio.to_thread(self._cache.confirm, _name(url, span), checked)
            return known
        found = _Found(Entry(answer.content, answer.version, checked), span is None or answer.is_whole)
        await self._keep(_name(url, None if found.is_whole else span), found.entry)
        return found

    async def _keep(self, name: str, entry: Entry) -> None:
        if self._cache is not None:
            await asyncio.to_thread(self._cache.store, name, entry)

    def _check_version(self, key: str, version: str) -> None:
        """Check that the parts of an object that are read are those of one version."""
        before = self._versions.pop(key, version)
        if before != version:
            raise self._changed()
        self._versions[key] = version
        if len(self._versions) > _MOST_VERSIONS:
            self._versions.popitem(last=False)

    async def _look(self, watched: "_Watched", since: float) -> None:
        """Look at the metadata of an array, unless that was done since then."""
        async with watched.lock:
            if watched.seen >= since:
                return
            now = time.monotonic()
            found = await self.metadata(watched.key)
            if found.content is None:
                _forget()
                raise RemoteError(
                    f"the movie at {self.url} is gone, or a part of it: check the address, or ask its owner for it"
                )
            if found != watched.known:
                raise self._changed()
            watched.seen = now

    def _changed(self) -> RemoteError:
        _forget()
        return RemoteError(
            f"the movie at {self.url} has changed while it was read: wait until its upload is done, and try again"
        )


@dataclass(slots=True)
class _Watched:
    """Metadata of an array: what they were when it was opened, and when they were last seen so."""

    key: str
    known: Answer
    seen: float
    lock: asyncio.Lock


@dataclass(frozen=True, slots=True)
class _Found:
    entry: Entry
    is_whole: bool


def _forget() -> None:
    """Let movies that are opened from now on be looked at anew."""
    _folder.cache_clear()
    _array.cache_clear()


def _name(url: str, span: Span | None) -> str:
    """Return the name of an object, or a part of it, in the cache."""
    return url if span is None else f"{url} {span.header}"


@lru_cache(16)
def _folder(url: str, rules: RemoteRules, process: int) -> RemoteFolder:  # noqa: ARG001 - one that was forked has none
    return RemoteFolder(url, rules)


@dataclass(frozen=True, slots=True)
class Remote(ZarrPlace):
    """A hierarchy at an address.

    Attributes
    ----------
    path
        The address, as :mod:`elephant.io.addresses` has it.
    rules
        Which addresses are allowed, also in other processes.
    """

    advice = "check the address, and ask the owner of the movie"

    path: Path
    rules: RemoteRules

    @classmethod
    def at(cls, path: Path) -> "Remote":
        """Return the place at an address, by the rules of this process.

        Raises
        ------
        InvalidInputError
            They do not allow it, or what reads it is not installed.
        """
        rules = allowed_rules(path.as_posix())
        check_installed()
        if path.name.lower().endswith((ZIP, *ZIPS_OF_ZARR)):
            raise InvalidInputError(
                f"expected the address of a folder of OME-Zarr, got the archive {path.name}: download it, and give its "
                "path"
            )
        if path.name in _OF_METADATA:
            raise InvalidInputError(
                f"expected the address of a folder of OME-Zarr, got that of a file in it: leave /{path.name} out"
            )
        place = cls(path, rules)
        place.folder()  # judges the address
        return place

    @property
    def name(self) -> str:
        """The address."""
        return shown(self.path)

    def read(self, key: str) -> bytes | None:
        """Return the content of a file of metadata as it is now; None if there is no such file."""
        return self._asked(key).content

    def _asked(self, key: str) -> Answer:
        try:
            return waited_for(self.folder().metadata(key), current_token())
        except ForbiddenError:
            if PurePosixPath(key).name == METADATA[0]:  # it may be missing, with those of Zarr format 2 in its place
                return Answer(None, "")
            raise

    def folders(self) -> list[str]:
        """Return the names of the first two series of images: folders cannot be listed."""
        return [name for name in ("0", "1") if any(self.read(f"{name}/{each}") is not None for each in METADATA)]

    def array(self, key: str) -> "zarr.Array[Any]":
        """Open an array; from now on reading fails once its metadata are no longer the same."""
        return _array(self, key, os.getpid())

    def values(self, array: "zarr.Array[Any]", selection: tuple[int | slice, ...]) -> Any:
        """Return values of an array."""
        return waited_for(array.async_array.getitem(selection), current_token())

    def files(self, key: str) -> tuple[Path, ...]:
        """Return the paths of the metadata of the array at a key and of the image."""
        return tuple(self.path / each for each, _ in self._metadata(key))

    def digest(self, key: str) -> str:
        """Return a digest of the metadata of the array at a key and of the image, and of their versions."""
        digest = hashlib.blake2b(digest_size=16)
        for each, answer in self._metadata(key):
            digest.update(f"{each} {answer.version} ".encode() + (answer.content or b""))
        return digest.hexdigest()

    def _metadata(self, key: str) -> Iterator[tuple[str, Answer]]:
        above = PurePosixPath(key).parent.as_posix()
        group = "" if above == "." else f"{above}/"
        is_new = self.folder().zarr_format == 3
        for each in (group + METADATA[0 if is_new else 1], f"{key}/{_OF_ARRAY[3 if is_new else 2]}"):
            answer = self._asked(each)
            if answer.content is not None:
                yield each, answer

    def folder(self) -> RemoteFolder:
        """Return what reads the objects in this process."""
        return _folder(url_of(address_of(self.path) or "", self.rules.s3_endpoint), self.rules, os.getpid())


@lru_cache(64)
def _array(place: Remote, key: str, process: int) -> "zarr.Array[Any]":  # noqa: ARG001 - one that was forked has none
    import zarr  # noqa: PLC0415
    from zarr.api.asynchronous import open_array  # noqa: PLC0415

    from elephant.dataset.readers.remote_store import RemoteStore  # noqa: PLC0415

    folder = place.folder()

    async def opened() -> "zarr.Array[Any]":
        if folder.zarr_format is None:  # in a process that did not read the metadata of the group
            await folder.find_format(key)
        version = folder.zarr_format or 2
        await folder.watch(key, _OF_ARRAY[version])
        store = RemoteStore(folder)
        return zarr.Array(await open_array(store=store, path=key, zarr_format=version, mode="r"))

    return waited_for(opened(), current_token())
