"""What uWSGI loads."""

from elephant_server.logs import set_up_logging
from elephant_server.main import create_app
from elephant_server.settings import get_settings

set_up_logging(get_settings())
application = create_app()
