"""Health check of this machine's part of the server: ``python -m elephant_server.deploy.health``, for a container.

The exit status is 0 if everything answers, otherwise 1.
"""

import sys
from collections.abc import Iterator

from elephant.errors import ElephantError
from elephant_server.deploy.broker import ask_rabbitmq
from elephant_server.deploy.readiness import gpu_names
from elephant_server.deploy.redis_server import ask_redis, redis_address
from elephant_server.deploy.secret_files import with_passwords
from elephant_server.deploy.worker_health import absent_workers
from elephant_server.settings import Settings, load_settings


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
    elephant_server.deploy.errors.StackError
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
