"""The life of a server: from the settings, through its start and what it says about itself, to its end."""

import contextlib
import os
import socket
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path

from elephant_server.auth.tokens import url_with_token
from elephant_server.deploy import folders, preflight, rendering, users
from elephant_server.deploy.credentials import check_certificate, with_secrets
from elephant_server.deploy.foreground import say, stop_on_signals
from elephant_server.deploy.health import Readiness, join
from elephant_server.deploy.preflight import Programs, find_programs, redis_address
from elephant_server.deploy.supervision import GUARD, ProgramState, Supervision, Watch, child_environment, last_lines
from elephant_server.deploy.users import ROOT_WARNING, runs_as_root_unasked
from elephant_server.deploy.workers import SilentWorkers, devices_of, with_own_gpus
from elephant_server.errors import StackError
from elephant_server.settings import Settings, in_url, is_loopback, unknown_settings, variable
from elephant_server.settings.base import is_unspecified
from elephant_server.stop_flag import StopFlag

_START_SECONDS = 300.0
# To look takes 10 ms of processor time, which programs that start want as well.
_STARTING_POLL_SECONDS = 0.5
_RUNNING_POLL_SECONDS = 2.0
OPEN_WARNING = (
    "Warning: it listens on {address} without a token, since ELEPHANT_LISTEN_ADDRESS says that this is a container "
    "whose ports are published only on {published}."
)


def serve(settings: Settings) -> None:
    """Start the server, print its address, and watch it until it is asked to stop.

    Raises
    ------
    StackError
        If it cannot start, or one of its programs keeps failing.
    """
    for words in unknown_settings():
        say(f"Warning: {words}")
    programs = find_programs(settings)
    rendering.configuration_file(settings, "supervisord.conf")
    folders.make_folders(settings)
    users.become_user(settings)
    if settings.starts_web or settings.starts_rabbitmq:
        check_certificate(settings)
    with stop_on_signals() as stop, contextlib.ExitStack() as stack:
        _hold_folders(settings, stack)
        settings = join(with_secrets(settings), stop, _START_SECONDS)
        if stop.is_set():
            return
        settings = with_own_gpus(settings, stack)
        preflight.require_free(preflight.wanted_ports(settings))
        sockets, own = stack.enter_context(folders.socket_folder(settings)), preflight.OwnPorts.chosen()
        rendering.write_configuration(settings, sockets, own)
        say(f"Starting {_in_words(settings)} ...")
        _run(settings, _supervision(settings, stack_variables(settings, programs, sockets, own), sockets), stop)


def _hold_folders(settings: Settings, stack: contextlib.ExitStack) -> None:
    """Lock the workspace, which the machines of one server share, and this machine's run folder."""
    if settings.starts_web:
        stack.enter_context(folders.hold(settings.workspace, variable("workspace")))
    if settings.runtime_dir != settings.workspace:
        stack.enter_context(folders.hold(settings.runtime_dir, variable("run_dir")))


def _in_words(settings: Settings) -> str:
    """Name what is started on this machine."""
    names = {
        "Redis": settings.starts_redis,
        "RabbitMQ": settings.starts_rabbitmq,
        "the workers": settings.starts_workers,
        "uWSGI and NGINX": settings.starts_web,
    }
    *most, last = [name for name, is_started in names.items() if is_started]
    # "uWSGI and NGINX" already has its "and".
    return ", ".join([*most, last]) if settings.starts_web or not most else f"{', '.join(most)} and {last}"


def stack_variables(settings: Settings, programs: Programs, sockets: Path, own: preflight.OwnPorts) -> dict[str, str]:
    """Return the variables that ``supervisord.conf`` needs: the settings, and what was determined from them."""
    values = settings.as_environment() | {
        "STACK_PYTHON": sys.executable,
        "STACK_GUARD": str(GUARD),
        "STACK_UWSGI": str(Path(sysconfig.get_path("scripts")) / "uwsgi"),
        "STACK_NGINX": programs.nginx,
        "STACK_REDIS_SERVER": programs.redis_server,
        "STACK_RABBITMQ_SERVER": programs.rabbitmq_server,
        "STACK_EPMD": programs.epmd,
        "STACK_SOCKETS": str(sockets),
        "STACK_EPMD_PORT": str(own.epmd),
        "STACK_DIST_PORT": str(own.distribution),
        "STACK_START_REDIS": str(settings.starts_redis).lower(),
        "STACK_START_RABBITMQ": str(settings.starts_rabbitmq).lower(),
        "STACK_START_WEB": str(settings.starts_web).lower(),
        # The address on which it listens, whatever name the settings have for this machine.
        variable("rabbitmq_host"): rendering.rabbitmq_address(settings),
    }
    if settings.starts_rabbitmq and settings.uses_tls:
        values[variable("rabbitmq_node_port")] = str(own.amqp)
    if settings.starts_redis:
        values[variable("redis_host")] = redis_address(settings)
    # GPUs are numbered as by the driver.
    values.setdefault("CUDA_DEVICE_ORDER", os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID"))
    if settings.gpu == "all" and "CUDA_VISIBLE_DEVICES" in os.environ:
        # Only the GPUs that a scheduler has chosen.
        values[variable("gpu")] = ",".join(devices_of(settings))
    if settings.cuda_visible_devices is not None:
        values["CUDA_VISIBLE_DEVICES"] = settings.cuda_visible_devices
    return values


def _supervision(settings: Settings, variables: Mapping[str, str], sockets: Path) -> Supervision:
    return Supervision(
        configuration=settings.runtime_dir / "supervisord.conf",
        environment=child_environment(variables),
        control=sockets / "supervisor.sock",
        folder=settings.runtime_dir,
    )


def _run(settings: Settings, supervision: Supervision, stop: StopFlag) -> None:
    watch = Watch()
    try:
        with supervision:
            device = _wait_until_ready(settings, supervision, watch, stop)
            if not stop.is_set():
                # Output that does not go to a terminal may be logged: no secrets there.
                for line in announcement(settings, device, with_secrets=sys.stdout.isatty()):
                    say(line)
            watch.has_served = True
            silent = SilentWorkers(settings)
            while not stop.wait(_RUNNING_POLL_SECONDS):
                programs = _look(supervision, watch)
                for name in silent.look(programs):
                    say(f"{name} does not answer and was stopped.")
            say("Stopping ...")
    finally:
        say("Stopped.")


def _wait_until_ready(settings: Settings, supervision: Supervision, watch: Watch, stop: StopFlag) -> str:
    readiness, deadline = Readiness(settings), time.monotonic() + _START_SECONDS
    missing = ["supervisord"]
    while not stop.wait(_STARTING_POLL_SECONDS):
        programs = _look(supervision, watch)
        missing = readiness.missing(programs.values()) if programs else missing
        if not missing:
            break
        if time.monotonic() > deadline:
            raise StackError(_describe_missing(settings, missing))
    return readiness.device


def _look(supervision: Supervision, watch: Watch) -> dict[str, ProgramState]:
    if supervision.has_ended:
        raise StackError(f"supervisord has exited. {supervision.output()}".strip())
    programs = supervision.programs()
    for name in watch.look(programs.values()):
        say(f"{name} has exited unexpectedly and is restarted.")
    for program in programs.values():
        if program.has_failed:
            say(f"{program.name} keeps failing ({program.problem}) and is restarted; see {program.log}.")
            supervision.start(program)
    return programs


def _describe_missing(settings: Settings, missing: list[str]) -> str:
    lines = [f"Not ready after {_START_SECONDS:.0f} s: {', '.join(missing)}."]
    for name in missing:
        log = settings.service_logs_dir / f"{'uwsgi' if name == 'http' else name}.log"
        lines += [f"The last lines of {log}:", *(f"    {line}" for line in last_lines(log))]
    return "\n".join(lines)


def announcement(settings: Settings, device: str, *, with_secrets: bool) -> list[str]:
    """Return the lines to print after the start; without secrets they say where those are."""
    # A container's engine keeps its output.
    with_secrets = with_secrets and settings.listen_address is None
    url = url_with_token(settings.http_url, settings) if with_secrets else settings.http_url
    if not settings.starts_web:
        return [*_warnings(settings), *_part(settings, device)]
    return [
        *_warnings(settings),
        f"Serving on {url} - press Ctrl-C to stop",
        *_access(settings, with_secrets),
        f"    device     {device}",
        f"    workspace  {settings.workspace}",
        f"    logs       {settings.service_logs_dir}",
    ]


def _part(settings: Settings, device: str) -> list[str]:
    """Return the lines about a machine that is part of a server, without its address."""
    roles = ", ".join(settings.roles.split(",")) if settings.roles else ""
    return [
        f"Running {roles} as {settings.machine} - press Ctrl-C to stop",
        *([f"    device     {device}"] if device else []),
        f"    workspace  {settings.workspace}",
        f"    logs       {settings.service_logs_dir}",
    ]


def _warnings(settings: Settings) -> list[str]:
    address = settings.listens_at
    is_open_without = not is_loopback(address) and not settings.requires_token
    return [
        *([ROOT_WARNING] if runs_as_root_unasked(settings) else []),
        *([OPEN_WARNING.format(address=address, published=settings.bind_address)] if is_open_without else []),
    ]


def access(settings: Settings) -> list[str]:
    """Return what a person enters into the client, secrets and all."""
    scheme = "amqps" if settings.uses_tls and settings.starts_rabbitmq else "amqp"
    host = _name(settings) if settings.starts_rabbitmq else settings.rabbitmq_host
    return [
        f"ELEPHANT server URL     {url_with_token(network_url(settings), settings)}",
        f"RabbitMQ                {scheme}, host {host}, port {settings.rabbitmq_node_port}",
        f"RabbitMQ user           {settings.rabbitmq_user}",
        f"RabbitMQ password       {settings.rabbitmq_password}",
        f"RabbitMQ virtual host   {settings.rabbitmq_virtual_host}",
    ]


def network_url(settings: Settings) -> str:
    """Return the address for other machines, if the server listens beyond this one."""
    if not is_unspecified(settings.bind_address):
        return settings.http_url
    scheme = "https" if settings.uses_tls else "http"
    return f"{scheme}://{in_url(_name(settings))}:{settings.http_port}/"


def _access(settings: Settings, with_secrets: bool) -> list[str]:
    if not settings.requires_token:
        return []
    if with_secrets:
        return ["    For the client:", *(f"        {line}" for line in access(settings))] if settings.is_open else []
    # In a container there is no `make`, but its shell is one command away.
    command = "make access" if settings.listen_address is None else "python -m elephant_server.deploy --access inside"
    where = settings.token_path or "ELEPHANT_TOKEN"
    return [f"    token      required, but not shown here since output may be logged: {command} ({where})"]


def _name(settings: Settings) -> str:
    """Return the name or address by which other machines know this one."""
    if not settings.is_open:
        return "localhost"
    if not is_unspecified(settings.bind_address):
        return settings.bind_address
    if settings.listen_address is not None:
        return "NAME-OF-THE-MACHINE"  # a container does not know it
    name = socket.getfqdn()
    return socket.gethostname() if name.startswith("localhost") else name
