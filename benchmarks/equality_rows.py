"""What bfloat16 changes in what is found, where the device computes in it."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks import bodies
from benchmarks.bench import Bench
from benchmarks.equality import Models, agreement, converted, train
from benchmarks.goals import goal
from benchmarks.measuring import Row, Spread
from benchmarks.precision import has_both
from elephant.dataset import Dataset
from elephant.pipeline import Model


def equality(bench: Bench) -> Iterator[Row]:
    """Compare nuclei and displacements in bfloat16 with those in float32, of models that have learnt from the movie."""
    is_gpu = bench.device.type == "cuda"  # what trains and predicts is the best device that there is
    if not (is_gpu or has_both()):
        return
    key = "gpu-equality" if is_gpu else "equality"
    folder = bench.folder / "equality"
    dataset = converted(bench.movie, folder / "dataset")
    found = agreement(bench.movie, dataset, _models(bench, dataset, folder))
    only_one = Spread.of([found.differ])
    work = "nuclei that are found in bfloat16 or in float32 alone"
    yield Row(key, work, only_one, "% of both", goal(key), {"F1": found.f1, "nuclei": found.n_spots})
    yield _apart(f"{key}-centres", "largest distance of a centre in bfloat16 from that in float32", found.centres)
    if found.displacements is not None:
        yield _apart(f"{key}-flow", "the same of a place that flow predicts", found.displacements)


def _models(bench: Bench, dataset: Dataset, folder: Path) -> Models:
    """Return those of the server where they have learnt already, since learning takes minutes, or new ones."""
    if bench.has_learnt:
        return Models(*(Model(bench.server.workspace / "models" / name) for name in (bodies.DETECTION, bodies.FLOW)))
    return train(bench.movie, dataset, folder, bench.sizes.n_learnt)


def _apart(key: str, work: str, voxels: float) -> Row:
    return Row(key, work, Spread.of([voxels]), "voxels", goal(key))
