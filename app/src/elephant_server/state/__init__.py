"""What runs: jobs with leases, and the process state derived from them."""

from elephant_server.state.board import Board, Checkpoint, Kind, LiveParams, Outcome, ProcessState
from elephant_server.state.redis_board import RedisBoard

__all__ = ["Board", "Checkpoint", "Kind", "LiveParams", "Outcome", "ProcessState", "RedisBoard"]
