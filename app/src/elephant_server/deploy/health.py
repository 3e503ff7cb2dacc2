"""Whether the services answer: before the server can be used, on other machines, and as a health check."""

import http.client
import json
import socket
import sys
import time
from collections.abc import Iterable, Iterator

import pika
import redis

from elephant.errors import ElephantError
from elephant_server.auth.tokens import token_of, trust_of
from elephant_server.deploy.credentials import with_passwords
from elephant_server.deploy.foreground import say
from elephant_server.deploy.preflight import reachable, redis_address
from elephant_server.deploy.supervision import ProgramState
from elephant_server.deploy.workers import absent_workers, own_devices
from elephant_server.errors import StackError
from elephant_server.rabbitmq import BROKER_ERRORS
from elephant_server.settings import Settings, load_settings
from elephant_server.stop_flag import StopFlag

_SECONDS = 5.0
_REDIS_SECONDS = 3.0
_POLL_SECONDS = 1.0


def ask_rabbitmq(settings: Settings) -> str:
    """Return why the other machines of a server cannot use it; ``""`` if it answers.

    If it is encrypted and only for clients, it is not checked.
    """
    if settings.cluster_address is not None:
        host, port = reachable(settings.cluster_address), settings.rabbitmq_cluster_port
    elif settings.uses_tls:
        return ""
    else:
        host, port = reachable(settings.listens_at), settings.rabbitmq_node_port
    parameters = pika.ConnectionParameters(
        host,
        port,
        settings.rabbitmq_virtual_host,
        pika.PlainCredentials(settings.rabbitmq_user, settings.rabbitmq_password),
        socket_timeout=_SECONDS,
        stack_timeout=2 * _SECONDS,
    )
    try:
        pika.BlockingConnection(parameters).close()
    except BROKER_ERRORS as error:
        return str(error) or type(error).__name__
    return ""


def ask_redis(settings: Settings, host: str) -> str:
    """Return why Redis cannot be used at a host; ``""`` if it answers.

    Raises
    ------
    StackError
        It refuses the password: waiting does not help.
    """
    where = {"host": host.strip("[]"), "port": settings.redis_port, "password": settings.redis_password}
    try:
        with redis.Redis(**where, socket_connect_timeout=_REDIS_SECONDS, socket_timeout=_REDIS_SECONDS) as client:  # type: ignore[arg-type]
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


class Readiness:
    """What is still missing before the server can be used.

    RabbitMQ is not checked again once it has answered: it logs each bare connection.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rabbitmq_has_answered = False
        self.device = ""

    def missing(self, programs: Iterable[ProgramState]) -> list[str]:
        """Return the names of what is not ready yet; empty when all of it is."""
        names = {program.name for program in programs if not program.is_running} | set(self._silent())
        if names:
            return sorted(names)
        if self._settings.starts_web:
            self.device = gpu_names(self._settings)
            return [] if self.device else ["http"]
        self.device = own_devices(self._settings) if self._settings.starts_workers else ""
        return []

    def _silent(self) -> Iterator[str]:
        """Yield what does not answer on this machine, except HTTP."""
        settings = self._settings
        if settings.starts_redis and ask_redis(settings, redis_address(settings)):
            yield "redis"
        if settings.starts_rabbitmq and not self._rabbitmq_has_answered:
            self._rabbitmq_has_answered = listens(reachable(settings.listens_at), settings.rabbitmq_node_port)
            if not self._rabbitmq_has_answered:
                yield "rabbitmq"
        if settings.is_cluster:
            yield from absent_workers(settings)


def listens(host: str, port: int) -> bool:
    """Return whether something accepts connections at an address."""
    try:
        socket.create_connection((host, port), _SECONDS).close()
    except OSError:
        return False
    return True


def gpu_names(settings: Settings) -> str:
    """Return the names of the GPUs as the server answers them; empty while it does not answer with 200."""
    connection = _connection(settings)
    token = token_of(settings)
    headers = {"Host": "localhost"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        connection.request("GET", "/state/gpus", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            return ""
        return ", ".join(str(gpu["name"]) for gpu in json.loads(body)) or "none"
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return ""
    finally:
        connection.close()


def _connection(settings: Settings) -> http.client.HTTPConnection:
    host, trust = reachable(settings.listens_at), trust_of(settings)
    if trust is None:
        return http.client.HTTPConnection(host, settings.http_port, timeout=_SECONDS)
    return http.client.HTTPSConnection(host, settings.http_port, timeout=_SECONDS, context=trust)


def join(settings: Settings, stop: StopFlag, seconds: float) -> Settings:
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


def main() -> int:
    """Check what the settings describe, and return the exit status."""
    try:
        settings = with_passwords(load_settings())
        problems = list(problems_of(settings))
    except ElephantError as error:
        problems = [str(error)]
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    print(_summary(settings))
    return 0


def problems_of(settings: Settings) -> Iterator[str]:
    """Yield what does not answer, in words; on a server of one machine, checking HTTP is enough.

    Raises
    ------
    elephant_server.errors.StackError
        Redis refuses the password.
    """
    if settings.starts_web and not gpu_names(settings):
        yield f"no server answers at {settings.http_url}"
    if not settings.is_cluster:
        return
    if settings.role_names != {"broker"}:  # the others need Redis, which may be on another machine
        host = redis_address(settings) if settings.starts_redis else settings.redis_host
        if problem := ask_redis(settings, host):
            yield f"redis does not answer at {host}, port {settings.redis_port}: {problem}"
        elif absent := absent_workers(settings):
            yield f"not running: {', '.join(absent)}"
    if settings.starts_rabbitmq and (problem := ask_rabbitmq(settings)):
        yield f"rabbitmq does not answer: {problem}"


def _summary(settings: Settings) -> str:
    if settings.starts_web:
        return f"{settings.http_url} answers ({gpu_names(settings)})"
    return f"{', '.join(sorted(settings.role_names))} of {settings.machine}: all running"


if __name__ == "__main__":
    sys.exit(main())
