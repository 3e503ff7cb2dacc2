"""Running a network over an image, tile by tile."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elephant.config.detection import PredictionParams
from elephant.devices import mixed_precision
from elephant.errors import MemoryLimitError
from elephant.memory import first_line, free_bytes, is_out_of_memory, release_memory
from elephant.models.ensemble import interruptible
from elephant.models.unet import dividing_size
from elephant.prediction.tiling import Blender, Tiles, batches
from elephant.reporting import CancelToken, ProgressReporter
from elephant.types import Box, Shape

logger = logging.getLogger(__name__)

Image = NDArray[np.float32]

# The decoder joins 48 channels at the full resolution, and kernels of GPUs count values in 32 bits.
MOST_VOXELS = 2**31 // 64
# What a network takes per voxel of its tiles, measured with those of this package on a CPU.
BYTES_PER_VOXEL = 600
# The rest is for what else is made meanwhile.
SHARE_OF_FREE = 0.8


class TiledNetwork:
    """A network that answers for images of any size: tiles of at most a patch, blended with linear ramps.

    Tiles are smaller than that where less memory is free than they would need.

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
        elephant.errors.MemoryLimitError
            There is not enough memory, not even for the smallest tiles; larger ones are tried before.
        elephant.errors.Cancelled
            `cancel` asked for the end.
        """
        shape = channels.shape[1:]
        n_network = 2 if params.use_2d else len(shape)
        patch = shape[-n_network:] if params.patch is None else params.patch[-n_network:]
        tiles = self._fitting(Tiles(patch, dividing_size(n_network, params.n_keep_axials), params.batch_size), shape)
        while True:
            try:
                return self._predict(channels, tiles, params.is_pad, reporter, cancel)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = first_line(error)
            release_memory()  # outside of the handler, which holds what was computed
            smaller = tiles.smaller(shape)
            if smaller is None:
                raise MemoryLimitError(
                    f"the prediction needs more memory than there is, even in tiles of {tiles.size(shape)} ({reason}): "
                    "choose a smaller crop box or input size, or end other programs that use the device"
                )
            logger.warning(
                "Not enough memory for %d x %s at once (%s): trying %d x %s. A smaller patch size or batch size in the "
                "settings spares this attempt.",
                *(tiles.batch_size, tiles.size(shape), reason, smaller.batch_size, smaller.size(shape)),
            )
            tiles = smaller

    def _fitting(self, tiles: Tiles, shape: Shape) -> Tiles:
        """Return the tiles that were asked for, or such as memory has room for."""
        free = free_bytes(self._device)
        fitting = tiles.at_most(min(MOST_VOXELS, int(SHARE_OF_FREE * free) // BYTES_PER_VOXEL), shape)
        if fitting.size(shape) != tiles.size(shape):
            logger.info("Tiles are of %s voxels: %.1f GiB of memory are free", fitting.size(shape), free / 2**30)
        return fitting

    def _predict(
        self, channels: Image, tiles: Tiles, is_pad: bool, reporter: ProgressReporter, cancel: CancelToken
    ) -> Image:
        shape = channels.shape[1:]
        boxes = tiles.boxes(shape)
        blender = Blender(shape, boxes, self._n_outputs)
        done = 0
        with torch.inference_mode(), interruptible(self._model, cancel):
            for group in batches(boxes, tiles.batch_size):
                cancel.check()
                for box, values in zip(group, self._run(channels, group, tiles.n_dims, is_pad), strict=True):
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
