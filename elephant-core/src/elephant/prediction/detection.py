"""Probabilities of background, border and centre over an image."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from elephant.config.detection import PredictionParams
from elephant.models.losses import N_CLASSES
from elephant.prediction.tiled import TiledNetwork
from elephant.reporting import CancelToken, ProgressReporter

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
    return TiledNetwork(model, N_CLASSES, torch.exp).predict(image[None], params, reporter, cancel)
