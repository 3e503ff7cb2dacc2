"""Checking whether the services answer."""

import http.client
import json
import socket
from collections.abc import Iterable, Iterator

from elephant_server.auth.local_access import token_of, trust_of
from elephant_server.deploy.ports import reachable
from elephant_server.deploy.redis_server import ask_redis, redis_address
from elephant_server.deploy.supervision import ProgramState
from elephant_server.deploy.worker_health import absent_workers, own_devices
from elephant_server.settings import Settings

_SECONDS = 5.0


class Readiness:
    """What is still missing before the server can be used.

    A service that has answered is not checked again: RabbitMQ logs each bare connection.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._answered: set[str] = set()
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
        address = reachable(settings.listens_at)
        if settings.starts_rabbitmq and not self._listens("rabbitmq", address, settings.rabbitmq_node_port):
            yield "rabbitmq"
        if settings.is_cluster:
            yield from absent_workers(settings)

    def _listens(self, name: str, host: str, port: int) -> bool:
        if name not in self._answered:
            try:
                socket.create_connection((host, port), _SECONDS).close()
            except OSError:
                return False
            self._answered.add(name)
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
