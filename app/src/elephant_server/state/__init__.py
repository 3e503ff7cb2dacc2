"""What runs: jobs with leases, the process state derived from them, and what there is to show."""

from elephant_server.state.feed import ActivityFeed, Line
from elephant_server.state.feed_publisher import FeedPublisher
from elephant_server.state.job_store import JobStore
from elephant_server.state.records import (
    Checkpoint,
    JobEntry,
    JobKind,
    Lease,
    LiveParams,
    News,
    NotYet,
    Outcome,
    ProcessState,
)
from elephant_server.state.store import Store
from elephant_server.state.store_memory import MemoryStore
from elephant_server.state.store_redis import RedisStore
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
    "MemoryStore",
    "News",
    "NotYet",
    "Outcome",
    "ProcessState",
    "RedisStore",
    "RedisWorkerRegistry",
    "Store",
    "WorkerRegistry",
]
