"""A training step with everything around it, in this process and over HTTP."""

from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
from torch.nn import functional

from benchmarks import bodies
from benchmarks.bench import DATASET, Bench
from benchmarks.measuring import Row, Spread, in_turns, taken
from benchmarks.yardsticks import fitting, plain_of, training_step
from elephant.config import AugmentationParams, DetectionTrainingParams, ImageParams, LabelParams, LoopParams
from elephant.crops import Crop, LabelledVolume, cut_crop
from elephant.images import prepare
from elephant.methods.detection import DETECTION
from elephant.models.ensemble import Ensemble
from elephant.models.losses import DetectionLoss
from elephant.models.unet import DetectionNet, resize
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.loop import FixedControl
from elephant.training.networks import CropTrainer

Size = tuple[int, int, int]
# Of T at its own size: for small crops plain PyTorch takes a slow way.
_GOALS = {(16, 96, 96): 0.75, (16, 48, 48): 0.5}
STEPS = 5  # of an epoch in this process
_FEW, _MANY = 2, 14  # of a training over HTTP


def training(bench: Bench) -> Iterator[Row]:
    """Compare the steps of an epoch, crops and augmentations with them, with plain steps on a crop in memory."""
    for size in bench.sizes.crops:
        epoch, crop, _ = epoch_and_crop(bench, size)
        times = in_turns({"plain": _plain_step(bench, crop), "epoch": epoch}, bench.sizes.rounds)
        yield Row(
            f"training-{size[-1]}",
            f"training step, all augmentations on, {_in_words(size)}",
            Spread.of_ratios(times["epoch"], times["plain"], 1 / STEPS),
            "T",
            _GOALS.get(size),
            {"s": min(times["epoch"]) / STEPS, "plain s": min(times["plain"])},
        )


def served_training(bench: Bench) -> Iterator[Row]:
    """Compare steps of ``seg/train``: what a training of many takes more than one of few, so that its start cancels."""
    for size in bench.sizes.crops:
        _, crop, _ = epoch_and_crop(bench, size)
        plain = _plain_step(bench, crop)
        _train(bench, size, _FEW)
        plain()
        steps, starts, plains = [], [], []
        for _ in range(bench.sizes.rounds):
            few, before = _train(bench, size, _FEW), taken(plain)
            many, after = _train(bench, size, _MANY), taken(plain)
            steps.append((many - few) / (_MANY - _FEW))
            starts.append(few - _FEW * steps[-1])
            plains.append((before + after) / 2)
        yield Row(
            f"served-training-{size[-1]}",
            f"`seg/train` over HTTP, each further step, {_in_words(size)}",
            Spread.of_ratios(steps, plains),
            "T",
            _GOALS.get(size),
            {"s": median(steps), "plain s": median(plains), "s before and after the steps": median(starts)},
        )


def epoch_and_crop(bench: Bench, size: Size) -> tuple[Callable[[], None], Crop, DetectionNet]:
    """Return an epoch of `STEPS` steps, a crop as it would be without augmentations, and the network that is trained.

    All on the device.
    """
    params = _params(bench, size)
    volume = _volume(bench, params)
    model = bench.detection_net()
    loss = DetectionLoss(3, params.class_weights, params.false_weight)
    trainer = CropTrainer(Ensemble([model]), lambda _: volume, params, loss)
    control = FixedControl(params.loop.lr, STEPS)
    crop = cut_crop(volume, size, AugmentationParams(), bench.device, np.random.default_rng(0))
    return lambda: trainer.run_epoch([0], control, NoReporter(), 1, 1), crop, model


def _plain_step(bench: Bench, crop: Crop) -> Callable[[], None]:
    """Return T on a crop, in the size in which the network sees it."""
    model = bench.detection_net()
    size = fitting(model, crop.labels.shape)
    image = resize(crop.images[None], size)
    labels = functional.interpolate(crop.labels[None, None], size=size, mode="nearest")[0]
    return training_step(plain_of(model, size), image, labels)


def _train(bench: Bench, size: Size, n_crops: int) -> float:
    """Return the seconds of a training over HTTP on one timepoint."""
    spots = bench.movie.spots(0, bench.sizes.n_spots)
    body = bodies.seg_train(DATASET, bench.movie, spots, size, n_crops=n_crops)
    return taken(lambda: bench.server.post("seg/train", body))


def _params(bench: Bench, size: Size) -> DetectionTrainingParams:
    return DetectionTrainingParams(
        labels=LabelParams(voxel_size=bench.movie.voxel),
        loop=LoopParams(n_crops=STEPS, seed=0, lr=1e-4),
        augmentation=AugmentationParams(**bodies.AUGMENTATIONS),
        crop_size=size,
        n_keep_axials=bench.movie.n_keep_axials,
    )


def _volume(bench: Bench, params: DetectionTrainingParams) -> LabelledVolume:
    spots = bench.movie.spots(0, bench.sizes.n_spots)
    DETECTION.update_labels(bench.dataset, spots, params.labels, NoReporter(), NeverCancelled())
    image = prepare(bench.dataset.read_image(0), ImageParams())
    return DETECTION.sample(bench.dataset, 0, DETECTION.positions(spots), image, params)


def _in_words(size: Size) -> str:
    return " x ".join(map(str, size))
