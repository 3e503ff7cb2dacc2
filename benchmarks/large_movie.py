"""Takes a long movie through all of it and watches the memory: ``python benchmarks/large_movie.py [--timepoints 200]``.

A movie of 64 x 512 x 512 voxels, five simulated timepoints that are named again and again, is converted, a model is
trained on five timepoints, and twenty are predicted, with the command ``elephant``. For each step the time and the
largest memory of any of its processes are printed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import psutil

from elephant.simulation import SimulationParameters, read_truth, write_movie

SHAPE = (64, 512, 512)
N_SIMULATED = 5
MIB = 1 << 20
LIMIT_MIB = 3000
PATCH = ("384", "384", "24")  # the client's


def main() -> int:
    """Run all steps; 1 where a process needed more memory than it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timepoints", type=int, default=200)
    parser.add_argument("--predicted", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where it is all kept; by default a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        return run(folder, given.timepoints, given.predicted)


def run(folder: Path, n_timepoints: int, n_predicted: int) -> int:
    """Make the movie, and use it."""
    voxel = ["0.5", "0.5", "2"]
    movie = make_movie(folder / "movie.h5", n_timepoints)
    annotate(movie.with_suffix(".truth.json"), folder / "annotated.csv")
    dataset, model = str(folder / "dataset"), str(folder / "model.pth")
    network = ["--model", model, "--voxel-size", *voxel, "--n-keep-axials", "2"]
    training = ["--crop-size", "96", "96", "16", "--n-epochs", "2", "--auto-bg-thresh", "0.05"]
    predicted = ["--pad", "--patch", *PATCH, "-t", f"0-{n_predicted - 1}", "-o", str(folder / "found.json")]
    steps = {
        "convert": ["convert", str(movie), dataset],
        "train": ["train", dataset, "--spots", str(folder / "annotated.csv"), *network, *training],
        "predict": ["predict", dataset, *network, *predicted],
    }
    most = 0.0
    for name, arguments in steps.items():
        seconds, peak = watch([sys.executable, "-m", "elephant.cli", *arguments, "--quiet"])
        print(f"{name:8} {seconds:7.1f} s   {peak:6.0f} MiB in its largest process", flush=True)
        most = max(most, peak)
    spots = json.loads((folder / "found.json").read_text())["spots"]
    print(f"{len(spots)} nuclei found in {n_predicted} timepoints; the limit is {LIMIT_MIB} MiB")
    return int(most > LIMIT_MIB)


def make_movie(path: Path, n_timepoints: int) -> Path:
    """Simulate some timepoints, and give them the names of all others: they are decoded each time they are read."""
    if not path.exists():
        write_movie(SimulationParameters(seed=1, shape=SHAPE, timepoints=N_SIMULATED, nuclei=400), path)
    with h5py.File(path, "r+") as file:
        for t in range(N_SIMULATED, n_timepoints):
            name = f"t{t:05d}"
            if name not in file:
                file[name] = file[f"t{t % N_SIMULATED:05d}"]
    return path


def annotate(truth: Path, table: Path) -> None:
    """Write the true nuclei as annotations."""
    rows = ["t,x,y,z,radius,tag"]
    for spot in (nucleus.spot for frame in read_truth(truth).frames for nucleus in frame):
        z, y, x = spot.pos
        rows.append(f"{spot.t},{x},{y},{z},{np.sqrt(np.trace(spot.covariance) / 3)},tp")
    table.write_text("\n".join(rows))


def watch(command: list[str]) -> tuple[float, float]:
    """Return the seconds that a command takes, and the largest memory of any of its processes, MiB."""
    began, peak = time.perf_counter(), 0
    process = psutil.Popen(command)
    while process.poll() is None:
        peak = max(peak, *(_memory(p) for p in (process, *_children(process))))
        time.sleep(0.05)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - began, peak / MIB


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children(recursive=True)
    except psutil.Error:
        return []
    return found


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


if __name__ == "__main__":
    sys.exit(main())
