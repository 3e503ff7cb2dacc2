"""Solved windows on disk, so that a run that was interrupted goes on where it was."""

import hashlib
import json
import logging
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.config import LinkerParams
from elephant.io.atomic import replacing
from elephant.tracking.linkers.assembly import SolvedWindow
from elephant.tracking.linkers.base import Detections
from elephant.tracking.linkers.prior import Prior
from elephant.tracking.linkers.window import WindowSolution
from elephant.tracking.suspected import SuspectedDivisions

logger = logging.getLogger(__name__)

FORMAT = 8  # to be changed where the same spots and settings are solved in another way
_SECONDS = 5.0  # between two writes
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)


def fingerprint_of(detections: Detections, params: LinkerParams, prior: Prior) -> str:
    """Return what differs where spots or settings differ."""
    content = hashlib.sha256(json.dumps([FORMAT, params.model_dump_json(), prior.model_dump_json()]).encode())
    for array in (
        detections.timepoints,
        detections.positions,
        detections.radii,
        detections.intensities,
        detections.earlier,
    ):
        content.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


class SavedWindows:
    """A file of solved windows.

    Parameters
    ----------
    path
        The file, which need not be there.
    fingerprint
        Of what the windows follow from: those of another run do not count.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path, self._fingerprint = path, fingerprint
        self._windows: list[SolvedWindow] = []
        self._written = time.monotonic()

    @property
    def n_windows(self) -> int:
        """How many windows are kept."""
        return len(self._windows)

    def load(self) -> list[SolvedWindow]:
        """Return the windows that were solved before, in the order of time; none where the file is of another run."""
        try:
            with np.load(self._path, allow_pickle=False) as file:
                if str(file["fingerprint"]) != self._fingerprint:
                    return []
                self._windows = [_window(file, str(k)) for k in range(int(file["n"]))]
        except FileNotFoundError:
            return []
        except _UNREADABLE as error:
            logger.warning("%s cannot be read (%s): all is solved anew", self._path.name, error)
            return []
        return list(self._windows)

    def keep(self, number: int, window: SolvedWindow) -> None:
        """Take over a window; it is on disk within seconds."""
        del self._windows[number:]
        self._windows.append(window)
        if time.monotonic() - self._written > _SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is kept."""
        arrays = {f"{name}{k}": array for k, each in enumerate(self._windows) for name, array in _arrays(each).items()}
        about = {"fingerprint": np.array(self._fingerprint), "n": np.array(len(self._windows))}
        with replacing(self._path) as file:
            np.savez(file, allow_pickle=False, **about, **arrays)
        self._written = time.monotonic()


class WindowFiles:
    """A folder with a file for each solved window of a problem, so that few are written where few are solved again.

    Parameters
    ----------
    folder
        Of this problem alone; created with the first window.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, n_windows: int) -> dict[int, SolvedWindow]:
        """Return the windows that are there, by their numbers; what cannot be read is solved again."""
        found: dict[int, SolvedWindow] = {}
        for k in range(n_windows):
            try:
                with np.load(self._path(k), allow_pickle=False) as file:
                    found[k] = _window(file)
            except FileNotFoundError:
                continue
            except _UNREADABLE as error:
                logger.warning("%s cannot be read (%s): it is solved anew", self._path(k).name, error)
        return found

    def keep(self, number: int, window: SolvedWindow) -> None:
        """Write a window."""
        with replacing(self._path(number)) as file:
            np.savez(file, allow_pickle=False, **_arrays(window))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.npz"


def _arrays(window: SolvedWindow) -> dict[str, NDArray[Any]]:
    found = window.solution
    return {
        "key": np.frombuffer(window.key, dtype=np.uint8),
        "parents": found.parents,
        "probability": found.probability,
        "divisions": found.divisions.spots,
        "belief": found.divisions.probability,
        "is_chosen": found.divisions.is_chosen,
        "ends": found.ends,
    }


def _window(file: Mapping[str, NDArray[Any]], number: str = "") -> SolvedWindow:
    spots = file[f"divisions{number}"].astype(np.intp)
    divisions = SuspectedDivisions(spots, file[f"belief{number}"], file[f"is_chosen{number}"])
    solution = WindowSolution(
        file[f"parents{number}"].astype(np.intp), file[f"probability{number}"], divisions, file[f"ends{number}"]
    )
    return SolvedWindow(file[f"key{number}"].tobytes(), solution)
