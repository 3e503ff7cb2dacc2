"""All cases, and playing one of them."""

import time
import traceback
from dataclasses import dataclass

from faults import breakdowns, inputs
from faults.cases import Case, NotPossibleError
from faults.ground import Ground
from stack.running import wait_until

CASES: list[Case] = [*inputs.CASES, *breakdowns.CASES]
LONGEST_REASON = 300


@dataclass(frozen=True)
class Played:
    """How a case went.

    Attributes
    ----------
    problem
        Why it failed, in a line; empty where it did not.
    details
        Where it failed.
    skipped
        Why it could not be played; empty where it was.
    """

    case: Case
    seconds: float
    problem: str = ""
    details: str = ""
    skipped: str = ""

    @property
    def line(self) -> str:
        """Return the line of the report."""
        result = f"FAILED {self.problem}" if self.problem else f"skipped: {self.skipped}" if self.skipped else "ok"
        return f"{self.seconds:6.1f} s  {self.case.name:<70} {result}"


def chosen(pattern: str = "", *, is_short: bool = False) -> list[Case]:
    """Return the cases whose names hold `pattern`, or only those of the short form of them."""
    return [case for case in CASES if pattern.lower() in case.name.lower() and (case.is_short or not is_short)]


def play(case: Case, ground: Ground) -> Played:
    """Play a case on an idle server, and leave it idle, whatever happened."""
    begin = time.monotonic()
    problem = details = skipped = ""
    try:
        case.play(ground)
    except NotPossibleError as error:
        skipped = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a case comes upon is its failure
        problem = (" ".join(str(error).split()) or type(error).__name__)[:LONGEST_REASON]
        details = traceback.format_exc()
    seconds = time.monotonic() - begin
    try:
        _calm(ground)
    except Exception as error:  # noqa: BLE001 - it is a failure of the case that left it so
        problem = problem or f"it left a server that does not become idle: {error}"
    return Played(case, seconds, problem, details, skipped)


def _calm(ground: Ground) -> None:
    """End what a failed case left running."""

    def is_idle() -> bool:
        try:
            ground.player.abort()
            return ground.player.state() == 0
        except Exception:  # noqa: BLE001 - it is tried again for a while
            return False

    if not is_idle():
        wait_until(is_idle, 60, "the server to be idle")
