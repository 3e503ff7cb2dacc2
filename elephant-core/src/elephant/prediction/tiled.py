"""Running a network over an image, tile by tile."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elephant.config.detection import PredictionParams
from elephant.devices import mixed_precision
from elephant.models.ensemble import interruptible
from elephant.models.unet import dividing_size
from elephant.prediction.tiling import Blender, batches, tile_boxes
from elephant.reporting import CancelToken, ProgressReporter
from elephant.types import Box

Image = NDArray[np.float32]


class TiledNetwork:
    """A network that answers for images of any size: tiles of at most a patch, blended with linear ramps.

    Parameters
    ----------
    model
        Maps (N, inputs, (Z), Y, X) to (N, `n_outputs`, (Z), Y, X), on the device of its parameters.
    n_outputs
        Channels that come out.
    read_out
        Turns the network's output into what is blended.
    """

    def __init__(self, model: nn.Module, n_outputs: int, read_out: Callable[[Tensor], Tensor]) -> None:
        self._model = model
        self._n_outputs = n_outputs
        self._read_out = read_out
        self._device = next(model.parameters()).device

    def predict(
        self, channels: Image, params: PredictionParams, reporter: ProgressReporter, cancel: CancelToken
    ) -> Image:
        """Run the network over an image.

        Parameters
        ----------
        channels
            Normalised, (inputs, (Z), Y, X).
        params
            Tiles, batches and padding; its `crop_box` has been cut out already. With `use_2d` the slices of a volume
            are the network's items.

        Returns
        -------
        numpy.ndarray
            float32, (`n_outputs`, (Z), Y, X).

        Raises
        ------
        elephant.errors.Cancelled
            `cancel` asked for the end.
        """
        shape = channels.shape[1:]
        n_network = 2 if params.use_2d else len(shape)
        divisor = dividing_size(n_network, params.n_keep_axials)
        # A 2D network sees a volume slice by slice: tiles one voxel deep.
        depth = (1,) * (len(shape) - n_network)
        patch = None if params.patch is None else params.patch[-n_network:]
        boxes = tile_boxes(shape, (*depth, *(patch or shape[-n_network:])), (*depth, *divisor))
        blender = Blender(shape, boxes, self._n_outputs)
        done = 0
        with torch.inference_mode(), interruptible(self._model, cancel):
            for group in batches(boxes, params.batch_size):
                cancel.check()
                for box, values in zip(group, self._run(channels, group, n_network, params.is_pad), strict=True):
                    blender.add(box, values.reshape(self._n_outputs, *box.size))
                done += len(group)
                reporter.progress("tile", done, len(boxes))
        return blender.result()

    def _run(self, channels: Image, group: Sequence[Box], n_dims: int, is_pad: bool) -> Image:
        tiles = [channels[(slice(None), *box.slices)].reshape(-1, *box.size[-n_dims:]) for box in group]
        x = torch.from_numpy(np.stack(tiles)).to(self._device)
        with mixed_precision(self._device):
            output = self._model(x, is_pad)
        return np.asarray(self._read_out(output.float()).cpu().numpy(), dtype=np.float32)
