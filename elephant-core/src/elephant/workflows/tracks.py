"""Tracked nuclei as masks, and the list of their tracks: what programs that evaluate tracks read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from elephant.config import CtcParams, mask_name
from elephant.dataset import Dataset
from elephant.export import MarkedNucleus, MaskArchive, ctc_mask
from elephant.export.masks import LARGEST_VALUE, Mask
from elephant.export.shells import MIN_VOXELS
from elephant.geometry import Ellipsoid, rasterise
from elephant.progress import CancelToken, ProgressReporter
from elephant.tracking import Track, TrackLabels
from elephant.types import Spot

TRACKS = "res_track.txt"


@dataclass(frozen=True, slots=True)
class Shown:
    """What an export shows.

    Attributes
    ----------
    tracks
        By their labels.
    n_nuclei
        How many nuclei are in the masks.
    covered, outside
        Indices of nuclei that are in no mask: entirely under others, or outside of the image.
    """

    tracks: Sequence[Track]
    n_nuclei: int
    covered: Sequence[int]
    outside: Sequence[int]


def export_tracks(
    dataset: Dataset,
    spots: Sequence[Spot],
    labels: TrackLabels,
    params: CtcParams,
    file: BinaryIO,
    reporter: ProgressReporter,
    cancel: CancelToken,
    *,
    first_number: int | None = None,
) -> Shown:
    """Write a .zip with a mask for each timepoint and ``res_track.txt``, which lists what the masks show.

    One mask at a time is in memory.

    Parameters
    ----------
    dataset
        Whose size the masks have.
    spots
        The nuclei, as `labels` knows them; all of them are at the timepoints of `params`.
    labels
        Gives each its label. Afterwards it knows what was changed.
    params
        Which timepoints.
    file
        Open for writing at its beginning, of a folder that takes a mask besides.
    first_number
        What the first timepoint is called in names and in the list; by default as in the movie.

    Raises
    ------
    InvalidInputError
        A covariance is not positive definite, or there are more tracks than labels.
    OSError
        The file cannot be written, for instance because the disk is full.
    elephant.errors.Cancelled
        `cancel` asked for the end.

    References
    ----------
    Naming and file content conventions of the Cell Tracking Challenge, https://celltrackingchallenge.net/datasets.
    """
    groups: dict[int, list[int]] = {}
    for i, spot in enumerate(spots):
        Ellipsoid.from_spot(spot, dataset.n_dims)  # refuses what is none, before the first mask
        groups.setdefault(spot.t, []).append(i)
    shift = 0 if first_number is None else first_number - params.t_start
    with MaskArchive(file, Path(file.name).parent) as archive:
        for done, t in enumerate(params.timepoints, start=1):
            cancel.check()
            members = groups.get(t, [])
            given = labels.given(members)
            cells = [MarkedNucleus(spots[i], label) for i, label in zip(members, given, strict=True)]
            mask = ctc_mask(dataset.shape, cells, params.voxel_size, cancel)
            is_shown = _labels_in(mask)
            labels.settle(members, given, {label for label in given if is_shown[label]})
            archive.add(mask_name(t + shift, params.t_end + shift), mask, cancel)
            reporter.progress("mask", done, len(params.timepoints))
        tracks = labels.tracks()
        lines = (f"{k.number} {k.first + shift} {k.last + shift} {k.parent}\n" for k in tracks)
        archive.add_text(TRACKS, "".join(lines))
    outside = [i for i in labels.hidden if _is_outside(spots[i], dataset, params)]
    covered = sorted(set(labels.hidden) - set(outside))
    return Shown(tracks, len(spots) - len(labels.hidden), covered, outside)


def _labels_in(mask: Mask) -> NDArray[np.bool_]:
    """Return for each label whether a mask shows it."""
    is_shown = np.zeros(LARGEST_VALUE + 1, dtype=bool)
    for plane in mask:  # indices of a whole volume would take eight bytes a voxel
        is_shown[plane] = True
    return is_shown


def _is_outside(spot: Spot, dataset: Dataset, params: CtcParams) -> bool:
    scale = params.voxel_size.last(dataset.n_dims)
    return rasterise(Ellipsoid.from_spot(spot, dataset.n_dims), scale, dataset.shape, MIN_VOXELS).is_empty
