"""Label images: a TIFF, a folder with one for each timepoint, or the labels of an OME-Zarr image."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from elephant.annotations.base import A_FOLDER, AnnotationReader, MovieFacts
from elephant.annotations.ctc_table import TABLES
from elephant.annotations.ellipsoids import LabelledNuclei, Peculiarities, nuclei_of_labels
from elephant.annotations.label_files import Labels, NumberedFiles, open_labels, read_labels
from elephant.annotations.records import Covariance, SpotRecord, Vector
from elephant.annotations.units import timepoints_of_files
from elephant.config import AnnotationParams
from elephant.dataset.readers.tiff_files import SUFFIXES, is_tiff
from elephant.dataset.readers.zarr_places import METADATA, place_of
from elephant.errors import ElephantError, InvalidInputError
from elephant.progress import CancelToken
from elephant.types import VoxelSize

_LABELS = "labels"
_OTHERS = (".npy", ".ome.zarr", ".zarr", ".ozx", ".zarr.zip")
_KEYS = frozenset({"multiscales", "bioformats2raw.layout", "image-label"})
_FEW_PIECES = 3

logger = logging.getLogger(__name__)


class LabelImageReader(AnnotationReader):
    """Reads a nucleus for each label, without tracks."""

    suffixes: ClassVar[tuple[str, ...]] = (*SUFFIXES, *_OTHERS, A_FOLDER)

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Tell whether a file is an image, or a folder holds TIFFs or an OME-Zarr image."""
        del head
        name = path.name.lower()
        if not path.is_dir():
            return name.endswith(_OTHERS) or is_tiff(path)
        if any((path / table).is_file() for table in TABLES):
            return False
        return _is_ome(path) or any(p.name.lower().endswith(SUFFIXES) for p in path.iterdir())

    def read(
        self, path: Path, params: AnnotationParams, movie: MovieFacts, cancel: CancelToken
    ) -> Sequence[SpotRecord]:
        """Read the ellipsoids of all labels; those of one number at several timepoints are no track."""
        voxel = voxel_size_of(path.name, movie)
        noted, found = Peculiarities(), list[tuple[int, LabelledNuclei]]()
        for number, labels in _images(path, movie, cancel):
            cancel.check()
            nuclei = nuclei_of_labels(labels[0] if is_flat(labels, movie) else labels, voxel, noted)
            _check_labelled(path.name, number, nuclei, noted)
            found.append((number, nuclei))
        noted.say(path.name)
        times = timepoints_of_files(path.name, [number for number, _ in found], params, movie)
        ids = iter(range(sum(len(nuclei.labels) for _, nuclei in found)))
        return [
            record_of_label(t, next(ids), nuclei, i)
            for t, (_, nuclei) in zip(times.tolist(), found, strict=True)
            for i in range(len(nuclei.labels))
        ]


def voxel_size_of(name: str, movie: MovieFacts) -> VoxelSize:
    """Return the voxel size of a movie, without which labels have no physical size.

    Raises
    ------
    InvalidInputError
        It is not known.
    """
    if movie.voxel_size is None:
        raise InvalidInputError(
            f"{name} holds label images, whose nuclei are measured in voxels: expected the voxel size, got none: give "
            "`voxel_size`"
        )
    return movie.voxel_size


def is_flat(labels: Labels, movie: MovieFacts) -> bool:
    """Return whether a timepoint, (Z, Y, X), is of a 2D movie; where that is not known, whether it has one plane."""
    return (movie.n_dims or (3 if labels.shape[0] > 1 else 2)) == 2


def record_of_label(
    t: int, number: int, nuclei: LabelledNuclei, i: int, *, track: int | None = None, parent: int | None = None
) -> SpotRecord:
    """Return the record of one of the nuclei of a label image.

    Parameters
    ----------
    t, number
        Its timepoint and id.
    nuclei, i
        All nuclei of the timepoint, and which of them it is.
    track, parent
        Its track, which is then also its value in masks, and the id of its parent.
    """
    n = nuclei.positions.shape[1]
    pos, covariance = np.zeros(3), np.eye(3)
    pos[:n] = nuclei.positions[i, ::-1]
    covariance[:n, :n] = nuclei.covariances[i, ::-1, ::-1]
    return SpotRecord(
        t=t,
        pos=cast("Vector", tuple(pos.tolist())),
        covariance=cast("Covariance", tuple(covariance.ravel().tolist())),
        id=number,
        parent=parent,
        track=track,
        value=track,
    )


def _images(path: Path, movie: MovieFacts, cancel: CancelToken) -> Iterator[tuple[int, Labels]]:
    if path.is_dir() and not _is_ome(path):
        yield from NumberedFiles.of(path).images(movie, cancel)
        return
    found = open_labels(_labels_within(path) if path.is_dir() else path, movie, cancel)
    for t in range(found.n_timepoints):
        yield t, read_labels(found, t, cancel)


def _is_ome(folder: Path) -> bool:
    try:
        return bool(_KEYS & set(_attributes(folder, "")))
    except (ElephantError, OSError, ValueError, AttributeError, TypeError, RecursionError):
        return False


def _attributes(folder: Path, group: str) -> Mapping[str, Any]:
    """Return the attributes of OME of a group in a folder; empty if it has none."""
    for name in METADATA:
        content = place_of(folder).read(group + name)
        if content is not None:
            found = json.loads(content)
            found = found.get("attributes", {}) if name == "zarr.json" else found
            return dict(found.get("ome", found))
    return {}


def _labels_within(folder: Path) -> Path:
    """Return the only label image of an OME-Zarr image; the folder itself if it lists none.

    Raises
    ------
    InvalidInputError
        It has several.
    """
    try:
        names = list(map(str, _attributes(folder, f"{_LABELS}/").get(_LABELS, [])))
    except (ElephantError, OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InvalidInputError(f"the list of labels in {folder.name} cannot be read: copy it again") from error
    if len(names) > 1:
        paths = ", ".join(f"{folder.name}/{_LABELS}/{name}" for name in names[:5])
        raise InvalidInputError(f"{folder.name} holds {len(names)} label images: choose one of them ({paths})")
    if not names:
        return folder
    if "/" in names[0] or "\\" in names[0] or names[0] in ("", ".", ".."):
        raise InvalidInputError(f"expected the labels of {folder.name} to be in it, got {names[0]!r}: export it again")
    return folder / _LABELS / names[0]


def _check_labelled(name: str, number: int, nuclei: LabelledNuclei, noted: Peculiarities) -> None:
    """Refuse a mask of nuclei that share one value."""
    if len(nuclei.labels) == 1 and noted.most_pieces >= _FEW_PIECES:
        raise InvalidInputError(
            f"expected {name} to have a label for each nucleus, got {noted.most_pieces} pieces of the value "
            f"{nuclei.labels[0]} and no other at timepoint {number}: label the nuclei first, for instance in Fiji "
            "(MorphoLibJ, Connected Components Labeling)"
        )
