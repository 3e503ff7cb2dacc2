"""A conversion in a process of its own, watched from outside: ``python -m benchmarks.converting MOVIE.h5 FOLDER``."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from elephant.config import ConversionParams
from elephant.dataset import convert
from elephant.progress import NeverCancelled, NoReporter

_LOOK_EVERY_S = 0.05
_MIB = 1 << 20


@dataclass(frozen=True)
class Converted:
    """What a conversion took: seconds without the start of Python, and MiB of the process that took most."""

    seconds: float
    peak_mib: float


def watch(source: Path, folder: Path) -> Converted:
    """Convert a movie in a new process."""
    command = [sys.executable, "-m", "benchmarks.converting", str(source), str(folder)]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)  # noqa: S603 - ourselves
    watched = psutil.Process(process.pid)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _peak(watched))
        time.sleep(_LOOK_EVERY_S)
    assert process.stdout is not None
    printed = process.stdout.read()
    assert process.returncode == 0, f"the conversion of {source} failed"
    return Converted(float(printed), peak)


def _peak(parent: psutil.Process) -> float:
    """Return the MiB that the largest of the processes has had so far."""
    try:
        return max(_peak_of(p) for p in (parent, *parent.children(recursive=True)))
    except psutil.Error:
        return 0.0


def _peak_of(process: psutil.Process) -> float:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        # None for a moment where the process has ended and nobody has asked for its status.
        return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)
    except OSError:  # it has ended, or this is no Linux
        return process.memory_info().rss / _MIB if process.is_running() else 0.0


def main() -> None:
    """Convert, and print how many seconds that took."""
    source, folder = map(Path, sys.argv[1:])
    start = time.perf_counter()
    convert(source, folder, ConversionParams(), NoReporter(), NeverCancelled())
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
