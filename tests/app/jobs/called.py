"""Workers that only keep what they are called for."""


class Called:
    """Workers as a dispatcher, the reaper and each other see them.

    Parameters
    ----------
    error
        What a call raises, if it does.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.are_there = True
        self._error = error

    def call(self, queue: str) -> None:
        if self._error is not None:
            raise self._error
        self.calls.append(queue)

    def is_called(self, queue: str) -> bool:
        return queue in self.calls

    def is_served(self, queue: str) -> bool:
        return self.are_there
