"""What travels from the HTTP processes to the workers: validated, frozen, in the order Z, Y, X."""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass

from elephant.config import (
    ConversionParams,
    CtcParams,
    DetectionParams,
    DetectionTrainingParams,
    LabelParams,
    SelfSupervisedParams,
)
from elephant.errors import InvalidInputError
from elephant.progress import CancelToken
from elephant.types import Spot, Tag
from elephant_server.state.claims import Access, claim
from elephant_server.uploads.handover import passing_place
from elephant_server.uploads.models import uploads_folder

SEG_PREDICT, SEG_TRAIN = "elephant.seg_predict", "elephant.seg_train"
SEG_UPDATE, SEG_RESET = "elephant.seg_update", "elephant.seg_reset"
DATASET_GENERATE = "elephant.dataset_generate"
CTC_EXPORT = "elephant.ctc_export"

logger = logging.getLogger(__name__)

TRAINING_QUEUE, ANSWERING_QUEUE = "training", "answering"


class Payload(BaseModel):
    """Parameters of one job."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def discard(self, models: Path) -> None:
        """Remove what came with it into the folder of the models, where the job is not to be done."""

    def claim(self) -> str:
        """Return what it needs of a dataset, for the board; ``""`` where it needs none."""
        name = getattr(self, "dataset_name", None)
        return "" if name is None else claim(self._access, name)

    @property
    def _access(self) -> Access:
        return Access.READ


# A request may have a million of them: without models' dicts they take a third of the memory.
ITEM_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, config=ITEM_CONFIG)
class SpotPayload:
    """A spot with its numbers in the order Z, Y, X."""

    t: int
    pos: tuple[float, float, float]
    covariance: tuple[float, ...]
    tag: Tag
    id: int

    def to_spot(self) -> Spot:
        """Return it as the core knows it."""
        covariance = np.array(self.covariance, dtype=np.float64).reshape(3, 3)
        return Spot(self.t, np.array(self.pos, dtype=np.float64), covariance, self.tag, self.id)


class SegPredict(Payload):
    """A detection at one timepoint."""

    dataset_name: str
    model_name: str
    is_3d: bool
    timepoint: int
    params: DetectionParams
    start: SelfSupervisedParams


class SegTrain(Payload):
    """A training of a detection model."""

    dataset_name: str
    model_name: str
    is_3d: bool
    spots: tuple[SpotPayload, ...]
    params: DetectionTrainingParams
    start: SelfSupervisedParams
    cache_maxbytes: int | None
    is_livemode: bool
    log_dir: str | None = None


class SegUpdate(Payload):
    """New detection labels, or, without parameters, none any more."""

    dataset_name: str
    spots: tuple[SpotPayload, ...] = ()
    params: LabelParams | None = None
    is_3d: bool = True
    is_livemode: bool = False

    @property
    def _access(self) -> Access:
        return Access.LABELS


class WithUpload(Payload):
    """A job for which a file may have been uploaded, which is the job's to remove; `file` is its name."""

    file: str | None

    def upload(self, models: Path) -> Path | None:
        """Return the file that was uploaded into the folder of the models; None where there was none.

        Raises
        ------
        elephant.errors.InvalidInputError
            It would lie elsewhere.
        """
        return None if self.file is None else passing_place(uploads_folder(models), self.file)

    def discard(self, models: Path) -> None:
        """See :meth:`Payload.discard`."""
        try:
            file = self.upload(models)
        except InvalidInputError as error:
            logger.warning("Nothing was removed: %s", error)
            return
        if file is not None:
            file.unlink(missing_ok=True)


class SegReset(WithUpload):
    """A new start of a detection model."""

    dataset_name: str
    model_name: str
    is_3d: bool
    url: str | None
    start: SelfSupervisedParams
    cache_maxbytes: int | None = None


class DatasetGenerate(Payload):
    """The making of a dataset from its movie."""

    dataset_name: str
    params: ConversionParams

    @property
    def _access(self) -> Access:
        return Access.ALL


@dataclass(frozen=True, slots=True, config=ITEM_CONFIG)
class MarkedSpot:
    """A spot with the value that marks it in a mask, its numbers in the order Z, Y, X."""

    t: int
    pos: tuple[float, float, float]
    covariance: tuple[float, ...]
    value: int

    def to_spot(self) -> Spot:
        """Return it as the core knows it."""
        covariance = np.array(self.covariance, dtype=np.float64).reshape(3, 3)
        return Spot(self.t, np.array(self.pos, dtype=np.float64), covariance)


class CtcExport(Payload):
    """An export of masks into the file of a name that is there, empty, for as long as somebody waits for it."""

    dataset_name: str
    spots: tuple[MarkedSpot, ...]
    params: CtcParams
    file: str
    is_3d: bool = True


def spots_of(items: Iterable[SpotPayload | MarkedSpot], cancel: CancelToken) -> list[Spot]:
    """Return spots as the core knows them; a million of them take seconds, within which `cancel` is asked."""
    found = []
    for item in items:
        cancel.check()
        found.append(item.to_spot())
    return found
