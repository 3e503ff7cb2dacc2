"""The parts of the single-process server: the same application and the same jobs over threads and memory."""

from dataclasses import dataclass

from flask import Flask

from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.context import make_context
from elephant_server.jobs.handlers import perform
from elephant_server.jobs.orphans import OrphanFiles
from elephant_server.jobs.reaper import Reaper
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.submit import ANSWERING_QUEUE, CTC_EXPORT, FLOW_RESET, SEG_RESET, TRAINING_QUEUE
from elephant_server.jobs.threads import Do, WorkerThreads
from elephant_server.logs import messages_of, set_up_logging
from elephant_server.main import make_app
from elephant_server.rabbitmq import Messages, NoBroker
from elephant_server.services import Services
from elephant_server.settings import Settings
from elephant_server.uploads import uploads_folder


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs.

    Attributes
    ----------
    app
        The application that answers requests.
    workers
        The threads that do the work.
    """

    app: Flask
    workers: WorkerThreads


def put_together(settings: Settings) -> Parts:
    """Wire a server; nothing runs yet except the cleanup of orphan files."""
    store = MemoryStore()
    job_store, feed = JobStore(store), ActivityFeed(store)
    # RabbitMQ is another program: only who names it has one.
    messages = messages_of(settings) if "rabbitmq_host" in settings.model_fields_set else Messages(NoBroker())
    feed_publisher = FeedPublisher(feed)
    set_up_logging(settings, messages, feed_publisher)

    def make_worker() -> Do:
        # Each thread has models of its own: a training changes the weights of those that it has.
        context = make_context(settings, job_store, messages, feed_publisher)
        return lambda task, job_id, message: perform(context, task, job_id, message, workers)

    workers = WorkerThreads((TRAINING_QUEUE, ANSWERING_QUEUE), make_worker)
    app = make_app(Services.of(settings, job_store, feed, workers, messages))
    orphans = [
        OrphanFiles(uploads_folder(settings.models_dir), (SEG_RESET.name, FLOW_RESET.name)),
        OrphanFiles(settings.exports_dir, (CTC_EXPORT.name,)),
    ]
    Reaper(job_store, orphans).start()
    return Parts(app, workers)
