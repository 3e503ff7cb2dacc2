"""Starting weights of new models: pretrained files, addresses and uploads."""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urljoin, urlsplit

from elephant.errors import ModelFileError, NotFoundError
from elephant.io.atomic import DOWNLOAD_SUFFIX, explained_storage, sync_files, sync_folder, temporary_file
from elephant.io.download import DownloadRules, fetch
from elephant.io.locks import IS_POSIX
from elephant.models.provenance import ProvenanceEntry, without_secrets
from elephant.models.shipped import PACKAGE, StartingWeights, shipped_networks
from elephant.progress import CancelToken

logger = logging.getLogger(__name__)

VERSATILE = "Versatile"
DETECTION_FILES = MappingProxyType({3: "versatile3d.pth", 2: "versatile2d.pth"})
FLOW_FILES = MappingProxyType({3: "Fluo-N3DH-CE_flow.pth"})


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The pretrained models: files of a folder, or fetched from an address and kept there, or else the shipped ones.

    Attributes
    ----------
    folder
        Folder of the files.
    address
        Base address, to which the names are appended; without it nothing is fetched.
    checksums
        SHA-256 by name, hexadecimal; a fetched file of that name must match it.
    rules
        What may be fetched from addresses. The host of `address` is always allowed.
    """

    folder: Path
    address: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    rules: DownloadRules = field(default_factory=DownloadRules)

    def get(self, name: str) -> Path:
        """Return the file of a pretrained model; fetch it if it does not exist.

        Raises
        ------
        NotFoundError
            It is not available.
        ModelFileError
            The fetched file has a different checksum.
        """
        path = self.folder / name
        if path.is_file():
            return path
        # Where it is installed, it holds no network of this kind.
        install = "" if shipped_networks() else f", install {PACKAGE}"
        place = f"put the file into the workspace as models/{self.folder.name}/{name}{install}"
        if not self.address:
            raise NotFoundError(f"the pretrained model {name} is missing: {place}, or start the model without it")
        try:
            with fetched(urljoin(self.address, name), self.folder, self._rules, self.checksums.get(name)) as file:
                sync_files([file])
                file.replace(path)
                sync_folder(self.folder)
        except NotFoundError as error:
            raise NotFoundError(f"the pretrained model {name} is missing, and {error}; or {place}") from error
        return path

    @property
    def _rules(self) -> DownloadRules:
        return replace(self.rules, trusted_host=urlsplit(self.address or "").hostname)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The requested start of a model: `file` takes precedence over `url`; with neither, there are no trained weights.

    Attributes
    ----------
    url
        ``"Versatile"`` for the pretrained model, an http(s) address of a model file, or none.
    file
        A model file that was uploaded.
    """

    url: str | None = None
    file: Path | None = None

    @property
    def is_empty(self) -> bool:
        """Whether neither a file nor an address is given."""
        return self.url is None and self.file is None

    @property
    def is_pretrained(self) -> bool:
        """Whether the pretrained model is asked for."""
        return self.url == VERSATILE and self.file is None

    @contextmanager
    def weights(self, pretrained: Pretrained, cancel: CancelToken | None = None) -> Iterator[StartingWeights]:
        """Yield the uploaded file, or that of the address, which exists only inside the block.

        Parameters
        ----------
        pretrained
            The folder to fetch into, and what may be fetched.
        cancel
            Asked while a file is fetched.

        Raises
        ------
        NotFoundError
            The address is not available.
        InvalidInputError
            The address is not allowed, or its file is too large.
        """
        if self.file is not None:
            yield StartingWeights(self.file, ProvenanceEntry(what="upload"))
        else:
            with fetched(str(self.url), pretrained.folder, pretrained.rules, cancel=cancel) as file:
                yield StartingWeights(file, ProvenanceEntry(what="address", source=without_secrets(str(self.url))))


@contextmanager
def fetched(
    url: str, folder: Path, rules: DownloadRules, checksum: str | None = None, cancel: CancelToken | None = None
) -> Iterator[Path]:
    """Fetch a file into a folder under a temporary name; removed after the block unless it was moved.

    Raises
    ------
    NotFoundError
        The address does not answer with a file, or not in time.
    InvalidInputError
        The address is not allowed, or the file is too large.
    ModelFileError
        The SHA-256 of the file differs from `checksum`.
    StorageError
        The disk is full.
    """
    with explained_storage("a model from an address", folder, rules.largest_bytes):
        folder.mkdir(parents=True, exist_ok=True)
        handle, path = temporary_file(folder, DOWNLOAD_SUFFIX)
    digest = hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as file:  # open, and so locked, while it is needed

            def write(piece: bytes) -> None:
                digest.update(piece)
                with explained_storage("a model from an address", folder, rules.largest_bytes):
                    file.write(piece)
                    file.flush()

            fetch(url, write, rules, cancel)
            found, shown = digest.hexdigest(), url.split("?", maxsplit=1)[0]
            logger.info("Fetched the model at %s, SHA-256 %s", shown, found)
            if checksum is not None and found != checksum.lower():
                raise ModelFileError(
                    f"the model at {shown} has the SHA-256 {found}, expected {checksum}: it is not the intended file; "
                    f"check the address, or ELEPHANT_PRETRAINED_CHECKSUMS"
                )
            if not IS_POSIX:
                file.close()  # an open file cannot be renamed
            yield path
    finally:
        path.unlink(missing_ok=True)
