"""Settings from the environment: one frozen object, made once per process.

Every setting is a variable with the prefix ``ELEPHANT_``, or a line of a ``.env`` file in the current folder
or in the checkout. The environment takes precedence over the files, the current folder's file over the checkout's.
"""

from elephant_server.settings.base import PREFIX, variable
from elephant_server.settings.folders import checkout_root
from elephant_server.settings.hosts import in_url, is_loopback, is_this_machine
from elephant_server.settings.loading import Settings, SettingsError, get_settings, load_settings
from elephant_server.settings.unknown import unknown_settings

__all__ = [
    "PREFIX",
    "Settings",
    "SettingsError",
    "checkout_root",
    "get_settings",
    "in_url",
    "is_loopback",
    "is_this_machine",
    "load_settings",
    "unknown_settings",
    "variable",
]
