"""The networks by themselves: how near plain PyTorch comes to the machine's limits, and how near ours."""

from collections.abc import Iterator

import torch

from benchmarks.bench import Bench
from benchmarks.measuring import Row, Spread, in_turns
from benchmarks.yardsticks import (
    convolution_operations,
    convolution_peak,
    fitting,
    forward_pass,
    plain_of,
    training_step,
)
from elephant.models.unet import DetectionNet

GIGA = 1e9


def floors(bench: Bench) -> Iterator[Row]:
    """Compare P and T with the convolutions' operations at the highest rate that the machine has."""
    peak = convolution_peak()
    model = bench.detection_net()
    volume = torch.rand(1, 1, *fitting(model, bench.movie.truth.shape))
    plain = plain_of(model, bench.movie.truth.shape)
    operations = convolution_operations(plain, volume)
    floor = sum(operations) / peak
    times = in_turns({"P": forward_pass(plain, volume)}, bench.sizes.rounds)["P"]
    numbers = {"floor s": floor, "P s": min(times), "operations, 1e9": sum(operations) / GIGA}
    yield Row(
        "floor-P",
        f"plain forward pass (P), {_in_words(bench.movie.truth.shape)}",
        Spread.of([t / floor for t in times]),
        "floors",
        details={**numbers, "convolution peak, 1e9/s": peak / GIGA},
    )
    for crop in bench.sizes.crops:
        yield _training_floor(bench, model, crop, peak)


def _training_floor(bench: Bench, model: DetectionNet, crop: tuple[int, ...], peak: float) -> Row:
    plain = plain_of(model, crop)
    image, labels = _crop(fitting(model, crop))
    first, *others = convolution_operations(plain, image)
    # Forward, gradients of the weights, and of the inputs where there is somebody to hear of them.
    floor = (2 * first + 3 * sum(others)) / peak
    times = in_turns({"T": training_step(plain, image, labels)}, bench.sizes.rounds)["T"]
    return Row(
        f"floor-T-{crop[-1]}",
        f"plain training step (T), {_in_words(crop)}",
        Spread.of([t / floor for t in times]),
        "floors",
        details={"floor s": floor, "T s": min(times)},
    )


def networks(bench: Bench) -> Iterator[Row]:
    """Compare the project's networks with plain ones of the same weights, forward and in a training step."""
    shape = bench.movie.truth.shape
    for name, model, n_inputs in (("detection", bench.detection_net(), 1), ("flow", bench.flow_net(), 2)):
        x = torch.rand(1, n_inputs, *fitting(model, shape))
        plain = plain_of(model, shape)
        times = in_turns({"plain": forward_pass(plain, x), "ours": forward_pass(model, x)}, bench.sizes.rounds)
        yield Row(
            f"network-{name}",
            f"the {name} network alone, {_in_words(shape)}",
            Spread.of_ratios(times["ours"], times["plain"]),
            "P",
            details={"s": min(times["ours"]), "plain s": min(times["plain"])},
        )
    for crop in bench.sizes.crops:
        model = bench.detection_net()
        image, labels = _crop(fitting(model, crop))
        steps = {
            "plain": training_step(plain_of(model, crop), image, labels),
            "ours": training_step(model, image, labels),
        }
        times = in_turns(steps, bench.sizes.rounds)
        yield Row(
            f"network-training-{crop[-1]}",
            f"forward, loss, backward and Adam of the detection network alone, {_in_words(crop)}",
            Spread.of_ratios(times["ours"], times["plain"]),
            "T",
            details={"s": min(times["ours"]), "plain s": min(times["plain"])},
        )


def _crop(size: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an image and labels of all kinds, (1, 1, Z, Y, X) and (1, Z, Y, X)."""
    numbers = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, *size, generator=numbers)
    return image, torch.randint(0, 7, (1, *size), dtype=torch.uint8, generator=numbers)


def _in_words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
