"""What uWSGI loads, once, before it forks the HTTP processes."""

from elephant.memory import uncollected

with uncollected():  # nor are pages copied that the HTTP processes share
    from elephant_server.logs import set_up_logging
    from elephant_server.main import create_app, start_reaper
    from elephant_server.services import KEY
    from elephant_server.settings import get_settings

    settings = get_settings()
    set_up_logging(settings)
    application = create_app(settings)


def _begin() -> None:
    """Start what does not survive a fork: threads."""
    start_reaper(application.extensions[KEY])


try:
    import uwsgi
except ImportError:  # another WSGI server, or a test
    _begin()
else:
    uwsgi.post_fork_hook = _begin
