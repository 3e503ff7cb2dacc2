"""Weights that confirmed links have taught the linker: kept with the lineages, and beside the flow model that was used.

They are used again where too few links are confirmed to learn new ones.
"""

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from elephant.io.atomic import replacing
from elephant.tracking.linkers.learning import LEAST_LINKS
from elephant.tracking.linkers.prior import Prior, Weights
from elephant.words import counted

FOLDER = ".linking"  # beside models
MOST_LINKS = 10_000  # of which it is kept which they were
_LARGEST_BYTES = 4 << 20

logger = logging.getLogger(__name__)


class LearntWeights(BaseModel):
    """What confirmed links have taught.

    Attributes
    ----------
    links, divisions
        Weights of the parts of the log odds.
    made_from
        From what they were learnt, in words.
    dataset
        Its name.
    confirmed
        The links, as ids of parent and child; the first ten thousand.
    n_links
        How many there were.
    who, when
        Who asked for it, and when, seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    links: Weights
    divisions: Weights
    made_from: str
    dataset: str
    confirmed: tuple[tuple[int, int], ...]
    n_links: int
    who: str = ""
    when: float = 0.0

    def applied(self, prior: Prior) -> Prior:
        """Return a prior with these weights."""
        words = (
            f"weights as learnt from {counted(self.n_links, 'confirmed link')} of {self.dataset}: fewer than "
            f"{LEAST_LINKS} are confirmed here"
        )
        learnt = {name: getattr(self, name).in_place_of(getattr(prior, name)) for name in ("links", "divisions")}
        return prior.model_copy(update={**learnt, "made_from": words})


def weights_beside(model_path: Path) -> Path:
    """Return where the weights are kept that were learnt with a flow model."""
    return model_path.parent / FOLDER / f"{model_path.name}.json"


def read_weights(path: Path) -> LearntWeights | None:
    """Return weights from a file; None where there is none, or where it is damaged, of which a warning tells."""
    try:
        with path.open("rb") as file:
            return LearntWeights.model_validate_json(file.read(_LARGEST_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        said = "The weights of links in %s cannot be read (%s): they are not used"
        logger.warning(said, path, str(error).splitlines()[0][:200])
        return None


def write_weights(path: Path, weights: LearntWeights) -> None:
    """Write weights into a file.

    Raises
    ------
    OSError
        They cannot be written.
    """
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as file:
        file.write(weights.model_dump_json(indent=1).encode())
