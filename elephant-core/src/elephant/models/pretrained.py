"""Where the weights of a model come from that is started anew."""

import hashlib
import logging
import os
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO
from urllib.parse import urljoin, urlsplit

from elephant.errors import InvalidInputError, ModelFileError, NotFoundError

logger = logging.getLogger(__name__)

VERSATILE = "Versatile"
DETECTION_FILES = MappingProxyType({3: "versatile3d.pth", 2: "versatile2d.pth"})
FLOW_FILES = MappingProxyType({3: "Fluo-N3DH-CE_flow.pth"})
_TIMEOUT_S = 10
_LARGEST_BYTES = 1 << 30
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The pretrained models: files of a folder, else fetched from an address and kept there.

    Attributes
    ----------
    folder
        Where the files lie.
    address
        What their names are appended to; without it none is fetched.
    checksums
        SHA-256 by name, hexadecimal; a fetched file whose name is here must have it.
    """

    folder: Path
    address: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> Path:
        """Return the file of a pretrained model, fetching it where it is not there.

        Raises
        ------
        NotFoundError
            It cannot be had.
        ModelFileError
            What was fetched has another checksum.
        """
        path = self.folder / name
        if path.is_file():
            return path
        place = f"put the file into the workspace as models/{self.folder.name}/{name}"
        if not self.address:
            raise NotFoundError(f"the pretrained model {name} is not there: {place}, or reset the model without it")
        try:
            with fetched(urljoin(self.address, name), self.folder, self.checksums.get(name)) as file:
                file.replace(path)
        except NotFoundError as error:
            raise NotFoundError(f"the pretrained model {name} is not there, and {error}; or {place}") from error
        return path


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
    def is_empty(self) -> bool:
        """Whether no trained weights are wanted."""
        return self.url is None and self.file is None

    @contextmanager
    def weights(self, pretrained: Pretrained, name: str) -> Iterator[Path]:
        """Give the model file asked for; one that is fetched from an address is there inside the block only.

        Parameters
        ----------
        pretrained
            The pretrained models.
        name
            That of the pretrained file for this kind of model.

        Raises
        ------
        NotFoundError
            The pretrained model, or the address, cannot be had.
        InvalidInputError
            The address is none, or its file is too large.
        """
        if self.file is not None:
            yield self.file
        elif self.url == VERSATILE:
            yield pretrained.get(name)
        else:
            with fetched(str(self.url), pretrained.folder) as file:
                yield file


@contextmanager
def fetched(url: str, folder: Path, checksum: str | None = None) -> Iterator[Path]:
    """Fetch a file into a folder, whole, under a name of its own; gone after the block unless it was moved.

    Raises
    ------
    NotFoundError
        The address does not answer with a file.
    InvalidInputError
        It is no http(s) address, or the file is too large.
    ModelFileError
        The file has another SHA-256 than `checksum`.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidInputError(f"a model's address must start with http:// or https://, but {url!r} came")
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".download")
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            found = _copy(url, file)
        logger.info("Fetched the model at %s, SHA-256 %s", url, found)
        if checksum is not None and found != checksum.lower():
            raise ModelFileError(
                f"the model at {url} has the SHA-256 {found}, but expected was {checksum}: it is another file than the "
                "one meant; check the address, or ELEPHANT_PRETRAINED_CHECKSUMS"
            )
        yield path
    finally:
        path.unlink(missing_ok=True)


def _copy(url: str, file: IO[bytes]) -> str:
    """Write what is at an address into a file, and return its SHA-256."""
    digest, n_bytes = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the scheme was checked
            while piece := answer.read(_PIECE_BYTES):
                n_bytes += len(piece)
                if n_bytes > _LARGEST_BYTES:
                    raise InvalidInputError(f"the file at {url} is larger than {_LARGEST_BYTES >> 20} MiB: is it one?")
                digest.update(piece)
                file.write(piece)
    except OSError as error:
        raise NotFoundError(
            f"the model at {url} could not be fetched ({error}): check the address, or download the file and upload it"
        ) from error
    return digest.hexdigest()
