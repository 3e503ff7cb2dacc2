"""Bodies of ``state/process`` and ``params``."""

from enum import IntEnum
from typing import Annotated

from pydantic import Field

from elephant_server.schemas.common import Body
from elephant_server.schemas.fields import LARGEST_CROPS, LARGEST_RATE, Finite


class ProcessState(IntEnum):
    """The state as the client knows it."""

    IDLE = 0
    RUNNING = 1
    WAITING = 2


class ProcessBody(Body):
    """``state/process``: 0 aborts everything, 2 holds a running training, 1 lets it go on."""

    state: Annotated[int, Field(ge=int(ProcessState.IDLE), le=int(ProcessState.WAITING))] = Field(
        description="0 aborts everything, 1 lets a training go on, 2 holds it"
    )


class ParamsBody(Body):
    """``params``: settings of the running training."""

    lr: Annotated[Finite, Field(ge=0, le=LARGEST_RATE)] | None = Field(
        None, description="learning rate, from the next step on"
    )
    n_crops: Annotated[int, Field(ge=0, le=LARGEST_CROPS)] | None = Field(
        None, description="crops per timepoint, from the next epoch on"
    )
