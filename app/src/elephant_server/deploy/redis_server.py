"""Redis as this server starts it: its addresses, its configuration, and checking whether it answers."""

import redis

from elephant_server.deploy.errors import StackError
from elephant_server.settings import Settings
from elephant_server.settings.hosts import is_unspecified

_SECONDS = 3.0


def redis_address(settings: Settings) -> str:
    """Return the address at which programs of this machine reach its Redis."""
    return "::1" if settings.redis_host.strip("[]") == "::1" else "127.0.0.1"


def redis_addresses(settings: Settings) -> list[str]:
    """Return all addresses on which Redis listens: beyond this machine only at the cluster address."""
    own, cluster = redis_address(settings), settings.cluster_address
    if cluster is None or cluster == own:
        return [own]
    if not is_unspecified(cluster):
        return [own, cluster]
    return [cluster] if cluster == "0.0.0.0" else ["0.0.0.0", cluster]  # noqa: S104 - compared; a password is checked


def redis_configuration(settings: Settings) -> str:
    """Return ``redis.conf``.

    Raises
    ------
    StackError
        Others would reach it without a password: other machines, or other users of this one, who could give the
        workers jobs.
    """
    if settings.redis_password is None:
        raise StackError("Redis would be open to others without a password: set ELEPHANT_REDIS_PASSWORD.")
    lines = [
        f"bind {' '.join(redis_addresses(settings))}",
        f"port {settings.redis_port}",
        "protected-mode yes",
        'save ""',
        "appendonly no",
        "daemonize no",
        f'dir "{settings.runtime_dir}"',
    ]
    lines.append(f"requirepass {_quoted(settings.redis_password)}")
    return "\n".join(lines) + "\n"


def ask_redis(settings: Settings, host: str) -> str:
    """Return why Redis cannot be used at a host; ``""`` if it answers.

    Raises
    ------
    StackError
        It refuses the password: waiting does not help.
    """
    where = {"host": host.strip("[]"), "port": settings.redis_port, "password": settings.redis_password}
    try:
        with redis.Redis(**where, socket_connect_timeout=_SECONDS, socket_timeout=_SECONDS) as client:  # type: ignore[arg-type]
            client.ping()
    except redis.AuthenticationError as error:
        if settings.redis_password is None:  # its file may not have arrived here yet
            return f"it requires a password: set ELEPHANT_REDIS_PASSWORD, or share {settings.secrets_dir}"
        raise StackError(
            f"Redis at {host}, port {settings.redis_port}, refuses the password ({error}). Set "
            f"ELEPHANT_REDIS_PASSWORD as on the machine where Redis runs, or share that machine's workspace, where it "
            f"is in {settings.secrets_dir}."
        ) from None
    except redis.RedisError as error:
        return str(error) or type(error).__name__
    return ""


def _quoted(text: str) -> str:
    """Quote a text for Redis' configuration file."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'
