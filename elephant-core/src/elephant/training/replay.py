"""Forward and backward passes that a GPU repeats from a recording.

The kernels of a crop take less time than starting them one by one, hundreds for each step. A recording (a CUDA graph)
starts them all at once.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn

from elephant.device import first_line, mixed_precision, release_memory
from elephant.models.ensemble import interruptible
from elephant.progress import CancelToken

logger = logging.getLogger(__name__)

_STEPS_BEFORE = 2  # of a size, so that nothing is recorded that is hardly repeated
_MOST_SIZES = 2  # a full batch, and the rest of an epoch


class ReplayedNetwork:
    """A network in training; on a GPU, its passes over batches of a size are recorded and repeated.

    Parameters
    ----------
    model
        Its weights are changed in place, never replaced.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self._n_seen: dict[torch.Size, int] = {}
        self._recorded: dict[torch.Size, Callable[[Tensor], Tensor]] = {}
        self._can_record = self._device.type == "cuda"

    def __call__(self, x: Tensor, cancel: CancelToken) -> Tensor:
        """Run the network on (N, inputs, (Z), Y, X), in the precision of a training.

        Raises
        ------
        elephant.errors.Cancelled
            `cancel` asked for the end.
        """
        if torch.is_grad_enabled() and self._is_recorded(x):
            cancel.check()
            return self._recorded[x.shape](x)
        with mixed_precision(self._device, trains=True), interruptible(self._model, cancel):
            out: Tensor = self._model(x)
        return out

    def _is_recorded(self, x: Tensor) -> bool:
        if x.shape in self._recorded:
            return True
        n_seen = self._n_seen[x.shape] = self._n_seen.get(x.shape, 0) + 1
        if not self._can_record or n_seen <= _STEPS_BEFORE or len(self._recorded) == _MOST_SIZES:
            return False
        try:
            self._recorded[x.shape] = _record(self._model, x)
        except RuntimeError as error:  # such as too little memory, of which a recording keeps what it needs
            self._can_record = False
            reason = first_line(error)
            logger.info("Each step starts its kernels one by one: they cannot be recorded (%s)", reason)
        if not self._can_record:
            release_memory()
        return self._can_record


class _Whole(nn.Module):
    """A model inside a module of its own, so that what records it changes nothing of the model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        return self.model(x)


def _record(model: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    # What adds up gradients was made while it was recorded, in another stream: the passes wait for one another anyway.
    with suppress(AttributeError):  # in versions of PyTorch that do not warn of it
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    with mixed_precision(x.device, trains=True):
        dtype, is_mixed = torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled("cuda")
    # Weights in bfloat16 must not be kept from one step to the next.
    with torch.autocast("cuda", dtype=dtype, enabled=is_mixed, cache_enabled=False):
        recorded = torch.cuda.make_graphed_callables(_Whole(model), (x.clone(),))
    return cast("Callable[[Tensor], Tensor]", recorded)
