"""What uWSGI loads."""

from elephant_server.jobs.orphans import OrphanFiles
from elephant_server.jobs.reaper import Reaper
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.jobs.submit import CTC_EXPORT, FLOW_RESET, SEG_RESET
from elephant_server.logs import set_up_logging
from elephant_server.main import create_app
from elephant_server.settings import get_settings
from elephant_server.uploads import uploads_folder

settings = get_settings()
set_up_logging(settings)
application = create_app(settings)
Reaper(
    JobStore(RedisStore(settings.redis_url)),
    [
        OrphanFiles(uploads_folder(settings.models_dir), (SEG_RESET.name, FLOW_RESET.name)),
        OrphanFiles(settings.exports_dir, (CTC_EXPORT.name,)),
    ],
).start()
