"""``python -m benchmarks.annotations_to_tracks MOVIE.h5 TRUTH.json``: one timepoint is annotated, all are tracked.

A detection model is trained on the nuclei of the first timepoint, with the shipped network as its start, and finds
those of all timepoints. They are joined by the nearest neighbours within 0.6 of the spacing, by LapTrack and motile
with that threshold where they are installed, by ``elephant track``, and by ``elephant track`` after a flow model that
was trained on the links of the first two timepoints. TRA and LNK compare spheres of the median radius at the found and
at the true places: they judge places and links, and not how well an ellipsoid fits its nucleus.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.lineage_detections import NONE
from benchmarks.lineages import Contestant, rivals
from elephant.annotations import read_all
from elephant.cli.main import main as elephant
from elephant.config import AnnotationParams
from elephant.simulation import Truth, read_truth
from elephant.tracking.linkers import Detections

_COLUMNS = ("nuclei", "links", "divisions", "DET", "TRA", "LNK")
REACH = 0.6  # of the spacing: the threshold of those that need one


class Story:
    """The commands of one run, in a workspace of its own.

    Parameters
    ----------
    folder
        Empty.
    movie, truth
        A simulated movie and its truth.
    seed
        Of the trainings.
    crop_size
        Of the trainings, X, Y, Z.
    """

    def __init__(self, folder: Path, movie: Path, truth: Truth, seed: int, crop_size: Sequence[int]) -> None:
        self._crop_size = [str(size) for size in crop_size]
        self._folder, self._movie, self._seed = folder, movie, str(seed)
        self._spots = numbered(truth)
        self._radius = median(
            np.linalg.det(spot.covariance) ** (1 / 6) for frame in truth.frames for spot in _of(frame)
        )
        self._voxel = tuple(str(edge) for edge in truth.voxel[::-1])

    def play(self, n_steps: int) -> Iterator[tuple[str, Mapping[str, float]]]:
        """Yield the scores of each way to join the spots, with its name."""
        self._write("truth.json", [self._as_sphere(spot) for spot in self._spots])
        self._write("first.json", [_without_parent(spot) for spot in self._spots if spot["t"] == 0])
        self._write("links.json", [spot for spot in self._spots if spot["t"] <= 1])
        self._run("convert", str(self._movie), "movie", "--voxel-size", *self._voxel)
        self._train("nuclei.pth", "--spots", "first.json", n_steps=n_steps)
        self._run("predict", "movie", "--model", "nuclei.pth", "-o", "found.json")
        reach = ("--linker", "nearest", "--max-distance", f"{REACH * self._spacing():.3g}")
        self._run("track", "--spots", "found.json", *reach, "-o", "nearest.json")
        yield "nearest neighbours", self._scores("nearest.json")
        for rival in rivals():
            self._join("found.json", rival, "rival.json")
            yield rival.name, self._scores("rival.json")
        self._run("track", "--spots", "found.json", "-o", "tracked.json")
        yield "elephant track", self._scores("tracked.json")
        self._train("flow.pth", "--links", "links.json", n_steps=n_steps)
        self._run("link", "movie", "--spots", "found.json", "--model", "flow.pth", "-o", "moved.json")
        self._run("track", "--spots", "moved.json", "-o", "by_flow.json")
        yield "elephant track with a flow", self._scores("by_flow.json")

    def _join(self, found: str, rival: Contestant, name: str) -> None:
        """Write the found spots as another linker joins them, with the threshold of the nearest neighbours."""
        spots = sorted(read_all([self._folder / found], AnnotationParams()), key=lambda spot: spot.t)
        places = np.array([spot.pos[::-1] for spot in spots])
        found_spots = Detections(np.array([spot.t for spot in spots]), places)
        parents = rival.join(found_spots, np.empty(0, dtype=np.intp), REACH * self._spacing())
        rows = [
            {"t": spot.t, "id": i, "pos": spot.pos, "parent": None if parent == NONE else int(parent)}
            for i, (spot, parent) in enumerate(zip(spots, parents, strict=True))
        ]
        self._write(name, [self._as_sphere(row) for row in rows])

    def _spacing(self) -> float:
        places = np.array([spot["pos"] for spot in self._spots if spot["t"] == 0])
        return float(np.median(cKDTree(places).query(places, k=2)[0][:, 1]))

    def _train(self, model: str, option: str, file: str, *, n_steps: int) -> None:
        steps = (
            "--crop-size",
            *self._crop_size,
            "--n-epochs",
            "5",
            "--n-crops",
            str(-(-n_steps // 5)),
            "--seed",
            self._seed,
        )
        self._run("train", "movie", option, file, "--model", model, *steps)

    def _scores(self, name: str) -> Mapping[str, float]:
        found = [
            self._as_sphere({"t": spot.t, "id": spot.id, "pos": spot.pos, "parent": spot.parent})
            for spot in read_all([self._folder / name], AnnotationParams())
        ]
        self._write("spheres.json", found)
        values = json.loads(
            self._run("evaluate", "spheres.json", "truth.json", "--dataset", "movie", "--ctc", "--json")
        )
        f1 = {
            word: float(values[key]["f1"] or 0) for word, key in zip(_COLUMNS, ("spots", *_COLUMNS[1:3]), strict=False)
        }
        return f1 | {key: float(values["ctc"][key]) for key in _COLUMNS[3:]}

    def _as_sphere(self, spot: Mapping[str, Any]) -> dict[str, Any]:
        return {**spot, "covariance": (np.eye(3) * self._radius**2).ravel().tolist()}

    def _write(self, name: str, spots: Sequence[Mapping[str, Any]]) -> None:
        kept = [{key: value for key, value in spot.items() if value is not None} for spot in spots]
        (self._folder / name).write_text(json.dumps({"spots": kept}), encoding="utf-8")

    def _run(self, *arguments: str) -> str:
        files = [str(self._folder / each) if each.endswith(".json") else each for each in arguments]
        with redirect_stdout(StringIO()) as said:
            status = elephant([*files, "--workspace", str(self._folder), "-q"])
        if status:
            raise RuntimeError(f"elephant {' '.join(files)} ended with {status}")
        return said.getvalue()


def _of(frame: Sequence[Any]) -> list[Any]:
    return [nucleus.spot for nucleus in frame]


def numbered(truth: Truth) -> list[dict[str, Any]]:
    """Return all nuclei, X, Y, Z, each with an id of its own and that of its parent at the timepoint before."""
    numbered: list[dict[str, Any]] = []
    before: dict[int, int] = {}
    for t, frame in enumerate(truth.frames):
        now = {}
        for nucleus in frame:
            spot = nucleus.spot
            now[spot.id] = len(numbered)
            last = before.get(spot.id if nucleus.parent is None else nucleus.parent)
            covariance = spot.covariance[::-1, ::-1].ravel().tolist()
            place = spot.pos[::-1].tolist()
            numbered.append({"t": t, "id": len(numbered), "pos": place, "covariance": covariance, "parent": last})
        before = now
    return numbered


def _without_parent(spot: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spot.items() if key != "parent"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table in Markdown."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.annotations_to_tracks", description=__doc__.partition("\n\n")[2]
    )
    parser.add_argument("movie", type=Path, help="simulated movie, .h5")
    parser.add_argument("truth", type=Path, help="its .truth.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of trainings")
    parser.add_argument("--steps", type=int, default=40, help="of each training")
    parser.add_argument("--crop-size", type=int, nargs=3, default=(96, 96, 16), help="of each training, X Y Z")
    options = parser.parse_args(arguments)
    truth = read_truth(options.truth)
    print(f"| seed | joined by | F1 of {' | '.join(_COLUMNS)} |")
    print(f"| --- | --- |{' --- |' * len(_COLUMNS)}")
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            for name, scores in Story(Path(folder), options.movie.resolve(), truth, seed, options.crop_size).play(
                options.steps
            ):
                print(f"| {seed} | {name} | {' | '.join(f'{scores[key]:.3f}' for key in _COLUMNS)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
