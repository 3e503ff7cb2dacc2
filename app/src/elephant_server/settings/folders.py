"""Where things are."""

import os
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from elephant_server.settings.cluster import ClusterSettings


def checkout_root() -> Path:
    """Return the checkout, which holds ``supervisord.conf`` and ``nginx.conf``; else the current folder."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "supervisord.conf").is_file() and (folder / "nginx.conf").is_file():
            return folder
    return Path.cwd()


def absolute(path: Path | None) -> Path | None:
    """Fix a relative path to where the server was started, whatever folder a worker is in later."""
    return None if path is None else Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - keeps links


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
        """Folder of what is made for a download, for as long as that takes."""
        return self.workspace / ".exports"

    @property
    def logs_dir(self) -> Path:
        """Folder of the logs of trainings (not of the services, which log in :attr:`service_logs_dir`)."""
        return self.workspace / "logs"

    @property
    def runtime_dir(self) -> Path:
        """Folder of sockets and rendered configuration: ``run_dir``, known to be there."""
        return self.run_dir or self.workspace / ".run"

    @property
    def secrets_dir(self) -> Path:
        """Folder of the secrets that are made: one that all machines of a server see."""
        return self.workspace / ".run" if self.is_cluster else self.runtime_dir

    @property
    def service_logs_dir(self) -> Path:
        """Folder of the logs of Redis, RabbitMQ, uWSGI, NGINX and the workers."""
        return self.runtime_dir / "logs"
