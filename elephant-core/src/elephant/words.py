"""Numbers as a person reads them."""

from collections.abc import Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def counted(n: int, what: str, plural: str | None = None) -> str:
    """Return ``1 spot``, ``2 spots``."""
    return f"{n} {what if n == 1 else plural or what + 's'}"


def in_ranges(numbers: Sequence[int], most: int | None = None) -> str:
    """Return ascending numbers as ``0-4, 7``, or at most so many parts of them."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    words = ", ".join("-".join(map(str, part)) for part in parts[:most])
    return f"{words}, ..." if most is not None and len(parts) > most else words


def in_bytes(size: float) -> str:
    """Return a number of bytes as a person would say it."""
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_UNITS[-1]}"
