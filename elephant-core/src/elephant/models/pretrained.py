"""Where the weights of a model come from that is started anew."""

import logging
import shutil
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from elephant.errors import InvalidInputError, NotFoundError

logger = logging.getLogger(__name__)

FOLDER = "pretrained"
VERSATILE = "Versatile"
DETECTION_FILES = {3: "versatile3d.pth", 2: "versatile2d.pth"}
FLOW_FILES = {3: "Fluo-N3DH-CE_flow.pth"}
_TIMEOUT_S = 30
_LARGEST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a reset asks for: `file` wins over `url`; with neither, no trained weights are wanted.

    Attributes
    ----------
    url
        ``"Versatile"`` for the pretrained model, an http(s) address of a model file, or none.
    file
        A model file that was sent along.
    """

    url: str | None = None
    file: Path | None = None

    @property
    def is_self_supervised(self) -> bool:
        """Whether the weights come from the dataset itself."""
        return self.url is None and self.file is None

    def fetch(self, models: Path, n_dims: int, pretrained: Mapping[int, str] = DETECTION_FILES) -> Path:
        """Return the model file asked for, downloading it where it is an address.

        Parameters
        ----------
        models
            Folder of all models; pretrained ones lie in its folder ``pretrained``.
        n_dims
            3 or 2.
        pretrained
            Names of the pretrained files for this kind of model, by number of axes.

        Raises
        ------
        NotFoundError
            The pretrained model, or the address, cannot be had.
        InvalidInputError
            The address is none.
        """
        if self.file is not None:
            return self.file
        if self.url == VERSATILE:
            return _pretrained(models, pretrained[n_dims])
        return _download(str(self.url), models)


def _pretrained(models: Path, name: str) -> Path:
    path = models / FOLDER / name
    if not path.is_file():
        raise NotFoundError(
            f"the pretrained model {path.name} is not there: put the file into the workspace as models/{FOLDER}/"
            f"{path.name}, or reset the model without it"
        )
    return path


def _download(url: str, models: Path) -> Path:
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidInputError(f"a model's address must start with http:// or https://, but {url!r} came")
    target = models / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target, suffix=".download", delete=False) as file:
        path = Path(file.name)
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the scheme was checked
                if int(answer.headers.get("Content-Length") or 0) > _LARGEST_BYTES:
                    raise InvalidInputError(f"the file at {url} is larger than {_LARGEST_BYTES >> 20} MiB")
                shutil.copyfileobj(answer, file)
        except OSError as error:
            path.unlink()
            raise NotFoundError(
                f"the model at {url} could not be fetched ({error}): check the address, or download the file and "
                "upload it"
            ) from error
        except BaseException:
            path.unlink()
            raise
    logger.info("Fetched the model at %s", url)
    return path
