"""What predictions found before: kept on disk, and found again while nothing that decides it has changed.

The key of an answer holds all that it depends on: the image, the model, every parameter, the code and what computes it.
A parameter that is added to :mod:`elephant.config` is part of it without further ado. Whatever cannot be known to be
equal is another key, and is computed.
"""

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from elephant.config import DetectionParams, FlowParams, PredictionParams
from elephant.dataset import Dataset
from elephant.dataset.summary import image_version
from elephant.io.object_cache import Entry, ObjectCache
from elephant.methods.work import chosen_box, seen_size
from elephant.prediction.arithmetic import describe_arithmetic
from elephant.prediction.tiling import fitting_tiles
from elephant.types import Box, DetectedSpot, EarlierSpot, FloatArray, Spot, VoxelSize

FOLDER = ".predictions"  # in the workspace
DEFAULT_GIB = 2
_FORMAT = 1  # to be changed when the same key would have another content
_EDGES = 24  # bytes of the edges of a voxel
_PARTS = 4  # of the limit: one for nuclei, one for the newest of them, the others for flows, as large as their images
_DIGEST_BYTES = 20

Predicting = DetectionParams | FlowParams

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Detected:
    """What was found at a timepoint.

    Attributes
    ----------
    spots
        The nuclei.
    highest
        The highest centre probability; None where the image is blank.
    """

    spots: list[DetectedSpot]
    highest: float | None

    def pack(self) -> bytes:
        """Return it as bytes, with every digit."""
        table = np.empty((len(self.spots), 13))
        for row, spot in zip(table, self.spots, strict=True):
            row[:3], row[3:12], row[12] = spot.pos, spot.covariance.ravel(), spot.quality
        head = np.array([np.nan if self.highest is None else self.highest])
        return _packed(np.concatenate([head, table.ravel()]))

    @classmethod
    def unpack(cls, content: bytes) -> Self:
        """Return what :meth:`pack` made bytes of."""
        head, *_ = values = _unpacked(content)
        spots = [
            DetectedSpot(row[:3].copy(), row[3:12].reshape(3, 3).copy(), float(row[12]))
            for row in values[1:].reshape(-1, 13)
        ]
        return cls(spots, None if np.isnan(head) else float(head))


@dataclass(frozen=True, slots=True)
class Newest:
    """What was found last at each timepoint of a dataset.

    Attributes
    ----------
    spots
        The nuclei, physical, by timepoint.
    voxel_sizes
        With which voxel sizes they were found, by timepoint.
    """

    spots: dict[int, list[DetectedSpot]]
    voxel_sizes: dict[int, VoxelSize]


def pack_earlier(spots: Sequence[EarlierSpot]) -> bytes:
    """Return where spots were as bytes, with every digit; their ids are those of the question."""
    return _packed(np.array([(*spot.pos, spot.sqdisp) for spot in spots], dtype=np.float64).ravel())


def unpack_earlier(content: bytes, spots: Sequence[Spot]) -> list[EarlierSpot]:
    """Return what :func:`pack_earlier` made bytes of, for the spots of the question."""
    rows = _unpacked(content).reshape(-1, 4)
    return [EarlierSpot(spot.id, row[:3].copy(), float(row[3])) for spot, row in zip(spots, rows, strict=True)]


def digest_of_spots(spots: Sequence[Spot]) -> str:
    """Return a digest of the spots of a question: positions, covariances and ids."""
    table = np.array([(spot.t, *spot.pos, *spot.covariance.ravel()) for spot in spots], dtype=np.float64)
    ids = json.dumps([spot.id for spot in spots])  # they may have more digits than a number of the table
    return hashlib.blake2b(table.tobytes() + ids.encode(), digest_size=_DIGEST_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question whose answer may be known.

    Attributes
    ----------
    dataset, model_path
        What it is about.
    facts
        All that its answer depends on, by name; values are JSON.
    images
        By timepoint what had to be read for it, so that it need not be read again.
    """

    dataset: Dataset
    model_path: Path
    facts: Mapping[str, Any]
    images: Mapping[int, NDArray[Any]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The question as a text; a question that may have another answer has another one."""
        return json.dumps(self.facts, sort_keys=True)

    def about(self, **more: Any) -> Self:
        """Return a question that depends on more, by name."""
        return replace(self, facts={**self.facts, **more})


class KnownPredictions:
    """The store of what predictions found, in a folder; several processes may use the same.

    Parameters
    ----------
    folder
        Created with the first prediction.
    most_bytes
        Limit for its size: what was not used for longest is removed first.

    Attributes
    ----------
    n_answered
        How many answers were known since this process began.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        what, part = "what a prediction found", most_bytes // _PARTS
        self._found = ObjectCache(folder / "found", part, what)
        self._newest = ObjectCache(folder / "newest", part, what)
        self._flows = ObjectCache(folder / "flow", most_bytes - 2 * part, what)
        self._models = _ModelDigests()
        self.n_answered = 0

    def ask(
        self, dataset: Dataset, model_path: Path, device: torch.device, timepoints: Sequence[int], params: Predicting
    ) -> Asked | None:
        """Return the question for a prediction; None where not all that it depends on can be known.

        Parameters
        ----------
        device
            What computes.
        timepoints
            Of the images that the network sees.
        params
            Every parameter of the prediction, as the network needs them.
        """
        try:
            images = {t: dataset.read_image(t) for t in timepoints} if dataset.is_in_place else {}
            facts = {
                "format": _FORMAT,
                "dataset": str(dataset.folder.resolve()),
                "images": {t: dataset.image_fingerprint(t, images.get(t)) for t in timepoints},
                "model": self._models.of(model_path),
                "params": {type(params).__name__: params.model_dump(mode="json")},
                "arithmetic": describe_arithmetic(device),
                "tiles": _tiles_now(dataset, params.prediction, device),
            }
        except OSError as error:
            logger.debug("What was found before cannot be looked up (%s)", error)
            return None
        return Asked(dataset, model_path, facts, images)

    def find(self, asked: Asked) -> bytes | None:
        """Return the answer to a question; None if it is not known."""
        found = self._found.find(asked.key)
        if found is None or found.content is None:
            return None
        self.n_answered += 1
        return found.content

    def keep(self, asked: Asked, answer: bytes) -> bool:
        """Keep the answer to a question, unless model or image have changed since it was asked."""
        return self._keep(self._found, asked, answer)

    def find_flow(self, asked: Asked, box: Box, n_channels: int) -> NDArray[np.float32] | None:
        """Return the flow over a box, (n, (Z), Y, X); None if it is not known."""
        found = self._flows.find(asked.about(box=_as_json(box)).key)
        if found is None or found.content is None:
            return None
        # A copy: what is read out of a flow changes nothing of it, but nobody has to know.
        return np.frombuffer(found.content, "<f4").astype(np.float32).reshape(n_channels, *box.size)

    def knows_flow(self, asked: Asked, box: Box) -> bool:
        """Tell whether the flow over a box is known."""
        return self._flows.holds(asked.about(box=_as_json(box)).key)

    def keep_flow(self, asked: Asked, box: Box, flow: NDArray[np.float32]) -> bool:
        """Keep the flow over a box, as :meth:`keep` does."""
        return self._keep(self._flows, asked.about(box=_as_json(box)), flow.astype("<f4").tobytes())

    def keep_newest(self, dataset: Dataset, t: int, spots: Sequence[DetectedSpot], voxel_size: VoxelSize) -> None:
        """Keep what was found last at a timepoint, by whatever model, method and settings."""
        content = _packed(np.array(voxel_size.zyx)) + Detected([*spots], None).pack()
        self._newest.store(_newest_name(dataset, t), Entry(content, str(image_version(dataset.folder)), time.time()))

    def newest(self, dataset: Dataset) -> Newest:
        """Return what was found last at each timepoint of a dataset as it is now, as far as it is kept."""
        version, found = str(image_version(dataset.folder)), Newest({}, {})
        for t in range(dataset.n_timepoints):
            entry = self._newest.find(_newest_name(dataset, t))
            if entry is not None and entry.content is not None and entry.version == version:
                found.voxel_sizes[t] = VoxelSize(*_unpacked(entry.content[:_EDGES]).tolist())
                found.spots[t] = Detected.unpack(entry.content[_EDGES:]).spots
        return found

    def knows(self, asked: Asked) -> bool:
        """Tell whether the answer to a question is known."""
        return self._found.holds(asked.key)

    def _keep(self, cache: ObjectCache, asked: Asked, content: bytes) -> bool:
        if not self._is_same(asked):
            return False
        cache.store(asked.key, Entry(content, "", 0.0))
        return True

    def _is_same(self, asked: Asked) -> bool:
        """Tell whether model and image are still those of a question; in place, what was read is what was seen."""
        facts, dataset = asked.facts, asked.dataset
        try:
            return bool(facts["model"] == self._models.of(asked.model_path)) and all(
                t in asked.images or dataset.image_fingerprint(t) == known for t, known in facts["images"].items()
            )
        except OSError:
            return False


class _ModelDigests:
    """Digests of model files, each read once as long as it stays the same."""

    _MOST = 16

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], str]] = {}
        self._lock = threading.Lock()

    def of(self, path: Path) -> str:
        """Return the digest of a model file.

        Raises
        ------
        OSError
            It cannot be read.
        """
        with self._lock, path.open("rb") as file:
            now = os.fstat(file.fileno())
            status = (now.st_ino, now.st_mtime_ns, now.st_ctime_ns, now.st_size)
            stamp, digest = self._known.get(path, ((), ""))
            if stamp != status:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                self._known = {**dict(list(self._known.items())[-self._MOST :]), path: (status, digest)}
            return digest


def _newest_name(dataset: Dataset, t: int) -> str:
    return json.dumps([_FORMAT, "with the voxel size", str(dataset.folder.resolve()), t])


def _tiles_now(dataset: Dataset, params: PredictionParams, device: torch.device) -> list[object]:
    """Return the tiles that fit into memory: another tiling may change a digit."""
    seen = seen_size(dataset.shape, params.image.input_size, chosen_box(params.crop_box, dataset.shape))
    tiles = fitting_tiles(params, seen, device)
    return [tiles.size(seen), tiles.batch_size]


def _as_json(box: Box) -> list[list[int]]:
    return [[int(n) for n in box.origin], [int(n) for n in box.size]]


def _packed(values: FloatArray) -> bytes:
    return values.astype("<f8").tobytes()


def _unpacked(content: bytes) -> FloatArray:
    return np.frombuffer(content, "<f8").astype(np.float64)
