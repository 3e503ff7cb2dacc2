"""Probabilities of background, border and centre over an image."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from elephant.config.detection import PredictionParams
from elephant.devices import mixed_precision
from elephant.models.ensemble import interruptible
from elephant.models.losses import N_CLASSES
from elephant.models.unet import dividing_size
from elephant.prediction.tiling import Blender, batches, tile_boxes
from elephant.reporting import CancelToken, ProgressReporter
from elephant.types import Box

Image = NDArray[np.float32]


def predict_probabilities(
    model: nn.Module, image: Image, params: PredictionParams, reporter: ProgressReporter, cancel: CancelToken
) -> Image:
    """Run a detection network over a prepared image.

    Parameters
    ----------
    model
        Maps (N, 1, (Z), Y, X) to log-probabilities, (N, 3, (Z), Y, X), on the device of its parameters. With
        ``params.use_2d`` it is a 2D network, and the slices of a volume are its items.
    image
        Normalised, (Z), Y, X.
    params
        Tiles, batches and padding; its `crop_box` has been cut out already.

    Returns
    -------
    numpy.ndarray
        float32, (3, (Z), Y, X).

    Raises
    ------
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    n_network = 2 if params.use_2d else image.ndim
    divisor = dividing_size(n_network, params.n_keep_axials)
    # A 2D network sees a volume slice by slice: tiles one voxel deep.
    depth = (1,) * (image.ndim - n_network)
    patch = None if params.patch is None else params.patch[-n_network:]
    boxes = tile_boxes(image.shape, (*depth, *(patch or image.shape[-n_network:])), (*depth, *divisor))
    blender = Blender(image.shape, boxes, N_CLASSES)
    done = 0
    with torch.inference_mode(), interruptible(model, cancel):
        for group in batches(boxes, params.batch_size):
            cancel.check()
            for box, values in zip(group, _run(model, image, group, n_network, params.is_pad), strict=True):
                blender.add(box, values.reshape(N_CLASSES, *box.size))
            done += len(group)
            reporter.progress("tile", done, len(boxes))
    return blender.result()


def _run(model: nn.Module, image: Image, group: Sequence[Box], n_dims: int, is_pad: bool) -> Image:
    device = next(model.parameters()).device
    tiles = np.stack([image[box.slices].reshape(1, *box.size[-n_dims:]) for box in group])
    x = torch.from_numpy(tiles).to(device)
    with mixed_precision(device):
        log_prob = model(x, is_pad)
    return np.asarray(log_prob.float().exp().cpu().numpy(), dtype=np.float32)
