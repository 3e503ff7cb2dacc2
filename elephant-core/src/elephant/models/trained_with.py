"""The settings of a training that define a network's input and output: a prediction should use the same.

Reading them does not need PyTorch.
"""

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from elephant.config import kept_poolings, n_keep_axials
from elephant.types import Shape, VoxelSize

_SAME = 0.01  # voxel sizes are given with few digits, and sizes of images are rounded
_Edge = Annotated[float, Field(gt=0)]


class TrainedWith(BaseModel):
    """The settings of a training on which the meaning of its network depends.

    Attributes
    ----------
    voxel_size
        Physical size of the stored voxels, (Z), Y, X.
    rescaling
        Size of the network's input image divided by that of the stored one, (Z), Y, X; 1 if it was not rescaled.
    n_keep_axials
        How many of the four poolings left Z unchanged; for flow as it was sent, -1 to 31.
    use_median
        Whether slices were shifted to the same median.
    c_ratio
        Of detection: semi-axes of a nucleus' centre divided by those of the nucleus.
    max_displacement
        Of flow: the displacement, in voxels, for which the output is 1.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    voxel_size: tuple[_Edge, ...]
    rescaling: tuple[_Edge, ...]
    n_keep_axials: int
    use_median: bool = False
    c_ratio: float | None = None
    max_displacement: float | None = None

    def input_size(self, shape: Shape) -> Shape | None:
        """Return the size, (Z), Y, X, to which an image has to be rescaled as in the training; None if it was not."""
        if all(_is_same(ratio, 1.0) for ratio in self.rescaling) or len(self.rescaling) != len(shape):
            return None
        return tuple(max(1, round(n * ratio)) for n, ratio in zip(shape, self.rescaling, strict=True))

    def differences(self, other: "TrainedWith") -> list[tuple[str, str, str]]:
        """Return the differences: the name in the client and the command line, the value here and the other one."""
        n = min(len(self.voxel_size), len(other.voxel_size))  # a network for planes may be used on slices
        found = []
        for name in ("voxel_size", "rescaling"):
            here, there = getattr(self, name)[-n:], getattr(other, name)[-n:]
            if not all(map(_is_same, here, there)):
                found.append((_NAMES[name], in_xyz(here), in_xyz(there)))
        if len(self.voxel_size) == len(other.voxel_size) == 3 and self.counted_axials != other.counted_axials:
            found.append(("n_keep_axials", str(self.n_keep_axials), str(other.n_keep_axials)))
        if self.use_median != other.use_median:
            found.append(("use_median", str(self.use_median).lower(), str(other.use_median).lower()))
        for name in ("c_ratio", "max_displacement"):
            here, there = getattr(self, name), getattr(other, name)
            if None not in (here, there) and not math.isclose(here, there, rel_tol=1e-6):
                found.append((name, f"{here:g}", f"{there:g}"))
        return found

    def words(self) -> list[str]:
        """Format a value for people."""
        is_rescaled = not all(_is_same(ratio, 1.0) for ratio in self.rescaling)
        return [
            f"voxel size {in_xyz(self.voxel_size)}",
            *([f"rescaled by {in_xyz(self.rescaling)}"] if is_rescaled else []),
            *([f"n_keep_axials {self.n_keep_axials}"] if len(self.voxel_size) == 3 else []),
            *(["use_median"] if self.use_median else []),
            *([] if self.c_ratio is None else [f"c_ratio {self.c_ratio:g}"]),
            *([] if self.max_displacement is None else [f"max_displacement {self.max_displacement:g}"]),
        ]

    @property
    def n_keep_axials_was_chosen(self) -> bool:
        """Whether `n_keep_axials` differs from the one that follows from the voxels of the network's input."""
        seen = [edge / ratio for edge, ratio in zip(self.voxel_size, self.rescaling, strict=True)]
        follows = n_keep_axials(VoxelSize(*seen), 3) if len(seen) == 3 else 0
        return self.model_copy(update={"n_keep_axials": follows}).counted_axials != self.counted_axials

    @property
    def counted_axials(self) -> int:
        """What makes a difference of `n_keep_axials`: the poolings clamp it, the norm of flow does not."""
        return kept_poolings(self.n_keep_axials) if self.max_displacement is None else self.n_keep_axials


_NAMES = {"voxel_size": "voxel size", "rescaling": "rescaling"}


def in_xyz(values: Sequence[float]) -> str:
    """Format numbers in (Z), Y, X in the order X, Y(, Z)."""
    return f"{' x '.join(f'{value:g}' for value in reversed(values))} ({', '.join('XYZ'[: len(values)])})"


def _is_same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_SAME)
