"""Which methods are installed besides the networks of this package, and using one of them on a dataset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elephant.config import PredictionParams
from elephant.console import Console
from elephant.dataset import Dataset
from elephant.dataset.opening import Edges, MovieLike, chosen_voxel_size, open_dataset
from elephant.errors import PluginError
from elephant.images import normalise
from elephant.keywords import params_of
from elephant.methods.base import Detector
from elephant.methods.trained_model import keep_each
from elephant.methods.work import chosen_box, name_of
from elephant.plugins import Plugin, installed_class
from elephant.progress import CancelToken
from elephant.types import DetectedSpot, Spot, VoxelSize

NETWORK = "detection"


@dataclass(frozen=True, slots=True)
class InstalledDetector:
    """A detector of a package, with its parameters.

    Attributes
    ----------
    plugin
        Whose it is.
    detector
        What finds the nuclei.
    """

    plugin: Plugin
    detector: Detector

    def predict(self, dataset: Dataset, t: int, params: PredictionParams, voxel_size: VoxelSize) -> list[DetectedSpot]:
        """Find the nuclei of a timepoint.

        Parameters
        ----------
        params
            Of which the crop box and the median are used.
        voxel_size
            Of the stored image, physical.

        Raises
        ------
        elephant.errors.InvalidInputError
            The timepoint or the box is outside of the movie.
        elephant.errors.PluginError
            The package failed, or returned something else than nuclei.
        """
        dataset.check_timepoint(t)
        box = chosen_box(params.crop_box, dataset.shape)
        with dataset.in_use():
            image = normalise(dataset.read_image(t), params.image.use_median, name_of(dataset, t))[box.slices]
        edges = voxel_size.last(dataset.n_dims)
        with self.plugin.blamed():
            found = [_checked(spot) for spot in self.detector.detect(np.ascontiguousarray(image), edges)]
        offset = np.zeros(3)
        offset[3 - dataset.n_dims :] = np.array(box.origin) * edges
        return [DetectedSpot(spot.pos + offset, spot.covariance, float(spot.quality)) for spot in found]

    def predict_all(
        self,
        dataset: Dataset,
        timepoints: Sequence[int],
        params: PredictionParams,
        voxel_size: VoxelSize,
        cancel: CancelToken,
    ) -> Iterator[tuple[int, list[DetectedSpot]]]:
        """Yield some timepoints with their nuclei, in the order given.

        Raises
        ------
        elephant.errors.Cancelled
            `cancel` asked for the end, after the timepoints before.
        """
        for t in timepoints:
            cancel.check()
            yield t, self.predict(dataset, t, params, voxel_size)


def _checked(spot: DetectedSpot) -> DetectedSpot:
    """Return a nucleus of a package; raise where it is none."""
    if not isinstance(spot, DetectedSpot):
        raise TypeError(f"expected nuclei of the type elephant.types.DetectedSpot, got {spot!r}")
    Spot(0, spot.pos, spot.covariance)  # refuses what is no ellipsoid
    if np.linalg.eigvalsh(spot.covariance)[0] <= 0:
        raise ValueError(f"expected a positive definite covariance, got {spot.covariance.tolist()}")
    if not 0 <= spot.quality <= 1:
        raise ValueError(f"expected a quality from 0 to 1, got {spot.quality}")
    return spot


def detector_named(name: str, params: Mapping[str, Any], n_dims: int) -> InstalledDetector:
    """Return a detector that is installed.

    Parameters
    ----------
    params
        By name; those that are left out have their defaults.
    n_dims
        3 or 2: how many numbers a size has.

    Raises
    ------
    elephant.errors.InvalidInputError
        There is none of that name, or there are two; or a parameter is unknown or wrong.
    elephant.errors.PluginError
        It cannot be loaded.
    """
    plugin, kind = installed_class("method", Detector, name, NETWORK, "method")  # type: ignore[type-abstract]
    with plugin.blamed():
        if kind.__abstractmethods__:
            raise PluginError(f"{kind.__name__} does not define {', '.join(sorted(kind.__abstractmethods__))}")
        return InstalledDetector(plugin, params_of(kind, params, n_dims))


def detect(
    images: MovieLike,
    method: str,
    *,
    voxel_size: Edges | None = None,
    timepoints: Sequence[int] | None = None,
    quiet: bool = False,
    **params: Any,
) -> dict[int, list[DetectedSpot]]:
    """Find nuclei by a method of another package, which needs no training.

    Parameters
    ----------
    images
        A dataset, its folder, or an array, (T, (Z), Y, X) or ((Z), Y, X); see :func:`elephant.open_dataset`.
    method
        Its name: packages add methods under the entry-point group ``elephant.methods``.
    voxel_size
        Physical size of a voxel, (Z), Y, X; by default the dataset's.
    timepoints
        Which ones; by default all.
    quiet
        Whether to show no progress.
    **params
        Parameters of the method.

    Returns
    -------
    dict
        The nuclei of each timepoint: what :func:`elephant.link` takes.

    Raises
    ------
    elephant.errors.InvalidInputError
        There is no such method, or a parameter is unknown or wrong.
    elephant.errors.PluginError
        The package of the method failed.
    KeyboardInterrupt
        Ctrl-C.
    """
    is_stored = isinstance(images, Dataset | Path | str)
    dataset = open_dataset(images, voxel_size=None if is_stored else voxel_size, quiet=quiet)
    voxel = chosen_voxel_size(voxel_size, dataset)
    chosen = detector_named(method, params, dataset.n_dims)
    wanted = range(dataset.n_timepoints) if timepoints is None else timepoints
    for t in wanted:
        dataset.check_timepoint(t)
    found: dict[int, list[DetectedSpot]] = {}
    said = lambda: f"{len(found)} of {len(wanted)} timepoints were done"  # noqa: E731
    with Console(quiet).attend(said) as (bars, cancel):
        nuclei = chosen.predict_all(dataset, wanted, PredictionParams(), voxel, cancel)
        keep_each(nuclei, len(wanted), bars, found.__setitem__)
    return found
