"""``python -m benchmarks``: measure, and write the page."""

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.groups import CPU_GROUPS, GPU_GROUPS
from benchmarks.machine import description, moment
from benchmarks.movies import FULL, QUICK
from benchmarks.page import in_words
from elephant.memory import keep_memory

DOCS = Path(__file__).parents[1] / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return the exit status."""
    options = _parse(arguments)
    kind, groups = ("gpu", GPU_GROUPS) if options.gpu else ("cpu", CPU_GROUPS)
    if options.gpu and not torch.cuda.is_available():
        print("There is no GPU that PyTorch can use: leave out --gpu.", file=sys.stderr)
        return 1
    wanted = [name for name in groups if name in (options.only or groups)]
    if not wanted:
        print(f"None of {', '.join(options.only)} is measured: choose of {', '.join(groups)}.", file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.WARNING)
    movie = options.movie.name if options.movie else "a simulated movie"
    if options.quick:
        movie += ", so small that these figures mean nothing"
    server = "the whole stack" if options.stack else "one process"
    machine = description(gpu=options.gpu) | {"server": server, "movie": movie}
    device = torch.device("cuda" if options.gpu else "cpu")
    written = report.load(options.output)
    with tempfile.TemporaryDirectory(prefix="elephant-bench-", dir=options.folder) as folder:
        sizes = QUICK if options.quick else FULL
        sizes = replace(sizes, rounds=options.rounds or sizes.rounds)
        with Bench(Path(folder), sizes, options.movie, options.stack, device) as bench:
            for name in wanted:
                before = moment()
                results = list(groups[name](bench))
                entered = report.enter(written, kind, machine, name, before, results)
                report.write(options.output, written, [*CPU_GROUPS, *GPU_GROUPS])
                for entry in entered["rows"]:
                    print(in_words(entry), flush=True)
                for curve in entered["curves"]:
                    print(f"{curve['title']} against {curve['x_label']}: R² {curve['r2']:.4f}", flush=True)
    print(f"Written: {options.output / report.PAGE}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="what is asked of a GPU, on one")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join([*CPU_GROUPS, *GPU_GROUPS])}")
    parser.add_argument("--quick", action="store_true", help="small images, to see that it runs; figures mean nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each thing is timed, by default 5")
    parser.add_argument("--movie", type=Path, help="BigDataViewer .h5 to use in place of a simulated movie")
    parser.add_argument(
        "--stack", action="store_true", help="ask the whole stack in place of the server of one process"
    )
    parser.add_argument("--output", type=Path, default=DOCS, help="folder for the page and what belongs to it")
    parser.add_argument("--folder", type=Path, help="where there is room for some GB while it runs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers that it has started end with it
    # As the server does. A test, which calls `main`, is left as it is.
    keep_memory()
    sys.exit(main())
