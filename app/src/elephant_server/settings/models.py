"""What the workers compute on, and where pretrained models come from."""

import re

from pydantic import Field, field_validator

from elephant_server.settings.base import SettingsGroup

_GPU_LIST = re.compile(r"^(\d+|(GPU|MIG)-[0-9a-fA-F-]+)(,(\d+|(GPU|MIG)-[0-9a-fA-F-]+))*$")
_CHECKSUM = re.compile(r"^[^=,/]+=[0-9a-fA-F]{64}$")


class ModelSettings(SettingsGroup):
    """Devices and pretrained models."""

    gpu: str = Field("all", description="GPUs to use: `all`, an index, a list of them (`0,1`), or empty for none.")
    pretrained_url: str = Field(
        "https://github.com/elephant-track/elephant-server/releases/download/data/",
        description="Base address of pretrained models that are not in `models/pretrained`; empty for none.",
    )
    pretrained_checksums: str = Field(
        "",
        description="SHA-256 of fetched pretrained models, as `name=checksum`, separated by commas.",
    )

    allow_private_addresses: bool = Field(
        False,
        description="Whether a model may be fetched from an address of this machine or its network.",
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
