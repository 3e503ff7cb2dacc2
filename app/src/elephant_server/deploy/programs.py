"""The programs that the server needs from the distribution, and how to install them."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from elephant_server.deploy.errors import StackError
from elephant_server.settings import Settings

# A user's PATH has no folders of system programs on Debian, where NGINX and RabbitMQ are.
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/rabbitmq/bin")
# Debian's own `rabbitmq-server` runs as its own user when root starts it; this one runs as whoever starts it.
_PLAIN_RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_PACKAGES = {
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
    "epmd": "rabbitmq-server",
    "nginx": "nginx-light",
}


@dataclass(frozen=True)
class Programs:
    """Paths of the programs; empty for one that these settings do not need."""

    nginx: str
    redis_server: str
    rabbitmq_server: str
    epmd: str


def find_programs(settings: Settings) -> Programs:
    """Find the programs that these settings need.

    Raises
    ------
    StackError
        If some are missing; the message is the command that installs them.
    """
    names = ["nginx"] if settings.starts_web else []
    names += ["redis-server"] if settings.starts_redis else []
    names += ["rabbitmq-server", "epmd"] if settings.starts_rabbitmq else []
    found = {name: _find(name) for name in names}
    missing = [name for name, path in found.items() if not path]
    if missing:
        packages = " ".join(sorted({_PACKAGES[name] for name in missing}))
        raise StackError(
            f"Not installed: {', '.join(missing)}. Install what is missing, then start again:\n"
            f"    sudo apt-get install --no-install-recommends {packages}"
        )
    return Programs(
        nginx=found.get("nginx", ""),
        redis_server=found.get("redis-server", ""),
        rabbitmq_server=found.get("rabbitmq-server", ""),
        epmd=found.get("epmd", ""),
    )


def _find(name: str) -> str:
    if name == "rabbitmq-server" and os.access(_PLAIN_RABBITMQ, os.X_OK):
        return str(_PLAIN_RABBITMQ)
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_FOLDERS])
    return shutil.which(name, path=folders) or ""
