"""The one place where the application is wired together."""

from flask import Flask

from elephant.io.addresses import use_rules
from elephant_server import dashboard
from elephant_server.api import register
from elephant_server.api.limits import Admission, limit_bodies
from elephant_server.auth.middleware import AuthMiddleware
from elephant_server.feed import ActivityFeed
from elephant_server.jobs.broker import CeleryWorkers
from elephant_server.jobs.reaper import OrphanFiles, Reaper
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.jobs.submit import CTC_EXPORT, FLOW_RESET, SEG_RESET
from elephant_server.jobs.worker_registry import Machines, RedisWorkerRegistry
from elephant_server.logs import messages_of
from elephant_server.services import KEY, Services
from elephant_server.settings import Settings, get_settings
from elephant_server.uploads import uploads_folder


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application of the stack; it connects to Redis and RabbitMQ when the first request needs them."""
    settings = settings or get_settings()
    store = RedisStore(settings.redis_url)
    job_store, feed = JobStore(store), ActivityFeed(store)
    machines = Machines(settings.gpu, RedisWorkerRegistry(settings.redis_url) if settings.is_cluster else None)
    workers = CeleryWorkers(settings)
    return make_app(Services.of(settings, job_store, feed, workers, messages_of(settings), machines))


def make_app(parts: Services) -> Flask:
    """Return the application over the parts that are given."""
    app = Flask(__name__)
    # A POST is never sent again after a redirect: with and without a trailing slash is the same.
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions[KEY] = parts
    use_rules(parts.settings.remote_rules)
    register(app)
    limit_bodies(app, parts.settings)
    dashboard.register(app)
    Admission(parts.settings.http_threads).guard(app)
    app.wsgi_app = AuthMiddleware.of(app.wsgi_app, parts.settings)  # type: ignore[method-assign]
    return app


def start_reaper(parts: Services) -> None:
    """Watch the jobs, and remove orphan files of uploads and exports, from a thread until the process ends."""
    orphans = [
        OrphanFiles(uploads_folder(parts.settings.models_dir), (SEG_RESET.name, FLOW_RESET.name)),
        OrphanFiles(parts.settings.exports_dir, (CTC_EXPORT.name,)),
    ]
    Reaper(parts.job_store, parts.workers, orphans).start()
