"""What runs: jobs with leases, and the process state derived from them."""

from elephant_server.state.board import (
    Board,
    Checkpoint,
    Entry,
    Kind,
    Lease,
    LiveParams,
    News,
    NotYet,
    Outcome,
    ProcessState,
)
from elephant_server.state.bulletin import Bulletin, Line
from elephant_server.state.memory_board import MemoryBoard
from elephant_server.state.memory_bulletin import MemoryBulletin
from elephant_server.state.poster import Poster
from elephant_server.state.redis_board import RedisBoard
from elephant_server.state.redis_bulletin import RedisBulletin
from elephant_server.state.roster import Member, RedisRoster, Roster

__all__ = [
    "Board",
    "Bulletin",
    "Checkpoint",
    "Entry",
    "Kind",
    "Lease",
    "Line",
    "LiveParams",
    "Member",
    "MemoryBoard",
    "MemoryBulletin",
    "News",
    "NotYet",
    "Outcome",
    "Poster",
    "ProcessState",
    "RedisBoard",
    "RedisBulletin",
    "RedisRoster",
    "Roster",
]
