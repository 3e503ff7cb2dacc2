"""What travels to the workers about flow: validated, frozen, in the order Z, Y, X."""

from collections.abc import Iterable

import numpy as np
from pydantic.dataclasses import dataclass

from elephant.config import DisplacementParams, FlowParams, FlowStart, FlowTrainingParams
from elephant.progress import CancelToken
from elephant.types import Link
from elephant_server.jobs.payloads import ITEM_CONFIG, Payload, SpotPayload, WithUpload
from elephant_server.state.claims import Access

FLOW_PREDICT, FLOW_TRAIN = "elephant.flow_predict", "elephant.flow_train"
FLOW_UPDATE, FLOW_RESET = "elephant.flow_update", "elephant.flow_reset"


@dataclass(frozen=True, slots=True, config=ITEM_CONFIG)
class LinkPayload:
    """A link with its numbers in the order Z, Y, X."""

    t: int
    pos: tuple[float, float, float]
    covariance: tuple[float, ...]
    displacement: tuple[float, float, float]

    def to_link(self) -> Link:
        """Return it as the core knows it."""
        pos, covariance, displacement = (
            np.array(values, dtype=np.float64) for values in (self.pos, self.covariance, self.displacement)
        )
        return Link(self.t, pos, covariance.reshape(3, 3), displacement)


class FlowPredict(Payload):
    """The question where the spots of a timepoint were before."""

    dataset_name: str
    model_name: str
    timepoint: int
    spots: tuple[SpotPayload, ...]
    params: FlowParams
    start: FlowStart


class FlowTrain(Payload):
    """A training of a flow model."""

    dataset_name: str
    model_name: str
    links: tuple[LinkPayload, ...]
    params: FlowTrainingParams
    start: FlowStart
    cache_maxbytes: int | None
    log_dir: str | None = None


class FlowUpdate(Payload):
    """New flow labels, or, without parameters, none any more."""

    dataset_name: str
    links: tuple[LinkPayload, ...] = ()
    params: DisplacementParams | None = None
    is_3d: bool = True

    @property
    def _access(self) -> Access:
        return Access.LABELS


class FlowReset(WithUpload):
    """A new start of a flow model."""

    model_name: str
    url: str | None
    start: FlowStart


def links_of(items: Iterable[LinkPayload], cancel: CancelToken) -> list[Link]:
    """Return links as the core knows them; a million of them take seconds, within which `cancel` is asked."""
    found = []
    for item in items:
        cancel.check()
        found.append(item.to_link())
    return found
