"""The one place where the application is wired together."""

from flask import Flask

from elephant_server import dashboard
from elephant_server.api import register
from elephant_server.api.places import Places
from elephant_server.gate.limits import limit_bodies
from elephant_server.gate.middleware import Gate
from elephant_server.jobs.broker import Post
from elephant_server.jobs.following import Follower
from elephant_server.jobs.submit import Dispatcher
from elephant_server.jobs.waiting import Waiter
from elephant_server.logs import messages_of
from elephant_server.services import KEY, Services
from elephant_server.settings import Settings, get_settings
from elephant_server.state import RedisBoard, RedisBulletin


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application; it connects to Redis and RabbitMQ when the first request needs them."""
    settings = settings or get_settings()
    app = Flask(__name__)
    # A POST is never sent again after a redirect: with and without a trailing slash is the same.
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    board = RedisBoard(settings.redis_url)
    app.extensions[KEY] = Services(
        settings,
        board,
        RedisBulletin(settings.redis_url),
        Dispatcher(board, Post(settings)),
        Waiter(board),
        Follower(board),
        messages_of(settings),
    )
    register(app)
    limit_bodies(app, settings)
    dashboard.register(app)
    Places(settings.http_threads).guard(app)
    app.wsgi_app = Gate.of(app.wsgi_app, settings)  # type: ignore[method-assign]
    return app
