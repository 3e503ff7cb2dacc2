"""Cutting an augmented crop: one resampling for flips, field of view and rotation, on the device that trains."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elephant.config.training import AugmentationParams
from elephant.crops.volume import LabelledVolume, crop_around, labelled_voxel
from elephant.types import Box, FloatArray, Shape

MAX_TRIES = 8
_FOREGROUND = (2, 3, 5, 6)
_BACKGROUND = (1, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A piece of a timepoint for one training step.

    Attributes
    ----------
    image
        float32, (1, (Z), Y, X), on the training device.
    labels
        uint8, ((Z), Y, X), likewise.
    """

    image: Tensor
    labels: Tensor


def cut_crop(
    volume: LabelledVolume,
    crop_size: Shape,
    params: AugmentationParams,
    device: torch.device,
    rng: np.random.Generator,
) -> Crop:
    """Cut a random crop that holds an annotated spot, augmented.

    The crop keeps at least one labelled voxel: where an augmentation turns all of them out of view, another is drawn,
    and in the end none is applied.

    Parameters
    ----------
    crop_size
        Voxels, (Z), Y, X; where the image is smaller, the image's.

    Raises
    ------
    ValueError
        The volume has no labelled voxel.
    """
    size = tuple(min(c, s) for c, s in zip(crop_size, volume.shape, strict=True))
    for _ in range(MAX_TRIES):
        anchor = _anchor(volume, rng)
        box = crop_around(anchor, size, volume.shape, rng)
        crop = _resample(volume, box, random_transform(volume.voxel_size, params, rng), device)
        if bool((crop.labels > 0).any()):
            return _with_contrast(crop, params, rng)
    box = crop_around(labelled_voxel(volume.labels, rng), size, volume.shape, rng)
    return _resample(volume, box, np.eye(len(size)), device)


def random_transform(voxel_size: tuple[float, ...], params: AugmentationParams, rng: np.random.Generator) -> FloatArray:
    """Draw a matrix from offsets in the crop to offsets in the image, both in voxels from the middle, (n, n).

    Axis i's field of view is scaled within ``1 +- s * min(scale) / scale_i``, the XY plane turns by a physical angle
    within the largest one, and every axis flips with a probability of one half.
    """
    edges = np.asarray(voxel_size)
    n = len(edges)
    spread = params.aug_scale_factor_base * edges.min() / edges
    zoom = np.diag(rng.uniform(1 - spread, 1 + spread))
    angle = np.deg2rad(rng.uniform(-params.aug_rotation_angle, params.aug_rotation_angle))
    turn = np.eye(n)
    turn[-2:, -2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    flip = np.diag(rng.choice([-1.0, 1.0], n) if params.flip else np.ones(n))
    transform: FloatArray = np.diag(1 / edges) @ turn @ np.diag(edges) @ zoom @ flip
    return transform


def _anchor(volume: LabelledVolume, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if len(volume.anchors) == 0:
        return labelled_voxel(volume.labels, rng)
    anchor: np.ndarray[tuple[int], np.dtype[np.int64]] = volume.anchors[rng.integers(len(volume.anchors))]
    return anchor


def _resample(volume: LabelledVolume, box: Box, transform: FloatArray, device: torch.device) -> Crop:
    """Look up every voxel of the box, moved by `transform` about the box's middle."""
    middle = np.asarray(box.origin) + (np.asarray(box.size) - 1) / 2
    reach = np.abs(transform) @ ((np.asarray(box.size) - 1) / 2)
    limit = np.asarray(volume.shape)
    # Turned, the crop looks past the box: only the block that it can see travels to the device.
    start = np.clip(np.floor(middle - reach), 0, limit - 1).astype(int)
    stop = np.clip(np.ceil(middle + reach) + 1, start + 1, limit).astype(int)
    region = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    image = torch.from_numpy(np.ascontiguousarray(volume.image[region])).to(device)
    labels = torch.from_numpy(np.ascontiguousarray(volume.labels[region])).to(device)
    source = _source_positions(box.size, transform, middle - start, device)
    grid = _as_grid(source, tuple(image.shape))
    sampled = functional.grid_sample(image[None, None], grid, "bilinear", "border", align_corners=True)
    nearest = functional.grid_sample(labels[None, None].float(), grid, "nearest", "zeros", align_corners=True)
    outside = torch.zeros(box.size, dtype=torch.bool, device=device)
    for axis in range(len(limit)):
        at = source[..., axis] + float(start[axis])
        outside |= (at < -0.5) | (at > float(limit[axis]) - 0.5)
    return Crop(sampled[0], nearest[0, 0].round().to(torch.uint8).masked_fill(outside, 0))


def _source_positions(size: Shape, transform: FloatArray, middle: FloatArray, device: torch.device) -> Tensor:
    """Return where each voxel of the crop looks, in voxels of the region, ((Z), Y, X, n)."""
    axes = [torch.arange(s, dtype=torch.float64, device=device) - (s - 1) / 2 for s in size]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    matrix = torch.from_numpy(transform).to(device)
    return offsets @ matrix.T + torch.from_numpy(np.asarray(middle, dtype=np.float64)).to(device)


def _as_grid(source: Tensor, shape: Shape) -> Tensor:
    """Turn voxel positions (Z), Y, X into grid_sample's X, Y(, Z) in -1..1, (1, (Z), Y, X, n)."""
    extent = torch.tensor([max(s - 1, 1) for s in shape], dtype=source.dtype, device=source.device)
    return (source / extent * 2 - 1).flip(-1)[None].float()


def _with_contrast(crop: Crop, params: AugmentationParams, rng: np.random.Generator) -> Crop:
    """Draw the labelled foreground towards the labelled background."""
    share = rng.uniform(params.aug_contrast, 1.0)
    if share == 1:
        return crop
    foreground, background = (_is_any_of(crop.labels, values) for values in (_FOREGROUND, _BACKGROUND))
    image = crop.image[0]
    if not bool(foreground.any()) or not bool(background.any()):
        return crop
    bright, dark = image[foreground].mean(), image[background].mean()
    factor = ((bright - dark) * share + dark) / bright.clamp(min=1e-6)
    return Crop(torch.where(foreground, image * factor, image)[None], crop.labels)


def _is_any_of(labels: Tensor, values: tuple[int, ...]) -> Tensor:
    found = torch.zeros_like(labels, dtype=torch.bool)
    for value in values:
        found |= labels == value
    return found
