"""Running the single-process server, from the settings to its end."""

import logging
import os
import re
import select
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elephant.memory import uncollected
from elephant_server.auth.tokens import url_with_token
from elephant_server.deploy.credentials import with_secrets
from elephant_server.deploy.folders import hold, make_folder
from elephant_server.deploy.foreground import say, stop_on_signals
from elephant_server.deploy.preflight import Listener, require_free
from elephant_server.device_memory import device_memory
from elephant_server.embedded.spawning import Process
from elephant_server.embedded.workers import WorkerProcesses
from elephant_server.errors import StackError
from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.logs import messages_if_any, set_up_logging
from elephant_server.settings import Settings, unknown_settings, variable
from elephant_server.stop_flag import StopFlag

if TYPE_CHECKING:  # what answers requests is loaded while the worker loads PyTorch
    from flask import Flask

    from elephant_server.embedded.connections import GuardedServer

try:
    import resource
except ImportError:  # pragma: no cover - Windows has no such limits
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

POLL_S = 0.5
# Jobs that were ended have their answers by then.
LAST_ANSWERS_S = 1.0
# Where there is no `poll`, as on Windows, `select` fails for good with more than 512 connections.
CAN_POLL = hasattr(select, "poll")
MOST_CONNECTIONS = 1000 if CAN_POLL else 400
_TOKEN_IN_PATH = re.compile(r"/t/[^/\s]+")


def serve(settings: Settings, first: Process | None = None) -> None:
    """Start the server, print its address, and run until it is asked to stop.

    Parameters
    ----------
    first
        The process of a worker, where one has been started already.

    Raises
    ------
    StackError
        It cannot start.
    """
    for words in unknown_settings():
        say(f"Warning: {words}")
    if settings.uses_tls:
        raise StackError(
            f"{variable('tls_cert')}: encryption needs NGINX, which this server does not have. Start the whole stack "
            f"instead (make serve-stack), or put a proxy that supports https in front."
        )
    for folder in (settings.datasets_dir, settings.models_dir, settings.logs_dir, settings.runtime_dir):
        make_folder(folder, variable("workspace"))
    with stop_on_signals() as stop, hold(settings.workspace, variable("workspace")):
        settings = with_secrets(settings, with_broker=False)
        require_free([Listener("http_port", settings.listens_at, settings.http_port)])
        _choose_gpus(settings)
        _run(settings, stop, first)


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs.

    Attributes
    ----------
    app
        The application that answers requests.
    workers
        The processes that do the work.
    """

    app: "Flask"
    workers: WorkerProcesses


def put_together(settings: Settings, first: Process | None = None) -> Parts:
    """Start the workers and the reaper, and wire the application to them; nothing listens yet."""
    store = MemoryStore()
    job_store, feed, messages = JobStore(store), ActivityFeed(store), messages_if_any(settings)
    set_up_logging(settings, messages, FeedPublisher(feed))
    workers = WorkerProcesses(settings, store, first=first)
    workers.start()

    from elephant_server.main import make_app, start_reaper
    from elephant_server.services import Services

    services = Services.of(settings, job_store, feed, workers, messages)
    start_reaper(services)
    return Parts(make_app(services), workers)


def _run(settings: Settings, stop: StopFlag, first: Process | None = None) -> None:
    say("Starting ...")
    with uncollected():
        parts = put_together(settings, first)
        server = _listen(parts.app, settings)
    http = threading.Thread(target=server.run, name="http", daemon=True)
    http.start()
    device = ", ".join(entry.name for entry in device_memory(settings.gpu))
    for line in _announcement(settings, device, with_secrets=sys.stdout.isatty()):
        say(line)
    while not stop.wait(POLL_S) and http.is_alive() and not parts.workers.has_failed():
        pass
    say("Stopping ...")
    parts.workers.stop()
    time.sleep(LAST_ANSWERS_S)
    server.close()
    say("Stopped.")
    if parts.workers.has_failed():
        raise StackError("The workers cannot run, for the reason above. `elephant doctor` shows what is installed.")
    if not stop.is_set():
        raise StackError("The server stopped accepting requests, for the reason above. Start it again.")


def _listen(app: "Flask", settings: Settings) -> "GuardedServer":
    from elephant_server.embedded.connections import GuardedServer

    logging.getLogger("waitress").addFilter(_is_news)
    host = f"[{settings.listens_at}]" if ":" in settings.listens_at else settings.listens_at
    return GuardedServer(
        app,
        settings,
        min(MOST_CONNECTIONS, _most_files() // 2) if CAN_POLL else MOST_CONNECTIONS,
        listen=f"{host}:{settings.http_port}",
        threads=settings.http_threads,
        # White space that keeps an answer alive has to leave at once.
        send_bytes=1,
        # The guard has limits for each path.
        max_request_body_size=sys.maxsize,
        asyncore_use_poll=CAN_POLL,
        ident=None,
        clear_untrusted_proxy_headers=True,
    )


def _most_files() -> int:
    """Raise the limit of open files and connections; return it."""
    if resource is None:
        return 2 * MOST_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 4 * MOST_CONNECTIONS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return 4 * MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft


def _is_news(record: logging.LogRecord) -> bool:
    """Drop repeated records, and remove tokens from paths: Waitress logs the path when a client disconnects."""
    from elephant_server.jobs.streaming import TransferBroken

    record.msg = _TOKEN_IN_PATH.sub("/t/***", str(record.msg))
    return not (record.exc_info and isinstance(record.exc_info[1], TransferBroken))


def _announcement(settings: Settings, device: str, *, with_secrets: bool) -> list[str]:
    url = url_with_token(settings.http_url, settings) if with_secrets else settings.http_url
    lines = [f"Serving on {url} - press Ctrl-C to stop"]
    if settings.requires_token and not with_secrets:
        lines.append(f"    token      required, in {settings.token_path or variable('token')}")
    return [*lines, f"    device     {device}", f"    workspace  {settings.workspace}"]


def _choose_gpus(settings: Settings) -> None:
    if settings.cuda_visible_devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = settings.cuda_visible_devices
