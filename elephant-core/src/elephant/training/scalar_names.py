"""What TensorBoard calls the values of a training's step."""

from collections.abc import Mapping
from types import MappingProxyType

# The names that existing folders of logs have, so that their curves go on.
SCALAR_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "loss": "train_loss",
        "nll": "nll_loss",
        "center": "center_dice_loss",
        "instance": "instance_loss",
        "ssim": "SSIM_loss",
        "smooth": "smooth_loss",
    }
)
