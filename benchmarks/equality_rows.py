"""What bfloat16 changes in what is found, where the device computes in it."""

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.equality import agreement, converted, train
from benchmarks.goals import goal
from benchmarks.measuring import Row, Spread
from benchmarks.precision import has_both


def equality(bench: Bench) -> Iterator[Row]:
    """Compare nuclei and displacements in bfloat16 with those in float32, of models that have learnt from the movie."""
    is_gpu = bench.device.type == "cuda"  # what trains and predicts is the best device that there is
    if not (is_gpu or has_both()):
        return
    key = "gpu-equality" if is_gpu else "equality"
    folder = bench.folder / "equality"
    dataset = converted(bench.movie, folder / "dataset")
    found = agreement(bench.movie, dataset, train(bench.movie, dataset, folder, bench.sizes.n_learnt))
    only_one = Spread.of([found.differ])
    work = "nuclei that are found in bfloat16 or in float32 alone"
    yield Row(key, work, only_one, "% of both", goal(key), {"F1": found.f1, "nuclei": found.n_spots})
    yield _apart(f"{key}-centres", "largest distance of a centre in bfloat16 from that in float32", found.centres)
    if found.displacements is not None:
        yield _apart(f"{key}-flow", "the same of a place that flow predicts", found.displacements)


def _apart(key: str, work: str, voxels: float) -> Row:
    return Row(key, work, Spread.of([voxels]), "voxels", goal(key))
