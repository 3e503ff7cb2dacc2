"""Flow: a network that is trained on links between timepoints, how one begins, and where it says that spots were."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from elephant.components import component_statistics
from elephant.config import DisplacementParams, FlowParams, FlowTrainingParams, StartParams, kept_poolings
from elephant.crops import LabelledPair
from elephant.crops.sample import anchors_of
from elephant.dataset import Dataset
from elephant.dataset.record import LabelsOf
from elephant.device import needs_memory
from elephant.errors import InvalidInputError
from elephant.geometry import Block, Ellipsoid, blocks_of, rasterise
from elephant.images import normalise, prepare, rescale, rescale_labels
from elephant.labels import flow_labels
from elephant.methods.annotations import by_timepoint, warn_of_outside
from elephant.methods.base import Method
from elephant.methods.compatibility import of_flow, warn_of_differences
from elephant.methods.held_out_links import HeldOutLinks
from elephant.methods.known import Asked, digest_of_spots, pack_earlier, unpack_earlier
from elephant.methods.starting import ModelStart, Started
from elephant.methods.work import (
    PREDICTION_REMEDY,
    ModelWork,
    check_output,
    chosen_box,
    name_of,
    seen_per_stored,
    seen_size,
    seen_voxel_size,
)
from elephant.models.ensemble import Ensemble
from elephant.models.losses import FlowLoss
from elephant.models.pretrained import FLOW_FILES
from elephant.models.provenance import ProvenanceEntry, TrainedWith
from elephant.models.shipped import pretrained_with
from elephant.models.unet import FlowNet
from elephant.prediction import predict_flow
from elephant.prediction.tiling import noticing_fallbacks
from elephant.progress import CancelToken, NeverCancelled
from elephant.spots import FlowField, covers, moved, unmoved
from elephant.training.networks import CropTrainer
from elephant.types import Box, EarlierSpot, FloatArray, Link, Shape, Spot

logger = logging.getLogger(__name__)


# The network has no normalisation: with random weights, the first gradients are about twenty times as large as
# later ones, and Adam, which divides by their running average, would barely move for hundreds of steps.
MAX_GRADIENT = 0.1
# What a network should see around a spot that is predicted on its own, voxels, Z, Y, X.
LEAST_REGION = (16, 96, 96)
# Of a flow that is kept, voxels: what a network says is hardly more exact.
PRECISION = 0.25


class FlowMethod(Method[Link, DisplacementParams, FlowTrainingParams, LabelledPair, FlowParams, EarlierSpot]):
    """Where nuclei were, from sparse links between timepoints; SCIENCE.md's flow."""

    name = "flow"
    annotated = "links"
    network = FlowNet
    n_seen = 2
    nothing_to_train = "nothing to train: none of the links has a spot in the image; link some nuclei first"

    @override
    def start(self, params: FlowTrainingParams | FlowParams | StartParams, work: ModelWork | None = None) -> ModelStart:
        """Return how a model begins: without trained weights from random ones."""
        wanted = params if isinstance(params, StartParams) else _start_params(params, work)

        def untrained(why: str | None) -> Started:
            if why is None:
                logger.info("Starting the flow model from random weights")
            else:
                logger.warning("%s. Starting the flow model from random weights: train it before use.", why)
            if wanted.seed is not None:
                torch.manual_seed(wanted.seed)
            return ProvenanceEntry(what="random"), Ensemble([FlowNet(n_dims, wanted.n_keep_axials)])

        n_dims = wanted.n_dims
        file = FLOW_FILES.get(n_dims)
        return ModelStart(FlowNet, n_dims, wanted.n_keep_axials, file, f"flow model for {n_dims}D", untrained)

    @override
    def check(self, dataset: Dataset, annotations: Sequence[Link]) -> Mapping[int, Sequence[Link]]:
        groups = by_timepoint(annotations, dataset.n_timepoints)
        if groups and max(groups) + 1 >= dataset.n_timepoints:
            t = max(groups)
            raise InvalidInputError(
                f"a link begins at timepoint {t}, but its nucleus must be at {t + 1} and the dataset has timepoints 0 "
                f"to {t}: choose the dataset that these links belong to"
            )
        return super().check(dataset, annotations)

    @override
    def write_labels(
        self, dataset: Dataset, t: int, annotations: Sequence[Link], params: DisplacementParams, cancel: CancelToken
    ) -> int:
        labels = flow_labels(dataset.shape, annotations, params, cancel)
        cancel.check()
        return dataset.write_flow_labels(t, labels, LabelsOf(annotations, params.model_dump(mode="json")))

    @override
    def clear_labels(self, dataset: Dataset) -> None:
        dataset.clear_flow_labels()

    @override
    def is_labelled(self, dataset: Dataset, t: int) -> bool:
        return bool(dataset.read_flow_labels(t)[-1].any())

    @override
    def labelled_timepoints(self, dataset: Dataset) -> list[int]:
        return dataset.flow_labelled_timepoints()

    @override
    def labelled_positions(self, dataset: Dataset, t: int, params: FlowTrainingParams) -> FloatArray:
        weight = dataset.read_flow_labels(t)[-1]
        n = weight.ndim
        found = component_statistics(weight > 0, weight).mean_index * params.displacement.voxel_size.last(n)
        return np.pad(found, ((0, 0), (3 - n, 0)))

    @override
    def held_out(self, dataset: Dataset, params: FlowTrainingParams) -> HeldOutLinks | None:
        return HeldOutLinks(dataset, params) if params.held_out else None

    @override
    def labels_of(self, params: FlowTrainingParams) -> DisplacementParams:
        return params.displacement

    @override
    def n_images(self, n_dims: int) -> int:
        return 3 + n_dims  # two images; a displacement along each axis and its weight

    @override
    def images(self, dataset: Dataset, t: int, params: FlowTrainingParams) -> NDArray[np.float32]:
        return np.stack([prepare(dataset.read_image(at), params.image, name_of(dataset, at)) for at in (t, t + 1)])

    @override
    def sample(
        self,
        dataset: Dataset,
        t: int,
        positions: FloatArray,
        images: NDArray[np.float32],
        params: FlowTrainingParams,
    ) -> LabelledPair:
        shape = images.shape[1:]
        channels = dataset.read_flow_labels(t)
        labels = np.stack([rescale_labels(channel, params.image.input_size) for channel in channels])
        voxel_size = seen_voxel_size(params.displacement.voxel_size, dataset.shape, shape)
        anchors = anchors_of(positions[:, 3 - dataset.n_dims :], voxel_size, shape)
        return LabelledPair(images, labels, anchors, voxel_size, _seen_norm(dataset, params))

    @override
    def trainer(
        self, model: Ensemble, samples: Callable[[int], LabelledPair], params: FlowTrainingParams, dataset: Dataset
    ) -> CropTrainer:
        norm = _seen_norm(dataset, params)
        loss = FlowLoss(params.dim_weights[: len(norm)], norm)
        relative = self.is_relative(self.resolved(params, model))
        if relative:
            logger.info("The learning rate is relative to the size of the weights of each layer (`relative_lr`)")
        return CropTrainer(model, samples, params, loss, MAX_GRADIENT, relative_lr=relative)

    @override
    def resolved(self, params: FlowTrainingParams, model: Ensemble) -> FlowTrainingParams:
        """Return the parameters with whether the learning rate is relative."""
        if params.relative_lr is not None:
            return params
        return params.model_copy(update={"relative_lr": model.began_trained})

    @override
    def is_relative(self, params: FlowTrainingParams) -> bool:
        return bool(params.relative_lr)

    @override
    def n_keep_axials(self, params: FlowTrainingParams) -> int:
        return kept_poolings(params.displacement.n_keep_axials)

    @override
    def trained_with(self, params: FlowTrainingParams | FlowParams, shape: Shape) -> TrainedWith:
        return of_flow(params, shape)

    @override
    def adapt(self, model: Ensemble, work: ModelWork, params: FlowTrainingParams) -> None:
        """Scale the last layer where shipped weights mean another displacement by an output of 1 than the labels do.

        That is exact for small displacements, where tanh is straight; the training does the rest.
        """
        ratio = _output_ratio(work, params.displacement, params.image.input_size)
        if ratio is None:
            return
        logger.info("%s is adapted to max_displacement %g", work.model_path.name, params.displacement.max_displacement)
        with torch.no_grad():
            for member in model.members:
                layer = cast("FlowNet", member).out_conv
                factor = torch.tensor(ratio, dtype=layer.weight.dtype, device=layer.weight.device)
                layer.weight.mul_(factor.view(-1, *[1] * (layer.weight.ndim - 1)))
                if layer.bias is not None:
                    layer.bias.mul_(factor)

    @override
    def n_outputs(self, n_dims: int) -> int:
        return n_dims

    @override
    @needs_memory("the prediction", PREDICTION_REMEDY)
    def predict(self, work: ModelWork, t: int, params: FlowParams, spots: Sequence[Spot] = ()) -> list[EarlierSpot]:
        """Find where the spots of a timepoint were at the one before; one for each, in their order.

        Spots outside of the crop box are predicted where they are. Those that have no voxel in the image stay where
        they are, as do all at timepoint 0.
        """
        shape, voxel_size = work.dataset.shape, params.displacement.voxel_size
        box = chosen_box(params.prediction.crop_box, shape)
        ellipsoids = Ellipsoid.from_spots(spots, len(shape))
        if t == 0:
            return [unmoved(spot) for spot in spots]
        warn_of_outside(spots, voxel_size, shape, "stay where they are")
        warn_of_differences(work.model_path, of_flow(params, shape), "this prediction")
        with work.dataset.in_use():
            asked = _asked(work, t, params)
            question = None if asked is None else asked.about(spots=digest_of_spots(spots))
            if question is not None and work.known is not None and (answer := work.known.find(question)) is not None:
                logger.info("Timepoint %d of %s: what was found before is answered again", t, work.dataset.name)
                return unpack_earlier(answer, spots)
            with noticing_fallbacks() as fallbacks:
                found = _displacements(_Flow(work, t, params, asked), box, ellipsoids)
            earlier = [moved(s, found[i], voxel_size) if i in found else unmoved(s) for i, s in enumerate(spots)]
            if question is not None and work.known is not None and not fallbacks:
                work.known.keep(question, pack_earlier(earlier))
        return earlier

    @override
    def predict_ahead(self, work: ModelWork, t: int, params: FlowParams) -> bool:
        box, asked = chosen_box(params.prediction.crop_box, work.dataset.shape), _asked(work, t, params)
        if t == 0 or asked is None or work.known is None or work.known.knows_flow(asked, box):
            return False
        with noticing_fallbacks() as fallbacks:
            flow = _Flow(work, t, params, asked).over(box).values
        if not fallbacks:
            work.known.keep_flow(asked, box, np.asarray(flow, np.float32))
        return True


FLOW = FlowMethod()


def _start_params(params: FlowTrainingParams | FlowParams, work: ModelWork | None) -> StartParams:
    """Return how a model begins that is missing for a training or a prediction of a dataset."""
    if work is None:
        raise ValueError("how many axes a flow model has is known from a dataset, or from StartParams")
    keep, seed = params.displacement.n_keep_axials, params.loop.seed if isinstance(params, FlowTrainingParams) else None
    return StartParams(n_dims=work.dataset.n_dims, n_keep_axials=keep, seed=seed)


def _seen_norm(dataset: Dataset, params: FlowTrainingParams) -> tuple[float, ...]:
    """Return the voxels of the rescaled image that a displacement of 1 stands for, X, Y(, Z)."""
    norm = params.displacement.norm(dataset.n_dims)
    per_stored = seen_per_stored(dataset.shape, params.image.input_size or dataset.shape)
    return tuple(n * r for n, r in zip(norm, reversed(per_stored), strict=True))


def _output_ratio(work: ModelWork, asked: DisplacementParams, input_size: Shape | None) -> tuple[float, ...] | None:
    """Return what the outputs X, Y(, Z) of shipped weights are multiplied by to mean what was asked for.

    Shipped weights give a displacement in voxels of what they see, over the norm that they were trained with; what is
    asked for are voxels of the stored image over the norm of the request. None where both are the same, and for models
    that were trained, which learnt the norm of their training.
    """
    facts = pretrained_with(work.model_path)
    if facts is None or facts.max_displacement is None:
        return None
    dataset, n_dims = work.dataset, work.dataset.n_dims
    poolings = kept_poolings(asked.n_keep_axials)
    learnt = asked.model_copy(update={"max_displacement": facts.max_displacement, "n_keep_axials": poolings})
    per_stored = seen_per_stored(dataset.shape, input_size or dataset.shape)[::-1]
    norms = zip(learnt.norm(n_dims), asked.norm(n_dims), per_stored, strict=True)
    ratio = tuple(of_network / (of_request * seen) for of_network, of_request, seen in norms)
    return None if all(math.isclose(r, 1) for r in ratio) else ratio


def regions_around(blocks: Sequence[Block], least: Shape, shape: Shape, cancel: CancelToken | None = None) -> list[Box]:
    """Return boxes that together cover all spots; the whole image where they would not be smaller.

    Parameters
    ----------
    blocks
        Where spots with voxels in the image lie.
    least
        Smallest size of a box, where the image is as large.
    shape
        Size of the image, (Z), Y, X.
    cancel
        Asked before each spot.

    Raises
    ------
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    boxes: list[Box] = []
    token = cancel or NeverCancelled()
    for block in blocks:
        token.check()
        if any(covers(box, block) for box in boxes):
            continue
        boxes.append(_box_around(block, least, shape))
        if sum(float(np.prod(box.size)) for box in boxes) >= np.prod(shape):
            return [Box.whole(shape)]
    return boxes


@needs_memory("the prediction", PREDICTION_REMEDY)
def _asked(work: ModelWork, t: int, params: FlowParams) -> Asked | None:
    """Return the question; None where nothing is kept, or the flow has to be stored."""
    if work.known is None or params.output_prediction or t == 0:
        return None
    ratio = _output_ratio(work, params.displacement, params.prediction.image.input_size)
    asked = work.known.ask(work.dataset, work.model_path, work.model_cache.device, [t - 1, t], params)
    return None if asked is None else asked.about(ratio=ratio)


class _Flow:
    """Predicts the flow from timepoint `t` to the one before, where it is asked for.

    Parameters
    ----------
    asked
        The question about it, where a flow may be known.
    """

    def __init__(self, work: ModelWork, t: int, params: FlowParams, asked: Asked | None = None) -> None:
        self.work = work
        self.params = params
        self._t = t
        self._asked = asked

    @cached_property
    def _images(self) -> list[NDArray[np.float32]]:
        dataset, known = self.work.dataset, {} if self._asked is None else self._asked.images
        stored = ((at, known[at] if at in known else dataset.read_image(at)) for at in (self._t - 1, self._t))
        return [normalise(image, name=name_of(dataset, at)) for at, image in stored]

    def over(self, box: Box, keep: bool = False) -> FlowField:
        """Return the flow in a box of the stored image, and keep it in the dataset where asked."""
        work, prediction = self.work, self.params.prediction
        work.cancel.check()
        n_dims = len(box.size)
        norm = self.params.displacement.norm(n_dims)
        if self._asked is not None and work.known is not None:
            known = work.known.find_flow(self._asked, box, n_dims)
            if known is not None:
                logger.info("Timepoint %d of %s: its flow was computed ahead", self._t, work.dataset.name)
                return FlowField(box, known, norm)
        size = seen_size(work.dataset.shape, prediction.image.input_size, box)
        images = np.stack([rescale(image[box.slices], size) for image in self._images])
        model, ratio = self._loaded()
        seen = predict_flow(model, images, prediction, work.reporter, work.cancel)
        check_output(seen, work.model_path)
        if ratio is not None:
            seen *= np.array(ratio, np.float32).reshape(-1, *[1] * n_dims)
        flow = _stored(seen, box.size)
        if keep:
            work.dataset.write_flow(self._t - 1, flow, box, _steps(norm))
        return FlowField(box, flow, norm)

    def _loaded(self) -> tuple[Ensemble, tuple[float, ...] | None]:
        """Return the model, and what its outputs are multiplied by; a training may replace both at any time."""
        work, params = self.work, self.params
        while True:
            ratio = _output_ratio(work, params.displacement, params.prediction.image.input_size)
            keep = params.prediction.n_keep_axials
            model = work.model_cache.get(work.model_path, FlowNet, work.dataset.n_dims, keep)
            if _output_ratio(work, params.displacement, params.prediction.image.input_size) == ratio:
                return model, ratio


def _steps(norm: Sequence[float]) -> list[float]:
    """Return powers of 1/2 that stand for no more voxels than the precision, for channels X, Y(, Z)."""
    return [2.0 ** -max(0, math.ceil(math.log2(n / PRECISION))) for n in norm]


def _displacements(flow: _Flow, box: Box, ellipsoids: Sequence[Ellipsoid]) -> dict[int, FloatArray]:
    """Return the displacement, voxels, (n,), (Z), Y, X, of each spot that has voxels, by its place in the list."""
    shape, cancel = flow.work.dataset.shape, flow.work.cancel
    scale = flow.params.displacement.voxel_size.last(len(shape))
    blocks = list(blocks_of(ellipsoids, scale, shape))
    inside = [i for i, block in enumerate(blocks) if covers(box, block)]
    found: dict[int, FloatArray] = {}

    def read(field: FlowField, places: Iterable[int]) -> None:
        """Read the displacements of some spots out; the voxels of one at a time are known."""
        for i in places:
            cancel.check()
            found[i] = field.displacement(rasterise(ellipsoids[i], scale, shape, cancel=cancel))

    if inside or flow.params.output_prediction:
        read(flow.over(box, flow.params.output_prediction), inside)
    outside = [i for i, block in enumerate(blocks) if i not in found and not block.is_empty]
    least = tuple(max(a, b) for a, b in zip(box.size, LEAST_REGION[-len(shape) :], strict=True))
    for region in regions_around([blocks[i] for i in outside], least, shape, cancel):
        field = flow.over(region)
        read(field, [i for i in outside if i not in found and covers(region, blocks[i])])
    logger.info("%d spots of %d moved, %d of them outside of the box", len(found), len(blocks), len(outside))
    return found


def _stored(flow: NDArray[np.float32], size: Shape) -> NDArray[np.float32]:
    """Rescale a flow, (n, (Z), Y, X), from the size that the network saw; its values are in stored voxels already."""
    if flow.shape[1:] == size:
        return flow
    return np.stack([rescale(np.ascontiguousarray(channel), size) for channel in flow])


def _box_around(block: Block, least: Shape, shape: Shape) -> Box:
    axes = zip(block.slices, least, shape, strict=True)
    origin, size = zip(*(_around(s, n, limit) for s, n, limit in axes), strict=True)
    return Box(origin, size)


def _around(s: slice, least: int, limit: int) -> tuple[int, int]:
    """Return start and length of a piece of an axis with a spot in its middle."""
    length = min(max(least, s.stop - s.start), limit)
    start = (s.start + s.stop - length) // 2
    return min(max(start, 0), limit - length), length
