"""What runs: jobs with leases, and the process state derived from them."""

from elephant_server.state.feed import ActivityFeed, Line
from elephant_server.state.feed_memory import MemoryFeed
from elephant_server.state.feed_publisher import FeedPublisher
from elephant_server.state.feed_redis import RedisFeed
from elephant_server.state.job_store import (
    Checkpoint,
    JobEntry,
    JobKind,
    JobStore,
    Lease,
    LiveParams,
    News,
    NotYet,
    Outcome,
    ProcessState,
)
from elephant_server.state.job_store_memory import MemoryJobStore
from elephant_server.state.job_store_redis import RedisJobStore
from elephant_server.state.worker_registry import Member, RedisWorkerRegistry, WorkerRegistry

__all__ = [
    "ActivityFeed",
    "Checkpoint",
    "FeedPublisher",
    "JobEntry",
    "JobKind",
    "JobStore",
    "Lease",
    "Line",
    "LiveParams",
    "Member",
    "MemoryFeed",
    "MemoryJobStore",
    "News",
    "NotYet",
    "Outcome",
    "ProcessState",
    "RedisFeed",
    "RedisJobStore",
    "RedisWorkerRegistry",
    "WorkerRegistry",
]
