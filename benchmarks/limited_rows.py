"""The same on processors that have less: what oneDNN and PyTorch may use is limited in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.goals import limited_goal
from benchmarks.measuring import Row, Spread
from benchmarks.movies import QUICK

# By what a row's key ends with: in words, and the variables that oneDNN and PyTorch read once.
LIMITS = {
    "avx512": ("AVX-512 without bfloat16", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    "avx2": ("AVX2", {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}),
}
_GROUPS = ("networks", "predictions", "training")
_ROUNDS = 3


def limited(bench: Bench) -> Iterator[Row]:
    """Measure again with bfloat16 forbidden: P and T as well."""
    for name, (words, variables) in LIMITS.items():
        for row in _measured(bench, bench.folder / name, variables):
            key = f"{row['key']}-{name}"
            kept = row["memory_kept"]
            yield Row(
                key,
                f"{row['work']}, {words}",
                Spread(**row["measured"]),
                row["unit"],
                limited_goal(key),
                row["details"],
                Spread(**kept) if kept else None,
            )


def _measured(bench: Bench, folder: Path, variables: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of some groups that another process measures."""
    is_quick = bench.sizes.map_shape == QUICK.map_shape
    groups, rounds = _GROUPS[:1] if is_quick else _GROUPS, min(_ROUNDS, bench.sizes.rounds)
    command = [sys.executable, "-m", "benchmarks", "--only", *groups, "--rounds", str(rounds)]
    command += ["--output", str(folder), "--folder", str(bench.folder)]
    command += ["--quick"] * is_quick + ["--stack"] * bench.stack
    command += ["--movie", str(bench.given)] if bench.given else []
    root = Path(__file__).parents[1]
    subprocess.run(command, check=True, cwd=root, env={**os.environ, **variables}, stdout=subprocess.DEVNULL)  # noqa: S603
    (run,) = json.loads((folder / report.JSON_FILE).read_text(encoding="utf-8"))["cpu"].values()
    for group in run["groups"].values():
        yield from group["rows"]
