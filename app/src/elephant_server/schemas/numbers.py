"""The numbers of request bodies: finite, and of a size that something in a microscope can have.

The bounds are wide. They are there so that nothing can overflow on its way, and no loop or list grow without end.
"""

from typing import Annotated

from pydantic import Field

# Java's, in which the client counts.
LARGEST_INT = 2**31 - 1
LARGEST_LONG = 2**63 - 1

# Physical: a semi-axis or an edge of a voxel, and how far from the origin something can be.
LEAST_LENGTH, LARGEST_LENGTH = 1e-9, 1e9
FARTHEST = 1e12

Finite = Annotated[float, Field(allow_inf_nan=False)]
Vector = tuple[Finite, Finite, Finite]
Positive = Annotated[Finite, Field(ge=LEAST_LENGTH, le=FARTHEST)]
NotNegative = Annotated[Finite, Field(ge=0, le=FARTHEST)]
Ratio = Annotated[Finite, Field(ge=1e-3, le=1)]
Share = Annotated[Finite, Field(ge=0, le=1)]
LearningRate = Annotated[Finite, Field(ge=0, le=1000)]
Weight = Annotated[Finite, Field(ge=0, le=1e6)]

Whole = Annotated[int, Field(ge=-LARGEST_LONG - 1, le=LARGEST_LONG)]
Index = Annotated[int, Field(ge=0, le=LARGEST_INT)]
Bytes = Annotated[int, Field(ge=0, le=LARGEST_LONG)]
Seed = Bytes
# An epoch's crops are a list, as are the items of a batch; epochs are counted, and 1,000,000 are without end.
LARGEST_CROPS = 100_000
Crops = Annotated[int, Field(ge=1, le=LARGEST_CROPS)]
StartCrops = Annotated[int, Field(ge=0, le=LARGEST_CROPS)]
BatchSize = Annotated[int, Field(ge=1, le=4096)]
Epochs = Annotated[int, Field(ge=0, le=1_000_000)]

Sizes = tuple[Whole, Whole, Whole]
CropBox = tuple[Whole, Whole, Whole, Whole, Whole, Whole]
