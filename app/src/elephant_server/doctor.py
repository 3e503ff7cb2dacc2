"""Checks of the server for `elephant doctor`: its settings, programs and ports."""

from collections.abc import Iterator
from pathlib import Path

from elephant.cli.health import Finding, check_packages, ok, problem, warning
from elephant.errors import ElephantError
from elephant_server.deploy import preflight
from elephant_server.deploy.credentials import with_passwords
from elephant_server.deploy.health import gpu_names, listens, problems_of
from elephant_server.deploy.preflight import find_programs
from elephant_server.errors import StackError
from elephant_server.settings import Settings, load_settings, unknown_settings, variable

_PACKAGES = {"Flask": "flask", "celery": "celery", "redis": "redis", "pika": "pika", "supervisor": "supervisor"}


def check_server(_workspace: Path | None) -> Iterator[Finding]:
    """Check what the server needs on this machine, by its settings."""
    yield from check_packages(_PACKAGES, "server's packages")
    try:
        settings = load_settings()
    except ElephantError as error:
        yield problem("settings", str(error), "Correct the variable, or the line of .env.")
        return
    yield from check_names()
    yield check_programs(settings)
    yield check_part(settings) if settings.is_cluster else check_ports(settings)
    yield from check_other_machines(settings)


def check_names() -> Iterator[Finding]:
    """Report unknown settings: usually they are misspelt."""
    for words in unknown_settings():
        what, _, remedy = words.partition(": ")
        yield warning("settings", what, remedy)


def check_programs(settings: Settings) -> Finding:
    """Check that NGINX, Redis and RabbitMQ are installed, if they are needed here."""
    try:
        found = find_programs(settings)
    except StackError as error:
        what, _, remedy = str(error).partition(". ")
        return warning("programs", f"{what}; only the whole stack needs them", " ".join(remedy.split()))
    return ok("programs", ", ".join(filter(None, (found.nginx, found.redis_server, found.rabbitmq_server))))


def check_ports(settings: Settings) -> Finding:
    """Check that the server answers, or that its ports are free."""
    wanted = preflight.wanted_ports(settings)
    numbers = ", ".join(str(listener.port) for listener in wanted)
    if _answers(settings):
        silent = [at for at in wanted if not listens(preflight.reachable(at.address), at.port)]
        if not silent:
            return ok("ports", f"a server answers at {settings.http_url}, with {numbers}")
        if len(silent) == len(wanted) - 1:
            return ok("ports", f"a single-process server answers at {settings.http_url}")
        words = ", ".join(f"{at.port} ({variable(at.field)})" for at in silent)
        return problem("ports", f"a server answers, but nothing listens at {words}", _logs(settings))
    try:
        preflight.require_free(wanted)
    except StackError as error:
        words, _, remedy = " ".join(str(error).split()).partition(" Set ")
        remedy = f"Set {remedy}" if remedy else "Change the settings."
        if _is_free([at for at in wanted if at.field == "http_port"]):
            return warning("ports", f"{words} Only the whole stack needs it.", remedy)
        return problem("ports", words, remedy)
    return ok("ports", f"{numbers} are free; no server runs with these settings")


def check_part(settings: Settings) -> Finding:
    """Check this machine's part of a server on several machines."""
    what = f"{settings.machine}: {', '.join(sorted(settings.role_names))}"
    try:
        problems = list(problems_of(with_passwords(settings)))
    except StackError as error:
        problems = [str(error)]
    if not problems:
        return ok("machine", f"{what}, all running")
    return problem("machine", f"{what}; {'; '.join(problems)}", f"Start it: make serve-stack. {_logs(settings)}")


def check_other_machines(settings: Settings) -> Iterator[Finding]:
    """Check that Redis and RabbitMQ on other machines can be reached."""
    others = {
        "redis": (settings.starts_redis, settings.redis_host, settings.redis_port),
        "rabbitmq": (settings.starts_rabbitmq, settings.rabbitmq_host, settings.inner_amqp_port),
    }
    for name, (is_here, host, port) in others.items():
        if is_here:
            continue
        if listens(host.strip("[]"), port):
            yield ok(name, f"something answers at {host}, port {port}")
        else:
            remedy = f"Start it, open the port, or change {variable(f'{name}_host')}."
            yield problem(name, f"nothing answers at {host}, port {port}", remedy)


def _answers(settings: Settings) -> bool:
    try:
        return bool(gpu_names(settings))
    except (ElephantError, OSError):  # a token or a certificate that cannot be read: no server of ours is up
        return False


def _is_free(listeners: list[preflight.Listener]) -> bool:
    try:
        preflight.require_free(listeners)
    except StackError:
        return False
    return True


def _logs(settings: Settings) -> str:
    return f"See the logs in {settings.service_logs_dir}."
