"""The networks by themselves: how near plain PyTorch comes to the machine's limits, and how near ours."""

from collections.abc import Iterator
from statistics import median

import torch

from benchmarks.bench import Bench
from benchmarks.measuring import Row, Spread, in_turns, row_of_ratios
from benchmarks.yardstick_process import PLAIN, Yardstick, in_processes
from benchmarks.yardsticks import (
    as_predicting,
    as_training,
    convolution_operations,
    convolution_peak,
    fitting,
    forward_pass,
    training_step,
)
from elephant.models.unet import DetectionNet

GIGA = 1e9


def floors(bench: Bench) -> Iterator[Row]:
    """Compare P and T with the convolutions' operations at the highest rate that the machine has."""
    peak = convolution_peak()
    model = bench.detection_net()
    shape = bench.movie.truth.shape
    operations = sum(convolution_operations(model, torch.rand(1, 1, *fitting(model, shape))))
    numbers = {"operations, 1e9": operations / GIGA, "convolution peak, 1e9/s": peak / GIGA}
    work = f"plain forward pass ({{}}), {_in_words(shape)}"
    yield from _floor_rows(bench, "P", bench.plain(DetectionNet), operations / peak, work, **numbers)
    for size in bench.sizes.crops:
        image, labels = _crop(fitting(model, size))
        first, *others = convolution_operations(model, image)
        # Forward, gradients of the weights, and of the inputs where there is somebody to hear of them.
        floor = (2 * first + 3 * sum(others)) / peak
        work = f"plain training step ({{}}), {_in_words(size)}"
        yield from _floor_rows(bench, f"T-{size[-1]}", bench.plain_training(image, labels), floor, work)


def _floor_rows(
    bench: Bench, name: str, yardstick: Yardstick, floor: float, work: str, **numbers: float
) -> Iterator[Row]:
    with in_processes(yardstick) as rounds:
        times = in_turns(rounds, bench.sizes.rounds)
    for kind, seconds in times.items():
        letter = name[0] if kind == PLAIN else f"{name[0]}*"
        words = work.format(letter) + ("" if kind == PLAIN else ", memory kept")
        details = {"floor s": floor, f"{letter} s": median(seconds), **numbers}
        key = "floor-" + name.replace(name[0], letter, 1)
        yield Row(key, words, Spread.of([t / floor for t in seconds]), "floors", details=details)


def networks(bench: Bench) -> Iterator[Row]:
    """Compare the project's networks with plain ones of the same weights, forward and in a training step."""
    shape = bench.movie.truth.shape
    for name, model, n_inputs in (("detection", bench.detection_net(), 1), ("flow", bench.flow_net(), 2)):
        ours = forward_pass(model, torch.rand(1, n_inputs, *fitting(model, shape)), as_predicting)
        with in_processes(bench.plain(type(model))) as plain:
            times = in_turns({**plain, "ours": ours}, bench.sizes.rounds)
        yield row_of_ratios(f"network-{name}", f"the {name} network alone, {_in_words(shape)}", "P", times)
    for size in bench.sizes.crops:
        model = bench.detection_net()
        crop = _crop(fitting(model, size))
        with in_processes(bench.plain_training(*crop)) as plain:
            times = in_turns({**plain, "ours": training_step(model, *crop, as_training)}, bench.sizes.rounds)
        work = f"forward, loss, backward and Adam of the detection network alone, {_in_words(size)}"
        yield row_of_ratios(f"network-training-{size[-1]}", work, "T", times)


def _crop(size: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an image and labels of all kinds, (1, 1, Z, Y, X) and (1, Z, Y, X)."""
    numbers = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, *size, generator=numbers)
    return image, torch.randint(0, 7, (1, *size), dtype=torch.uint8, generator=numbers)


def _in_words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
