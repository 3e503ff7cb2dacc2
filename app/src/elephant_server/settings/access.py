"""Who may use the server, how much they may send, and as whom it runs."""

import os
import re
from pathlib import Path

from pydantic import Field, field_validator

from elephant_server.settings.base import SettingsGroup, absolute

# Characters that need no quoting in a URL, and enough of them that nobody can guess it.
TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}")
EXPECTED_TOKEN = "expected 16 to 256 letters, digits or any of . _ ~ -"  # noqa: S105 - a description
_HOST = re.compile(r"\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+")
_NO_USER = (None, "", "0")


def _given_id(*names: str) -> int | None:
    """Return a user's or group's number from the first variable that has one."""
    text = next((os.environ[name] for name in names if os.environ.get(name) not in _NO_USER), "")
    return int(text) if text.isdecimal() else None


class AccessSettings(SettingsGroup):
    """Tokens, hosts, limits and the user."""

    token: str | None = Field(
        None,
        repr=False,
        description="Secret that requests must contain; required if the server listens beyond this machine.",
    )
    token_file: Path | None = Field(
        None,
        description="File with one or more tokens, one per line, each with a name after it where it has one (`elephant "
        "users`); read again when it changes. If a token is required and none is set, one is generated in the run "
        "folder.",
    )
    allowed_hosts: str = Field(
        "",
        description="Host names, besides localhost and the bind address, to which the server answers, separated by "
        "commas.",
    )
    max_body_mib: int = Field(
        256, ge=11, le=65536, description="Largest request with spots, or piece of an upload, in MiB."
    )
    max_model_mib: int = Field(1024, ge=1, le=65536, description="Largest accepted model, in MiB.")
    uid: int | None = Field(
        default_factory=lambda: _given_id("LOCAL_UID", "SUDO_UID"),
        ge=0,
        description="User that everything runs as if root starts it; by default `LOCAL_UID` or the user of sudo.",
    )
    gid: int | None = Field(
        default_factory=lambda: _given_id("LOCAL_GID", "SUDO_GID"),
        ge=0,
        description="Group of that user; by default `LOCAL_GID` or the user's own.",
    )

    _make_token_absolute = field_validator("token_file")(absolute)

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: str | None) -> str | None:
        if token is not None and not TOKEN.fullmatch(token):
            raise ValueError(EXPECTED_TOKEN)
        return token

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, text: str) -> str:
        for host in filter(None, (part.strip() for part in text.split(","))):
            if not _HOST.fullmatch(host):
                raise ValueError("expected names without a port, such as gpu7.example.org, separated by commas")
        return text

    @property
    def allowed_host_names(self) -> frozenset[str]:
        """The names of :attr:`allowed_hosts`, in small letters."""
        return frozenset(filter(None, (part.strip().lower() for part in self.allowed_hosts.split(","))))
