"""Breakdowns: what dies, hangs, goes away or is full, and clients that do as they like."""

from faults.breakdowns import broker_away, clients, disk, killed, programs, redis_away
from faults.cases import Case

CASES: list[Case] = [
    *programs.CASES,
    *redis_away.CASES,
    *broker_away.CASES,
    *clients.CASES,
    *disk.CASES,
    *killed.CASES,
]
