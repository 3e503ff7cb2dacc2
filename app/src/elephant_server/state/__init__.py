"""What runs: jobs with leases, and the process state derived from them."""

from elephant_server.state.board import (
    Board,
    Checkpoint,
    Entry,
    Kind,
    Lease,
    LiveParams,
    News,
    Outcome,
    ProcessState,
)
from elephant_server.state.memory_board import MemoryBoard
from elephant_server.state.redis_board import RedisBoard

__all__ = [
    "Board",
    "Checkpoint",
    "Entry",
    "Kind",
    "Lease",
    "LiveParams",
    "MemoryBoard",
    "News",
    "Outcome",
    "ProcessState",
    "RedisBoard",
]
