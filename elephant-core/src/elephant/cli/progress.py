"""Progress bars on standard error, where that is a terminal."""

import sys
from types import TracebackType
from typing import Self

from tqdm import tqdm

from elephant.cli.session import Session

# What is counted within something larger; their bars go away when they are full.
_INNER = frozenset({"tile"})


class Bars:
    """A :class:`elephant.progress.ProgressReporter` with a bar for each stage.

    Parameters
    ----------
    session
        Whether a person wants to see them.
    """

    def __init__(self, session: Session) -> None:
        # None: where standard error is a terminal.
        self._disable = True if session.quiet else None
        self._bars: dict[str, tqdm] = {}

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Move the bar of a stage; one that starts again is reset."""
        if stage in _INNER and total == 1:
            return
        bar = self._bars.get(stage) or self._new(stage, total)
        if done < bar.n or bar.total != total:
            bar.reset(total)
        bar.set_postfix({name: _short(value) for name, value in values.items()}, refresh=False)
        bar.update(done - bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they are and go to the next line."""
        for bar in reversed(self._bars.values()):
            bar.close()

    def _new(self, stage: str, total: int) -> tqdm:
        bar = tqdm(
            total=total,
            unit=f" {stage}s",
            desc=stage,
            disable=self._disable,
            dynamic_ncols=True,
            leave=stage not in _INNER,
            file=sys.stderr,
        )
        self._bars[stage] = bar
        return bar


def _short(value: float) -> str:
    return f"{value:d}" if isinstance(value, int) else f"{value:.4g}"
