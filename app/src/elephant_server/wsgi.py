"""What uWSGI loads."""

from elephant_server.logs import set_up_logging
from elephant_server.main import create_app, start_reaper
from elephant_server.services import KEY
from elephant_server.settings import get_settings

settings = get_settings()
set_up_logging(settings)
application = create_app(settings)
start_reaper(application.extensions[KEY])
