"""Running networks over whole images: class probabilities, and the normalised flow between two images."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from elephant.config import PredictionParams
from elephant.prediction.tiling import TiledNetwork
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import N_CLASSES

Image = NDArray[np.float32]


def predict_probabilities(
    model: nn.Module,
    image: Image,
    params: PredictionParams,
    reporter: ProgressReporter,
    cancel: CancelToken,
    classes: slice = slice(None),
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
    classes
        Which of background, border and centre are returned; by default all.

    Returns
    -------
    numpy.ndarray
        float32, (classes, (Z), Y, X).

    Raises
    ------
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    n_returned = len(range(N_CLASSES)[classes])
    network = TiledNetwork(model, n_returned, lambda output: output[:, classes].exp())
    return network.predict(image[None], params, reporter, cancel)


def predict_flow(
    model: nn.Module, images: Image, params: PredictionParams, reporter: ProgressReporter, cancel: CancelToken
) -> Image:
    """Run a flow network over two prepared images.

    Parameters
    ----------
    model
        Maps (N, 2, (Z), Y, X) to the displacement divided by its norm, (N, n, (Z), Y, X), channels X, Y(, Z), on the
        device of its parameters.
    images
        The earlier and the later timepoint, each normalised, (2, (Z), Y, X).
    params
        Tiles, batches and padding; its `crop_box` has been cut out already.

    Returns
    -------
    numpy.ndarray
        float32, (n, (Z), Y, X), -1 to 1: for each voxel of the later image, its earlier position minus its position.

    Raises
    ------
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    n_dims = images.ndim - 1
    return TiledNetwork(model, n_dims, torch.Tensor.float).predict(images, params, reporter, cancel)
