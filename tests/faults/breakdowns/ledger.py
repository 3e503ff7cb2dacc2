"""What the server has acknowledged, and whether it is still there."""

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from client.movies import Drawn
from client.released import ReleasedClient
from client.wire import written
from elephant.dataset import Dataset
from elephant.methods.detection import DETECTION
from elephant.progress import NeverCancelled, NoReporter
from elephant_server.schemas.detection import SegUpdateBody

N_VARIANTS = 4
BEFORE = -1  # what was there before anything was sent


class Ledger:
    """Label updates of one client: each writes one of a few variants of a timepoint's labels.

    A variant that was acknowledged must be in the array, or one that was sent after it: whole, and no mixture. What
    each looks like is computed here, by the core, on a copy of the dataset.
    """

    def __init__(self, client: ReleasedClient) -> None:
        self._client = client
        self._may_be: dict[int, set[int]] = defaultdict(set)
        self._before: dict[int, np.ndarray] = {}
        self._expected: dict[tuple[int, int], np.ndarray] = {}
        self.n_acknowledged = 0

    def body(self, t: int, variant: int) -> dict[str, Any]:
        """Return the request that writes a variant, and take note that it is sent."""
        if t not in self._before:
            self._before[t] = self._stored(t)
            self._may_be[t].add(BEFORE)
        self._may_be[t].add(variant)
        return self._client.seg_update_body(self._spots(t, variant))

    def acknowledge(self, t: int, variant: int) -> None:
        """Take note that the server has said that it is written; nothing else was sent for `t` meanwhile."""
        self._may_be[t] = {variant}
        self.n_acknowledged += 1

    def assert_kept(self) -> None:
        """Fail where an array holds anything else than it may."""
        for t, variants in self._may_be.items():
            stored = self._stored(t)
            found = [v for v in range(N_VARIANTS) if np.array_equal(stored, self._expect(t, v))]
            if np.array_equal(stored, self._before[t]):
                found.append(BEFORE)
            assert found, f"the labels of timepoint {t} are of no variant: half written, or lost"
            assert set(found) & variants, f"timepoint {t} has the labels of {found}, acknowledged was {variants}"

    def _stored(self, t: int) -> np.ndarray:
        folder = self._client.server.workspace / "datasets" / self._client.dataset
        return np.asarray(zarr.open_array(folder / "seg_labels.zarr", mode="r")[t])

    def _spots(self, t: int, variant: int) -> list[Drawn]:
        drawn = self._client.movie.drawn(t)
        return self._client.annotated(t, drawn[: variant + 1], "tp" if variant % 2 else "fp")

    def _expect(self, t: int, variant: int) -> np.ndarray:
        if (t, variant) not in self._expected:
            body = self._client.seg_update_body(self._spots(t, variant))
            update = SegUpdateBody.model_validate_json(written(body))
            with tempfile.TemporaryDirectory() as place:
                source = self._client.server.workspace / "datasets" / self._client.dataset
                shutil.copytree(source, Path(place) / "copy", ignore=shutil.ignore_patterns("*.h5", "*.lock"))
                dataset = Dataset.open(Path(place), "copy")
                spots = update.annotations(NeverCancelled())
                DETECTION.update_labels(dataset, spots, update.labels(), NoReporter(), NeverCancelled())
                self._expected[t, variant] = np.asarray(dataset.read_labels(t))
        return self._expected[t, variant]
