"""The folder ``.lineages`` of a dataset: what is in it, how it is replaced as a whole, and how corrections are added.

A folder of its own holds what was tracked at once, and is named by the version that this began with. ``solution.npz``
in it is replaced last: it says how much of the log of corrections it stands for, and what follows is not there. Keys of
the solver's windows in it say which of them a correction changes.
"""

import json
import logging
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from elephant.dataset import Dataset
from elephant.dataset.summary import image_version
from elephant.errors import ConflictError, NotFoundError, StorageError
from elephant.io.atomic import replacing, sync_folder, sync_tree
from elephant.lineages.corrections import CorrectionEntry
from elephant.lineages.lineage import Lineage, LineageSpots
from elephant.progress import CancelToken
from elephant.tracking.suspected import SuspectedDivisions
from elephant.types import VoxelSize

FOLDER = ".lineages"
FORMAT = 2
_STAGED, _UNREAD = ".staged-", ".unread-"
_LOCK = ".lock"
_ABOUT, _LOG, _SOLUTION, _SPOTS = "about.json", "corrections.jsonl", "solution.npz", "spots"
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)
_LONGEST_WAIT_S, _LOOK_S = 20.0, 0.2
_holders: dict[Path, int] = {}  # which threads of this process hold a lock: others may be let go first meanwhile

logger = logging.getLogger(__name__)


class About(BaseModel):
    """What is known of lineages besides themselves.

    Attributes
    ----------
    format
        Of the files.
    made_from
        What the spots were and how they were joined, in words.
    dropped
        Words about what could not be kept of earlier corrections.
    linker, params
        What joined them: its name, and its parameters.
    solver
        A number that differs where the same spots are solved in another way.
    image_version
        Of the image that they belong to; see :func:`elephant.dataset.summary.image_version`.
    voxel_size
        With which the spots were found, physical, Z, Y, X; None where it is not known.
    who, when
        Who asked for it, and when, seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    format: int = FORMAT
    made_from: str
    dropped: str | None = None
    linker: str
    params: dict[str, Any]
    solver: int
    image_version: int
    voxel_size: tuple[float, float, float] | None = None
    who: str = ""
    when: float = 0.0

    @property
    def known_voxel_size(self) -> VoxelSize | None:
        """The voxel size, where it is known."""
        return None if self.voxel_size is None else VoxelSize(*self.voxel_size)


@dataclass(frozen=True, slots=True, eq=False)
class Tracked:
    """A folder of what was tracked at once."""

    folder: Path

    @property
    def problem(self) -> Path:
        """Where the prepared problem is."""
        return self.folder / "problem"

    @property
    def windows(self) -> Path:
        """Where the solved windows are."""
        return self.folder / "windows"

    @property
    def weights(self) -> Path:
        """Where the weights are that links have taught."""
        return self.folder / "weights.json"

    def about(self) -> About:
        """Return what is known of it; see :class:`About`."""
        with _explained(self.folder):
            return About.model_validate_json((self.folder / _ABOUT).read_bytes())

    def write_about(self, about: About, spots: LineageSpots) -> None:
        """Write what is known of it, and its spots."""
        folder = self.folder / _SPOTS
        folder.mkdir(exist_ok=True)
        for name in LineageSpots.__dataclass_fields__:
            np.save(folder / f"{name}.npy", getattr(spots, name), allow_pickle=False)
        (self.folder / _ABOUT).write_text(about.model_dump_json(), encoding="utf-8")

    def spots(self) -> LineageSpots:
        """Return the spots; they are mapped into memory."""
        with _explained(self.folder):
            arrays = {
                # A memmap takes several times as long to slice as the plain array over the same file.
                name: np.asarray(np.load(self.folder / _SPOTS / f"{name}.npy", mmap_mode="r", allow_pickle=False))
                for name in LineageSpots.__dataclass_fields__
            }
            return LineageSpots(**arrays)

    def lineage(self) -> Lineage:
        """Return the lineages as they are."""
        about = self.about()
        with _explained(self.folder), np.load(self.folder / _SOLUTION, allow_pickle=False) as file:
            divisions = SuspectedDivisions(*(file[name] for name in ("divisions", "belief", "is_chosen")))
            return Lineage(
                version=int(file["version"]),
                made_from=about.made_from,
                dropped=about.dropped,
                voxel_size=about.known_voxel_size,
                spots=self.spots(),
                parents=file["parents"].astype(np.intp),
                probability=file["probability"],
                ends=file["ends"],
                numbers=file["numbers"].astype(np.intp),
                is_confirmed=file["is_confirmed"],
                divisions=divisions,
            )

    def keys(self) -> tuple[bytes, ...]:
        """Return the keys of the windows that the solution was put together from; none of other linkers."""
        with _explained(self.folder), np.load(self.folder / _SOLUTION, allow_pickle=False) as file:
            return tuple(key.tobytes() for key in file["keys"])

    def entries(self) -> list[CorrectionEntry]:
        """Return the corrections, as far as the solution stands for them."""
        with _explained(self.folder):
            n_bytes = self._n_logged()
            content = (self.folder / _LOG).read_bytes() if n_bytes else b""
            return [CorrectionEntry.model_validate_json(line) for line in content[:n_bytes].splitlines()]

    def write(
        self, lineage: Lineage, entries: Sequence[CorrectionEntry], n_new: int, keys: Sequence[bytes] = ()
    ) -> None:
        """Write lineages, and append the last `n_new` of the corrections that they stand for: both or nothing.

        Parameters
        ----------
        keys
            Of the windows that they were put together from.

        Raises
        ------
        OSError
            They cannot be written: all is as it was.
        """
        lines = "".join(f"{entry.model_dump_json()}\n" for entry in entries[len(entries) - n_new :]).encode()
        n_before = self._n_logged()
        with (self.folder / _LOG).open("ab") as log:
            log.truncate(n_before)
            log.write(lines)
            log.flush()
            os.fsync(log.fileno())
        arrays: dict[str, NDArray[Any]] = {
            "version": np.array(lineage.version),
            "n_logged": np.array(n_before + len(lines)),
            "parents": lineage.parents.astype(np.int32),
            "probability": lineage.probability,
            "ends": lineage.ends,
            "numbers": lineage.numbers.astype(np.int32),
            "is_confirmed": lineage.is_confirmed,
            "divisions": lineage.divisions.spots.astype(np.int64),
            "belief": lineage.divisions.probability,
            "is_chosen": lineage.divisions.is_chosen,
            "keys": np.array([np.frombuffer(key, dtype=np.uint8) for key in keys], dtype=np.uint8),
        }
        with replacing(self.folder / _SOLUTION) as file:
            np.savez(file, allow_pickle=False, **arrays)

    def _n_logged(self) -> int:
        try:
            with np.load(self.folder / _SOLUTION, allow_pickle=False) as file:
                return int(file["n_logged"])
        except FileNotFoundError:
            return 0


class LineageFolder:
    """The folder of the lineages of a dataset.

    Parameters
    ----------
    dataset
        The dataset.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._folder = dataset.folder / FOLDER

    def newest(self) -> Tracked:
        """Return what was tracked last.

        Raises
        ------
        NotFoundError
            Nothing was tracked of the dataset as it is now.
        StorageError
            It cannot be read, or is of another version of this package.
        """
        versions = self._versions()
        name = self._dataset.name
        if not versions:
            raise NotFoundError(f"nothing was tracked in {name} yet: track it first (movie/track, or elephant track)")
        tracked = Tracked(self._folder / str(versions[-1]))
        about = tracked.about()
        if about.image_version != image_version(self._dataset.folder):
            raise NotFoundError(f"the dataset {name} was made again since it was tracked: track it again")
        if about.format != FORMAT:
            raise StorageError(f"the lineages of {name} are of another version of elephant: track it again")
        return tracked

    def staged(self, fingerprint: str) -> Tracked:
        """Return a folder for lineages that are being made, perhaps with what an interrupted run has left in it."""
        folder = self._folder / f"{_STAGED}{fingerprint}"
        for other in self._folder.glob(f"{_STAGED}*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        return Tracked(folder)

    def aside(self) -> Path:
        """Return where the lineages that are there now are kept when others take their place, if they are kept."""
        return self._folder / f"{_UNREAD}{self._versions()[-1]}"

    def put_in_place(self, staged: Tracked, version: int, *, keep: bool = False) -> Tracked:
        """Put lineages in the place of those that are there, which may be kept; see :meth:`aside`."""
        sync_tree(staged.folder)
        older = self._versions()
        aside = self.aside() if keep else None
        place = self._folder / str(version)
        staged.folder.rename(place)
        sync_folder(self._folder)
        if aside is not None:
            (self._folder / str(older.pop())).rename(aside)
        for each in older:
            shutil.rmtree(self._folder / str(each), ignore_errors=True)
        return Tracked(place)

    def next_version(self) -> int:
        """Return the version that lineages get that are tracked now: above all that there were."""
        versions = self._versions()
        if not versions:
            return 1
        try:
            with np.load(self._folder / str(versions[-1]) / _SOLUTION, allow_pickle=False) as file:
                return int(file["version"]) + 1
        except _UNREADABLE:
            return versions[-1] + 1

    @contextmanager
    def lock(self, cancel: CancelToken) -> Iterator[None]:
        """Keep others from changing the lineages inside the block.

        Raises
        ------
        ConflictError
            Another process changes them, and goes on for more than some seconds; or this very thread does.
        """
        self._folder.mkdir(exist_ok=True)
        path, me = self._folder / _LOCK, threading.get_ident()
        conflict = ConflictError(
            f"the lineages of {self._dataset.name} are being changed, by another request or program: wait until that "
            "ends, then try again"
        )
        if _holders.get(path) == me:  # to wait for oneself is to wait in vain
            raise conflict
        end, lock = time.monotonic() + _LONGEST_WAIT_S, FileLock(path)
        while True:
            try:
                lock.acquire(timeout=_LOOK_S)
                break
            except Timeout as error:
                cancel.check()
                if time.monotonic() > end:
                    raise conflict from error
        _holders[path] = me
        try:
            yield
        finally:
            del _holders[path]
            lock.release()

    def _versions(self) -> list[int]:
        try:
            return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())
        except FileNotFoundError:
            return []


def read_lineage(dataset: Dataset) -> Lineage:
    """Return the lineages of a dataset.

    Raises
    ------
    NotFoundError
        Nothing was tracked of it as it is now.
    StorageError
        They cannot be read.
    """
    folder = LineageFolder(dataset)
    try:
        return folder.newest().lineage()
    except StorageError:  # it may have been replaced meanwhile
        return folder.newest().lineage()


def voxel_size_of_lineage(dataset: Dataset) -> VoxelSize | None:
    """Return the voxel size with which the spots of a dataset's lineages were found; None where none is known."""
    try:
        return LineageFolder(dataset).newest().about().known_voxel_size
    except (NotFoundError, StorageError):
        return None


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (*_UNREADABLE, ValidationError, json.JSONDecodeError) as error:
        raise StorageError(f"the lineages in {folder} cannot be read ({error}): track the movie again") from error
