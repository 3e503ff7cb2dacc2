"""A training step with everything around it, in this process and over HTTP."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import fmean, median

import numpy as np
from torch.nn import functional

from benchmarks import bodies
from benchmarks.bench import DATASET, Bench
from benchmarks.measuring import Row, Work, further, in_turns, row_of_ratios
from benchmarks.yardstick_process import Yardstick, in_processes
from benchmarks.yardsticks import fitting
from elephant.config import AugmentationParams, DetectionTrainingParams, ImageParams, LabelParams, LoopParams
from elephant.crops import Crop, LabelledVolume, cut_crop
from elephant.images import prepare
from elephant.methods.detection import DETECTION
from elephant.models.ensemble import Ensemble
from elephant.models.losses import DetectionLoss
from elephant.models.unet import DetectionNet, resize
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl
from elephant.training.networks import CropTrainer
from elephant.types import Box

Size = tuple[int, int, int]
STEPS = 5  # of an epoch in this process
_FEW = 2  # of a training over HTTP that is compared with one of more


def training(bench: Bench) -> Iterator[Row]:
    """Compare the steps of an epoch, crops and augmentations with them, with plain steps on a crop in memory."""
    for size in bench.sizes.crops:
        epoch, crop, _ = epoch_and_crop(bench, size)
        with in_processes(_plain_step(bench, crop)) as plain:
            times = in_turns({**plain, "ours": epoch}, bench.sizes.rounds)
        work = f"training step, all augmentations on, {_in_words(size)}"
        yield row_of_ratios(f"training-{size[-1]}", work, "T", times, scale=1 / STEPS)


def served_training(bench: Bench) -> Iterator[Row]:
    """Compare steps of ``seg/train``: what a training of many takes more than one of few, so that its start cancels."""
    for size in bench.sizes.crops:
        key, work = f"served-training-{size[-1]}", f"`seg/train` over HTTP, each further step, {_in_words(size)}"
        yield _served_row(bench, size, key, work)


def worked_training(bench: Bench) -> Iterator[Row]:
    """Measure the same with a server that has worked for a while: on parts of images that differ, and labels."""
    shape = bench.movie.truth.shape
    for i in range(bench.sizes.n_worked):
        size = tuple(max(s * (1 + i % 4) // 4, 1) for s in shape)
        t = 1 + i % (bench.movie.n_timepoints - 1)
        part = {"crop_box": Box((0, 0, 0), size)}
        bench.server.post("seg/predict", bodies.seg_predict(DATASET, bench.movie, t, **part))
        bench.server.post("flow/predict", bodies.flow_predict(DATASET, bench.movie, t, **part))
        spots = bench.movie.spots(0, bench.sizes.n_spots)
        bench.server.post("seg/update", bodies.seg_update(DATASET, bench.movie, spots))
    n = 3 * bench.sizes.n_worked
    for size in bench.sizes.crops:
        key = f"served-training-worked-{size[-1]}"
        work = f"`seg/train` over HTTP, each further step, after {n} other requests, {_in_words(size)}"
        yield _served_row(bench, size, key, work)


def _served_row(bench: Bench, size: Size, key: str, work: str) -> Row:
    _, crop, _ = epoch_and_crop(bench, size)
    n_many = bench.sizes.n_steps
    trainings = {n: partial(_train, bench, size, n) for n in (_FEW, n_many)}
    with in_processes(_plain_step(bench, crop)) as plain:
        works: dict[str, Work] = {"few": trainings[_FEW], **plain, "many": trainings[n_many]}
        works |= {f"{name} again": round_ for name, round_ in plain.items()}
        times = in_turns(works, bench.sizes.rounds)
    steps = further(times["few"], times["many"], n_many - _FEW)
    around = {name: list(map(fmean, zip(times[name], times[f"{name} again"], strict=True))) for name in plain}
    starts = median(few - _FEW * step for few, step in zip(times["few"], steps, strict=True))
    return row_of_ratios(key, work, "T", {**around, "ours": steps}, **{"s before and after the steps": starts})


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


def _plain_step(bench: Bench, crop: Crop) -> Yardstick:
    """Return T on a crop, in the size in which the network sees it."""
    size = fitting(bench.detection_net(), crop.labels.shape)
    image = resize(crop.images[None], size)
    labels = functional.interpolate(crop.labels[None, None], size=size, mode="nearest")[0]
    return bench.plain_training(image, labels)


def _train(bench: Bench, size: Size, n_crops: int) -> None:
    """Train over HTTP on one timepoint."""
    spots = bench.movie.spots(0, bench.sizes.n_spots)
    bench.server.post("seg/train", bodies.seg_train(DATASET, bench.movie, spots, size, n_crops=n_crops))


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
