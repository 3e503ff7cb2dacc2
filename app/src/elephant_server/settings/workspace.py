"""The workspace: its folders, where its pretrained models come from, and the devices that compute."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from elephant.io.addresses import AWS, DEFAULT_CACHE_GIB
from elephant_server.settings.base import SettingsGroup, absolute
from elephant_server.settings.services import ClusterSettings

_GPU_LIST = re.compile(r"^(\d+|(GPU|MIG)-[0-9a-fA-F-]+)(,(\d+|(GPU|MIG)-[0-9a-fA-F-]+))*$")
_CHECKSUM = re.compile(r"^[^=,/]+=[0-9a-fA-F]{64}$")


def checkout_root() -> Path:
    """Return the checkout, which holds ``supervisord.conf`` and ``nginx.conf``; else the current folder."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "supervisord.conf").is_file() and (folder / "nginx.conf").is_file():
            return folder
    return Path.cwd()


class FolderSettings(ClusterSettings):
    """The workspace, the folder of what runs, and the checkout."""

    workspace: Path = Field(
        Path("workspace"), description="Folder that holds the datasets, the models and the logs of trainings."
    )
    run_dir: Path | None = Field(
        None,
        description="Folder for sockets and logs of the services; by default `.run` in the workspace, or a folder in "
        "it with the machine's name if the server has several machines.",
    )
    home: Path = Field(
        default_factory=checkout_root,
        description="Folder that holds `supervisord.conf` and `nginx.conf`; by default the checkout.",
    )

    _make_folders_absolute = field_validator("workspace", "run_dir", "home")(absolute)

    @model_validator(mode="after")
    def _fill_run_dir(self) -> Self:
        if self.run_dir is None:
            shared = self.workspace / ".run"
            object.__setattr__(self, "run_dir", shared / self.machine if self.is_cluster else shared)
        return self

    @property
    def datasets_dir(self) -> Path:
        """Folder of the datasets."""
        return self.workspace / "datasets"

    @property
    def models_dir(self) -> Path:
        """Folder of the models."""
        return self.workspace / "models"

    @property
    def exports_dir(self) -> Path:
        """Folder of files for downloads, which are removed afterwards."""
        return self.workspace / ".exports"

    @property
    def logs_dir(self) -> Path:
        """Folder of the logs of trainings (not of the services, which log in :attr:`service_logs_dir`)."""
        return self.workspace / "logs"

    @property
    def runtime_dir(self) -> Path:
        """Folder of sockets and rendered configuration: ``run_dir``, never None."""
        return self.run_dir or self.workspace / ".run"

    @property
    def secrets_dir(self) -> Path:
        """Folder of the generated secrets, which all machines of a server share."""
        return self.workspace / ".run" if self.is_cluster else self.runtime_dir

    @property
    def service_logs_dir(self) -> Path:
        """Folder of the logs of Redis, RabbitMQ, uWSGI, NGINX and the workers."""
        return self.runtime_dir / "logs"


class MovieSettings(FolderSettings):
    """Movies outside of the workspace: in other folders, and on other machines."""

    movies: str = Field(
        "",
        description="Folders, besides those of the datasets, whose movies the dashboard offers to make datasets from, "
        "separated by commas. Who may use the server may see their images.",
    )
    allow_remote_sources: bool = Field(
        False,
        description="Whether datasets may be made from, and read, OME-Zarr movies at addresses (https://, http://, "
        "s3://).",
    )
    remote_cache_gib: float = Field(
        DEFAULT_CACHE_GIB,
        ge=0,
        le=2**20,
        description="Limit, in GiB, for what was read of such movies and is kept in the folder `.cache` of the "
        "workspace; what was not used for longest is removed first. 0 keeps nothing.",
    )
    s3_endpoint: str = Field(
        AWS, description="Address of the server that holds the buckets of `s3://`; it may be one of the own network."
    )

    @field_validator("movies")
    @classmethod
    def _make_movies_absolute(cls, text: str) -> str:
        """Fix relative folders to where the server was started."""
        names = filter(None, (part.strip() for part in text.split(",")))
        return ",".join(str(absolute(Path(name))) for name in names)

    @property
    def movie_folders(self) -> tuple[Path, ...]:
        """The folders of :attr:`movies`."""
        return tuple(map(Path, filter(None, self.movies.split(","))))

    @field_validator("s3_endpoint")
    @classmethod
    def _check_s3_endpoint(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("expected an address that starts with http:// or https://")
        return url


class ModelSettings(SettingsGroup):
    """Devices and pretrained models."""

    gpu: str = Field("all", description="GPUs to use: `all`, an index, a list of them (`0,1`), or empty for none.")
    precision: Literal["auto", "float32"] = Field(
        "auto",
        description="What networks compute in: `auto` for bfloat16 where the GPU or the processor has it, which is "
        "faster, otherwise float32; or always `float32`.",
    )
    keep_memory_seconds: float = Field(
        20,
        ge=0,
        le=86400,
        description="Seconds without work after which a worker returns its free memory to the system; what it keeps "
        "until then makes the next prediction or training faster. 0 keeps none.",
    )
    keep_predictions_gib: float = Field(
        2,
        ge=0,
        le=2**20,
        description="Limit, in GiB, for what predictions found, which is kept in the folder `.predictions` of the "
        "workspace and answered again while neither image, model nor settings have changed; what was not used for "
        "longest is removed first. 0 keeps nothing: each prediction is computed.",
    )
    compute_ahead: int = Field(
        4,
        ge=0,
        le=1000,
        description="How many timepoints are computed ahead while a client asks for one after the other and nothing "
        "else is to be done; any request ends that. 0: none.",
    )
    pretrained_url: str = Field(
        "",
        description="Base address of pretrained models that are not in `models/pretrained`, asked before the shipped "
        "networks are taken; empty for none. Those of the original server are at "
        "`https://github.com/elephant-track/elephant-server/releases/download/data/`.",
    )
    pretrained_checksums: str = Field(
        "",
        description="SHA-256 of fetched pretrained models, as `name=checksum`, separated by commas.",
    )

    auto_scale: bool = Field(
        True,
        description="Whether a detection model that starts from the shipped weights sees the images of a dataset at "
        "the scale that suits these weights, where a request asks for no other size. Off: as they are stored.",
    )
    allow_private_addresses: bool = Field(
        False,
        description="Whether a model may be fetched from, or a movie read at, an address of this machine or its "
        "network.",
    )
    longest_fetch_seconds: int = Field(
        600, ge=1, le=86400, description="Time limit, in seconds, for fetching a model from an address."
    )

    @field_validator("gpu")
    @classmethod
    def _check_gpu(cls, gpu: str) -> str:
        wanted = gpu.replace(" ", "")
        if wanted.lower() in ("all", "none", ""):
            return "all" if wanted.lower() == "all" else ""
        if not _GPU_LIST.match(wanted):
            raise ValueError("expected `all`, an index (0), a list (0,1), or nothing for no GPU")
        return wanted

    @field_validator("pretrained_url")
    @classmethod
    def _check_pretrained_url(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("expected an address that starts with http:// or https://, or nothing")
        return url if not url or url.endswith("/") else url + "/"

    @field_validator("pretrained_checksums")
    @classmethod
    def _check_checksums(cls, text: str) -> str:
        for entry in filter(None, (part.strip() for part in text.split(","))):
            if not _CHECKSUM.match(entry):
                raise ValueError("expected entries like versatile3d.pth=<64 hexadecimal digits>, separated by commas")
        return text

    @property
    def pretrained_checksums_by_name(self) -> dict[str, str]:
        """SHA-256 of pretrained models by their names."""
        entries = filter(None, (part.strip() for part in self.pretrained_checksums.split(",")))
        return dict(entry.split("=", 1) for entry in entries)

    @property
    def cuda_visible_devices(self) -> str | None:
        """Value of ``CUDA_VISIBLE_DEVICES`` for the workers; None leaves it as it is (all GPUs)."""
        return None if self.gpu == "all" else self.gpu
