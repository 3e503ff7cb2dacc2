"""Whether the workers of this machine are there, as they say of themselves."""

from redis.exceptions import RedisError

from elephant_server.settings import Settings
from elephant_server.stack.pairs import workers_of
from elephant_server.state import Member, RedisRoster


def absent_workers(settings: Settings) -> list[str]:
    """Return the names of this machine's workers that are not on the roster; all of them while that is away."""
    expected = [worker.name for worker in workers_of(settings)]
    there = {member.name for member in _members(settings)}
    return [name for name in expected if name not in there]


def present_workers(settings: Settings) -> set[str]:
    """Return the names of this machine's workers that say that they are there.

    Raises
    ------
    redis.exceptions.RedisError
        The roster is away.
    """
    return {member.name for member in RedisRoster(settings.redis_url).present() if member.machine == settings.machine}


def own_devices(settings: Settings) -> str:
    """Return the names of what this machine's workers compute on."""
    devices = {device.id: device.name for member in _members(settings) for device in member.devices}
    return ", ".join(devices[name] for name in sorted(devices))


def _members(settings: Settings) -> list[Member]:
    try:
        return [member for member in RedisRoster(settings.redis_url).present() if member.machine == settings.machine]
    except RedisError:
        return []
