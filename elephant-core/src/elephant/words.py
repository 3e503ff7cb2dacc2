"""Numbers as a person reads them."""

from collections.abc import Sequence


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
