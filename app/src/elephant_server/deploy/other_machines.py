"""Waiting for the services on the other machines of a server."""

import threading
import time

from elephant_server.deploy.errors import StackError
from elephant_server.deploy.foreground import say
from elephant_server.deploy.redis_server import ask_redis
from elephant_server.deploy.secret_files import with_passwords
from elephant_server.settings import Settings

_POLL_SECONDS = 1.0


def join(settings: Settings, stop: threading.Event, seconds: float) -> Settings:
    """Wait until Redis answers on its machine and the passwords are there; return the settings with these.

    Returns at once if this machine needs nothing from others.

    Raises
    ------
    StackError
        It does not answer for so long, or refuses the password.
    """
    if not settings.is_cluster:
        return settings
    deadline, missing, said = time.monotonic() + seconds, "", False
    while not stop.is_set():
        settings = with_passwords(settings)
        missing = _missing(settings)
        if not missing:
            return settings
        if time.monotonic() > deadline:
            raise StackError(f"The rest of the server is not running after {seconds:.0f} s: {missing}.")
        if not said:
            say(f"Waiting for the rest of the server: {missing} ...")
            said = True
        stop.wait(_POLL_SECONDS)
    return settings


def _missing(settings: Settings) -> str:
    """Return what is missing; ``""`` if nothing is."""
    path = settings.password_path
    if not settings.starts_rabbitmq and path is not None and not path.exists():
        return f"RabbitMQ's password, which RabbitMQ's machine writes to {path} (or set ELEPHANT_RABBITMQ_PASSWORD)"
    if settings.starts_redis or not (settings.starts_web or settings.starts_workers):
        return ""
    problem = ask_redis(settings, settings.redis_host)
    where = f"Redis at ELEPHANT_REDIS_HOST={settings.redis_host}, port {settings.redis_port}"
    return problem and f"{where} does not answer ({problem})"
