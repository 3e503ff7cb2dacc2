"""What all groups of settings have in common."""

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "ELEPHANT_"
# Values for which an empty variable says something; elsewhere it means that the default counts.
_MAY_BE_EMPTY = frozenset({"gpu", "pretrained_url"})

Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsGroup(BaseSettings):
    """A part of the settings; :class:`elephant_server.settings.Settings` is all of them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", validate_default=True, env_file_encoding="utf-8"
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: dict[str, object]) -> dict[str, object]:
        """Let ``NAME=`` in a ``.env`` mean the default, except where an empty value has its own meaning."""
        return {name: value for name, value in values.items() if value != "" or name in _MAY_BE_EMPTY}


def variable(field: str) -> str:
    """Return the name of the variable that sets ``field``."""
    return PREFIX + field.upper()
