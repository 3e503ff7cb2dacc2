"""The scale at which a model sees the images of a dataset, where the program chose one.

The shipped networks know nuclei of a range of radii in voxels. A model that starts from them sees an image rescaled
such that its nuclei are in that range; which scale that is stays with the model, so that every training and every
prediction on the dataset sees the same. A size that a person asks for is never changed.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from elephant.config import (
    DetectionParams,
    DetectionTrainingParams,
    ImageParams,
    LabelParams,
    keep_axials_of,
    kept_poolings,
)
from elephant.dataset import Dataset
from elephant.methods.choosing import LookParams, scale_by_image
from elephant.methods.first_look import BEST_RADII, GOOD_RADII, extents, within
from elephant.methods.pieces import labelled_pieces
from elephant.methods.work import ModelWork
from elephant.models.ensemble import Ensemble
from elephant.models.provenance import ProvenanceEntry, SeenScale, TrainedWith, remember_scale
from elephant.models.provenance_text import provenance_of
from elephant.models.shipped import is_shipped, scaled_by
from elephant.models.unet import DetectionNet
from elephant.types import FloatArray, Shape, Spot, VoxelSize

logger = logging.getLogger(__name__)

P = TypeVar("P", DetectionParams, DetectionTrainingParams)

# How many times as many voxels as stored the network may see, which is how much longer it takes.
LARGEST_GROWTH = 3.0
# How flat nuclei may be in voxels, and how tall: radius along Z divided by that along Y and X.
_FLATTEST, _TALLEST = 1 / 8, 1.6
_LEAST = 0.01
FEWEST_NUCLEI = 3
_MOST_LABELLED = 3  # timepoints whose labels are looked at


def scale_for(radii: FloatArray, voxel_size: VoxelSize, shape: Shape) -> tuple[tuple[float, ...], int]:
    """Return the rescaling at which nuclei suit the network, and how many of its poolings leave Z unchanged.

    Parameters
    ----------
    radii
        Typical half-extents of nuclei in stored voxels, (n,), (Z), Y, X.
    voxel_size
        Physical size of the stored voxels.
    shape
        Size of the stored image, (Z), Y, X.

    Returns
    -------
    tuple of float
        Size of the network's input divided by that of the stored image, (Z), Y, X: 1 where nuclei are within its
        range, and at most :data:`LARGEST_GROWTH` in all.
    int
        From 0 to 4; 0 in 2D.
    """
    radius = within(radii)
    plane = 1.0 if GOOD_RADII[0] <= radius <= GOOD_RADII[1] else float(np.clip(radius, *BEST_RADII)) / radius
    if len(radii) == 2:
        plane = float(np.clip(plane, _LEAST, np.sqrt(LARGEST_GROWTH)))
        return (round(plane, 3),) * 2, 0
    depth, wanted = 1.0, radii[0] / radius
    plane = float(np.clip(plane, _LEAST, np.sqrt(LARGEST_GROWTH)))
    is_tall = wanted / plane > _TALLEST
    if is_tall:
        depth = plane / wanted
    elif wanted / plane < _FLATTEST:
        depth = min(_FLATTEST * plane / wanted, LARGEST_GROWTH / plane**2)
    rescaling = (round(max(depth, _LEAST), 3), round(plane, 3), round(plane, 3))
    if is_tall:  # whatever the voxel size says, nuclei are as large along Z as along X
        return rescaling, 0
    seen = tuple(max(1, round(n * ratio)) for n, ratio in zip(shape, rescaling, strict=True))
    return rescaling, kept_poolings(keep_axials_of(voxel_size, shape, seen))


def at_scale(params: P, scale: SeenScale | None, shape: Shape) -> P:
    """Return parameters with which the network sees the image at a scale.

    How it treats Z changes with it, unless a person chose that.

    Parameters
    ----------
    params
        Of a prediction or a training.
    scale
        None: as the parameters say.
    shape
        Size of the stored image, (Z), Y, X.
    """
    size = None if scale is None else scale.input_size(shape)
    if scale is None or size is None or not follows(_image_of(params), shape):
        return params
    derived = kept_poolings(keep_axials_of(_voxel_size_of(params), shape))

    def changed(keep: int, image: ImageParams) -> dict[str, object]:
        chosen = scale.n_keep_axials if keep == derived else keep
        return {"image": image.model_copy(update={"input_size": size}), "n_keep_axials": chosen}

    if isinstance(params, DetectionTrainingParams):
        return params.model_copy(update=changed(params.n_keep_axials, params.image))
    seen = params.prediction
    prediction = seen.model_copy(update=changed(seen.n_keep_axials, seen.image))
    return params.model_copy(update={"prediction": prediction})


def follows(image: ImageParams, shape: Shape) -> bool:
    """Tell whether the image is seen at the scale of the model: not where a person asks for another size."""
    return image.auto_scale and image.input_size in (None, tuple(shape))


def still_valid(work: ModelWork, used: TrainedWith) -> dict[str, SeenScale]:
    """Return the scales that were chosen for a model and that it keeps in a training.

    None where a person chose another scale for the training: the model knows that one from now on.
    """
    scales = provenance_of(work.model_path).scales()
    chosen = scales.get(work.dataset.name)
    if chosen is None or len(chosen.rescaling) != len(used.rescaling):
        return {}
    is_same = np.allclose(chosen.rescaling, used.rescaling, rtol=0.05)  # sizes are whole voxels
    return dict(scales) if is_same else {}


def prediction_at_scale(params: DetectionParams, work: ModelWork) -> DetectionParams:
    """Return parameters with which a prediction sees a dataset as its model does; as they are where nobody chose."""
    return _as_model_sees(params, work, ())


def training_at_scale(
    params: DetectionTrainingParams, work: ModelWork, nuclei: Sequence[Spot]
) -> DetectionTrainingParams:
    """Return parameters with which a training sees a dataset as its model does; as they are where nobody chose.

    Parameters
    ----------
    nuclei
        Annotated ones. A model that was not trained yet is seen at the scale that suits them.
    """
    return _as_model_sees(params, work, nuclei)


def _as_model_sees(params: P, work: ModelWork, nuclei: Sequence[Spot]) -> P:
    dataset, path = work.dataset, work.model_path
    if not work.auto_scale or not follows(_image_of(params), dataset.shape):
        return params
    held = scaled_by(path)
    if held is None:
        return params
    scale = held.scales.get(dataset.name) or _unwritten.get((path, dataset.folder))
    if scale is not None and scale.shape not in (None, dataset.shape):  # the dataset was made again
        scale = None
    if len(nuclei) >= FEWEST_NUCLEI and (scale is None or held.trained_with is None):
        voxel_size = _voxel_size_of(params)
        if scale is None or not suits(extents(nuclei, voxel_size.last(dataset.n_dims)), scale):
            scale = _remembered(work, held, by_nuclei(nuclei, voxel_size, dataset.shape))
    if scale is None:
        scale = _remembered(work, held, _by_labels(params, work) or _by_image(params, work, held))
    _say(path, dataset.name, scale)
    return at_scale(params, scale, dataset.shape)


def _by_labels(params: DetectionParams | DetectionTrainingParams, work: ModelWork) -> SeenScale | None:
    is_2d = isinstance(params, DetectionParams) and params.prediction.use_2d
    c_ratio = params.spots.c_ratio if isinstance(params, DetectionParams) else params.labels.c_ratio
    return None if is_2d else by_labels(work.dataset, LabelParams(voxel_size=_voxel_size_of(params), c_ratio=c_ratio))


def _by_image(params: DetectionParams | DetectionTrainingParams, work: ModelWork, held: ProvenanceEntry) -> SeenScale:
    is_2d = isinstance(params, DetectionParams) and params.prediction.use_2d
    n_dims = 2 if is_2d else work.dataset.n_dims
    facts = held.pretrained_with
    c_ratio = params.spots.c_ratio if isinstance(params, DetectionParams) else params.labels.c_ratio
    look = LookParams(n_dims, _voxel_size_of(params), (facts and facts.c_ratio) or c_ratio, _image_of(params))

    def network(keep: int) -> Ensemble:
        return work.model_cache.get(work.model_path, DetectionNet, n_dims, keep)

    return scale_by_image(work, look, network)


_unwritten: dict[tuple[Path, Path], SeenScale] = {}  # of files that stay as they are


def _remembered(work: ModelWork, held: ProvenanceEntry, scale: SeenScale) -> SeenScale:
    path, dataset = work.model_path, work.dataset
    scale = scale.model_copy(update={"shape": dataset.shape})
    if is_shipped(path) or not remember_scale(path, held, dataset.name, scale):
        _unwritten[path, dataset.folder] = scale
    return scale


def by_nuclei(nuclei: Sequence[Spot], voxel_size: VoxelSize, shape: Shape) -> SeenScale:
    """Return the scale that suits annotated nuclei."""
    return _suiting(extents(nuclei, voxel_size.last(len(shape))), voxel_size, shape)


def by_labels(dataset: Dataset, params: LabelParams) -> SeenScale | None:
    """Return the scale that suits the nuclei that were annotated in a dataset; None where there are too few.

    Parameters
    ----------
    params
        How annotations became labels.
    """
    found = [labelled_pieces(dataset.read_labels(t), params) for t in dataset.labelled_timepoints()[-_MOST_LABELLED:]]
    squared = [np.diagonal(pieces.spread[pieces.is_nucleus], axis1=1, axis2=2) for pieces in found]
    if sum(map(len, squared)) < FEWEST_NUCLEI:
        return None
    return _suiting(np.sqrt(np.median(np.concatenate(squared), axis=0)), params.voxel_size, dataset.shape)


def _suiting(radii: FloatArray, voxel_size: VoxelSize, shape: Shape) -> SeenScale:
    rescaling, keep = scale_for(radii, voxel_size, shape)
    return SeenScale(rescaling=rescaling, n_keep_axials=keep, basis="spots")


def suits(radii: FloatArray, scale: SeenScale) -> bool:
    """Tell whether nuclei that are seen at a scale are of sizes that the network knows well.

    Such a scale stays although another one would bring them nearer to the middle of its range: it was chosen by what
    the network finds in the image, crowded nuclei and noise included.

    Parameters
    ----------
    radii
        Typical half-extents of nuclei in stored voxels, (n,), (Z), Y, X.
    """
    if len(scale.rescaling) != len(radii):
        return False
    seen = radii * scale.rescaling
    tallness = seen[0] / within(seen) if len(radii) == 3 else 1.0
    return bool(GOOD_RADII[0] <= within(seen) <= GOOD_RADII[1] and _FLATTEST <= tallness <= _TALLEST)


_said: dict[tuple[Path, str], SeenScale] = {}  # what was said last, which hundreds of timepoints need not repeat


def _say(path: Path, dataset: str, scale: SeenScale) -> None:
    if _said.get((path, dataset)) != scale:
        _said[path, dataset] = scale
        logger.info("%s: %s %s", path.name, dataset, scale.words())


def _image_of(params: DetectionParams | DetectionTrainingParams) -> ImageParams:
    return params.prediction.image if isinstance(params, DetectionParams) else params.image


def _voxel_size_of(params: DetectionParams | DetectionTrainingParams) -> VoxelSize:
    return params.spots.voxel_size if isinstance(params, DetectionParams) else params.labels.voxel_size
