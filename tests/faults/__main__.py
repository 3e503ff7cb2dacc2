"""``python -m faults``, from the folder of the tests: bad inputs and breakdowns against the real stack, a line each."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from faults.ground import MODEST, Ground
from faults.suite import chosen, play
from stack.running import RunningServer, settings_of


def main() -> int:
    """Play the chosen cases; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--only", default="", metavar="PATTERN", help="cases whose names hold this")
    parser.add_argument("--short", action="store_true", help="those that are part of `make test`")
    parser.add_argument("--list", action="store_true", help="name them, and end")
    options = parser.parse_args()
    cases = chosen(options.only, is_short=options.short)
    if options.list or not cases:
        print("\n".join(case.name for case in cases) or f"no case is called {options.only!r}")
        return 0 if cases else 1
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="elephant-faults-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        server = RunningServer.start(folder, settings_of(folder) | MODEST)
        try:
            ground = Ground.prepared(server.wait_until_serving(), folder)
            played = []
            for case in cases:
                played.append(play(case, ground))
                print(played[-1].line, flush=True)
                if played[-1].details:
                    print(played[-1].details, file=sys.stderr, flush=True)
        finally:
            server.stop()
    failed, skipped = [p for p in played if p.problem], [p for p in played if p.skipped]
    slowest = max(played, key=lambda p: p.seconds)
    print(
        f"{len(played)} cases: {len(played) - len(failed) - len(skipped)} ok, {len(failed)} failed, {len(skipped)} "
        f"skipped, in {time.monotonic() - begin:.0f} s; the longest took {slowest.seconds:.0f} s ({slowest.case.name})"
    )
    for one in failed:
        print(one.line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
