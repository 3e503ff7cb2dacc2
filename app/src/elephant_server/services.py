"""What the request handlers need, put together once per application."""

from dataclasses import dataclass
from typing import Self

from flask import current_app

from elephant_server.feed import ActivityFeed
from elephant_server.jobs.responses import LongPollResponder
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.streaming import Follower
from elephant_server.jobs.submit import Dispatcher, Workers
from elephant_server.jobs.worker_registry import Machines
from elephant_server.rabbitmq import Messages
from elephant_server.settings import Settings

KEY = "elephant"


@dataclass(frozen=True, slots=True)
class Services:
    """The service's parts."""

    settings: Settings
    job_store: JobStore
    feed: ActivityFeed
    workers: Workers
    dispatcher: Dispatcher
    responder: LongPollResponder
    follower: Follower
    messages: Messages
    machines: Machines

    @classmethod
    def of(
        cls,
        settings: Settings,
        job_store: JobStore,
        feed: ActivityFeed,
        workers: Workers,
        messages: Messages,
        machines: Machines | None = None,
    ) -> Self:
        """Return the parts over a job store, a feed, the workers, a transport of messages, and the machines."""
        return cls(
            settings,
            job_store,
            feed,
            workers,
            Dispatcher(job_store, workers),
            LongPollResponder(job_store),
            Follower(job_store),
            messages,
            machines or Machines(settings.gpu),
        )


def services() -> Services:
    """Return the parts of the application that handles this request."""
    found: Services = current_app.extensions[KEY]
    return found
