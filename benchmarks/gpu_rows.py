"""The same questions on a GPU: networks in bfloat16 against their floors, and a large timepoint from disk to spots."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import bodies
from benchmarks.bench import Bench, provide_dataset
from benchmarks.goals import goal
from benchmarks.measuring import Row, Spread, in_turns, taken
from benchmarks.movie_rows import pace
from benchmarks.movies import BenchMovie, lengthen
from benchmarks.training_rows import STEPS, Size, epoch_and_crop
from benchmarks.yardsticks import convolution_operations, forward_pass, plain_of, synchronous
from elephant.device import device_has_bfloat16
from elephant.models.losses import DetectionLoss
from elephant.simulation import BigDataViewerWriter, Truth, simulate

LARGE, MOVIE = "large16", "large16-movie"
_COPIED = 1 << 28  # elements of 2 bytes
_SIDE = 8192  # of matrices
_BYTES = 2  # of a value in bfloat16


def networks(bench: Bench) -> Iterator[Row]:
    """Compare the networks' passes with plain ones (P), and with what the device's memory and its units allow."""
    # Half of it: plain PyTorch does not enlarge images of 2^31 values.
    *plane, width = bench.sizes.gpu_shape
    shape, device = (*plane, width // 2), bench.device
    model = bench.detection_net()
    plain = plain_of(model, shape)
    x = torch.rand(1, 1, *shape, device=device)
    bandwidth, rate = _copy_bandwidth(device), _matrix_rate(device)
    with _mixed(device):
        memory = _bytes_moved(plain, x) / bandwidth
        arithmetic = sum(convolution_operations(plain, x)) / rate
    works = {name: synchronous(_in_mixed(forward_pass(net, x), device), device) for name, net in _both(plain, model)}
    times = in_turns(works, bench.sizes.rounds)
    details = {"s": min(times["ours"]), "P s": min(times["plain"]), "bandwidth floor s": memory}
    details |= {"arithmetic floor s": arithmetic, "copy GB/s": bandwidth / 1e9, "matrices TFLOP/s": rate / 1e12}
    words = " x ".join(map(str, shape))
    ratios = Spread.of_ratios(times["ours"], times["plain"])
    yield Row("gpu-network", f"the detection network alone, bfloat16, {words}", ratios, "P", details=details)
    floors = Spread.of([t / memory for t in times["ours"]])
    yield Row("gpu-floor", f"the same over its bandwidth floor, {words}", floors, "floors", goal("gpu-floor"))


def training(bench: Bench) -> Iterator[Row]:
    """Compare a training step end to end with the forward and backward pass of its own network."""
    for size in bench.sizes.crops:
        epoch, crop, model = epoch_and_crop(bench, size)
        passes = _forward_and_backward(model, crop.images[None], crop.labels[None], bench.device)
        works = {"passes": synchronous(passes, bench.device), "epoch": synchronous(epoch, bench.device)}
        times = in_turns(works, bench.sizes.rounds)
        yield Row(
            f"gpu-training-{size[-1]}",
            f"training step, all augmentations on, {' x '.join(map(str, size))}",
            Spread.of_ratios(times["epoch"], times["passes"], 1 / STEPS),
            "forward and backward",
            goal(f"gpu-training-{size[-1]}"),
            {"s": min(times["epoch"]) / STEPS},
        )


def timepoint(bench: Bench) -> Iterator[Row]:
    """Predict a large 16-bit timepoint over HTTP, from disk to spots; nothing is said about tiles."""
    shape = bench.sizes.gpu_shape
    path = _provide_large(bench, LARGE, shape, 1)
    movie = BenchMovie(path, Truth(bench.movie.truth.voxel, shape, ()), 1)
    body = bodies.seg_predict(LARGE, movie, 0, patch=None)
    found = bench.server.post("seg/predict", body)
    times = [taken(lambda: bench.server.post("seg/predict", body)) for _ in range(bench.sizes.rounds)]
    work = f"`seg/predict` over HTTP, uint16, {' x '.join(map(str, shape))}, from disk to spots"
    yield Row("gpu-timepoint", work, Spread.of(times), "s", goal("gpu-timepoint"), {"spots": len(found["spots"])})


def whole_movie(bench: Bench) -> Iterator[Row]:
    """Compare ``elephant predict`` of large timepoints with the network alone."""
    depth, height, width = bench.sizes.gpu_shape
    shape, n = (depth // 2, height, width), bench.sizes.n_large
    _provide_large(bench, MOVIE, shape, n)
    yield pace(bench, "gpu-whole-movie", MOVIE, n, shape)


def _provide_large(bench: Bench, name: str, shape: Size, n_timepoints: int) -> Path:
    path = bench.folder / f"{name}.h5"
    _write_large(bench, path, shape)
    lengthen(path, n_timepoints)
    provide_dataset(bench.server, name, path)
    return path


def _write_large(bench: Bench, path: Path, shape: Size) -> None:
    """Write a movie of a large timepoint: a simulated one again and again, with other noise each time."""
    image = next(simulate(bench.sizes.movie)).image.astype(np.uint16) * 16
    repeats = [-(-s // i) for s, i in zip(shape, image.shape, strict=True)]
    large = np.tile(image, repeats)[tuple(slice(0, s) for s in shape)]
    large += np.random.default_rng(0).integers(0, 16, shape, dtype=np.uint16)
    with BigDataViewerWriter(path, shape, bench.sizes.movie.voxel) as writer:
        writer.append(large)


def _both(plain: nn.Module, ours: nn.Module) -> tuple[tuple[str, nn.Module], ...]:
    return ("plain", plain), ("ours", ours)


def _forward_and_backward(network: nn.Module, x: Tensor, labels: Tensor, device: torch.device) -> Callable[[], None]:
    loss = DetectionLoss(3, (1.0, 10.0, 10.0), 1.0).to(device)

    def work() -> None:
        network.zero_grad(set_to_none=True)
        with _mixed(device):
            out = network(x)
        loss(out, labels).total.backward()

    return work


def _bytes_moved(network: nn.Module, x: Tensor) -> int:
    """Return the bytes that must pass through memory if each convolution reads its input and writes its output once."""
    total = 0

    def count(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += _BYTES * (inputs[0].numel() + output.numel())

    handles = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv3d)]
    forward_pass(network, x)()
    for handle in handles:
        handle.remove()
    return total


def _copy_bandwidth(device: torch.device) -> float:
    """Return the bytes that can be read and written in a second."""
    n = _COPIED if device.type == "cuda" else _COPIED >> 6
    a = torch.zeros(n, dtype=torch.bfloat16, device=device)
    b = torch.empty_like(a)
    times = in_turns({"": synchronous(lambda: b.copy_(a), device)}, 10)[""]
    return 2 * _BYTES * n / min(times)


def _matrix_rate(device: torch.device) -> float:
    """Return the operations per second of large products of matrices in bfloat16."""
    n = _SIDE if device.type == "cuda" else _SIDE >> 4
    a = torch.randn(n, n, dtype=torch.bfloat16, device=device)
    times = in_turns({"": synchronous(lambda: a @ a, device)}, 10)[""]
    return 2 * n**3 / min(times)


def _mixed(device: torch.device) -> torch.autocast:
    # A device that imitates bfloat16 computes in float32 here, as in the product; some processors refuse it.
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device_has_bfloat16(device))


def _in_mixed(work: Callable[[], object], device: torch.device) -> Callable[[], object]:
    def mixed() -> object:
        with _mixed(device):
            return work()

    return mixed
