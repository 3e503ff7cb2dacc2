"""Each term against a plain computation that shares nothing with the loss."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from elephant.models.losses import FlowLoss, LossParts, StructuralSimilarity

SIZES = {3: (6, 15, 18), 2: (15, 18)}
NORMS = {3: (6.0, 6.0, 1.5), 2: (6.0, 6.0)}
WEIGHTS = {3: (1.0, 2.0, 5.0), 2: (1.0, 3.0)}


def batch(n_dims: int, n_items: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(n_dims)
    size = SIZES[n_dims]
    flow = rng.uniform(-0.6, 0.6, (n_items, n_dims, *size))
    labels = rng.uniform(-1, 1, (n_items, n_dims + 1, *size))
    labels[:, -1] = rng.random((n_items, *size)) < 0.2
    images = ndimage.gaussian_filter(rng.random((n_items, 2, *size)), [0, 0, *(1,) * n_dims])
    images = (images - images.min()) / np.ptp(images)
    return tuple(torch.from_numpy(v.astype(np.float32)) for v in (flow, labels, images))


def evaluate(n_dims: int, **changes: torch.Tensor) -> LossParts:
    values = dict(zip(("flow", "labels", "images"), batch(n_dims), strict=True))
    return FlowLoss(WEIGHTS[n_dims], NORMS[n_dims])(**{**values, **changes})


def gaussian(taps: int, sigma: float) -> np.ndarray:
    window = np.exp(-((np.arange(taps) - taps // 2) ** 2) / (2 * sigma**2))
    return window / window.sum()


def blurred(image: np.ndarray, taps: tuple[int, ...], sigmas: tuple[float, ...]) -> np.ndarray:
    kernel = np.ones(())
    for n, sigma in zip(taps, sigmas, strict=True):
        kernel = np.multiply.outer(kernel, gaussian(n, sigma))
    return ndimage.correlate(image, kernel, mode="constant")


def plain_instance(n_dims: int, flow: np.ndarray, labels: np.ndarray) -> float:
    weights = np.array(WEIGHTS[n_dims]) / np.sum(WEIGHTS[n_dims])
    total = 0.0
    for d in range(n_dims):
        errors = [abs(f[d] - y[d])[y[-1] > 0] for f, y in zip(flow, labels, strict=True)]
        total += weights[d] * np.concatenate(errors).mean()
    return total


def plain_ssim(n_dims: int, flow: np.ndarray, images: np.ndarray) -> float:
    taps, sigmas = (3, 7, 7)[-n_dims:], (1.5,) * n_dims
    c1, c2 = 0.01**2, 0.03**2
    maps = []
    for item, (earlier, later) in zip(flow, images, strict=True):
        grid = np.stack(np.meshgrid(*(np.arange(s) for s in later.shape), indexing="ij")).astype(float)
        voxels = item * np.reshape(NORMS[n_dims], (-1,) + (1,) * n_dims)
        # A border of zeros as wide as the movements: between it and the image the values fall linearly.
        padded = np.pad(later, 8)
        warped = ndimage.map_coordinates(padded, grid - voxels[::-1] + 8, order=1)
        mean_a, mean_b = (blurred(x, taps, sigmas) for x in (earlier, warped))
        var_a = blurred(earlier**2, taps, sigmas) - mean_a**2
        var_b = blurred(warped**2, taps, sigmas) - mean_b**2
        cov = blurred(earlier * warped, taps, sigmas) - mean_a * mean_b
        maps.append((2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return 1 - float(np.mean(maps))


def plain_smooth(n_dims: int, flow: np.ndarray) -> float:
    taps, sigmas = (3, 5, 5)[-n_dims:], (1.0, 8.0, 8.0)[-n_dims:]
    total = []
    for channel in flow.reshape(-1, *flow.shape[2:]):
        down = blurred(channel, taps, sigmas)[(slice(None, None, 2),) * n_dims]
        at = np.ix_(*(np.arange(s) * d // s for s, d in zip(channel.shape, down.shape, strict=True)))
        total.append(np.abs(channel - blurred(down[at], taps, sigmas)).mean())
    return float(np.mean(total))


@pytest.mark.parametrize("n_dims", [3, 2])
def test_each_term_is_what_the_formula_says(n_dims: int) -> None:
    flow, labels, images = (v.numpy().astype(float) for v in batch(n_dims))
    expected = {
        "instance": plain_instance(n_dims, flow, labels),
        "ssim": plain_ssim(n_dims, flow, images),
        "smooth": plain_smooth(n_dims, flow),
    }
    found = evaluate(n_dims)
    assert {name: float(value) for name, value in found.parts.items()} == pytest.approx(expected, abs=2e-5)
    total = (expected["instance"] + 0.01 * expected["ssim"] + 0.01 * expected["smooth"]) / 1.02
    assert float(found.total) == pytest.approx(total, abs=2e-5)


@pytest.mark.parametrize("n_dims", [3, 2])
def test_the_gradient_is_that_of_the_value(n_dims: int) -> None:
    flow = batch(n_dims)[0].requires_grad_()
    evaluate(n_dims, flow=flow).total.backward()
    assert flow.grad is not None
    direction = flow.grad / flow.grad.norm()
    step = 1e-2
    with torch.no_grad():
        ahead, behind = (evaluate(n_dims, flow=flow + s * direction).total for s in (step, -step))
    assert float(ahead - behind) / (2 * step) == pytest.approx(float(flow.grad.norm()), rel=0.05)


def test_unlabelled_voxels_learn_from_the_images_alone() -> None:
    flow, labels, _ = batch(3)
    flow.requires_grad_()
    evaluate(3, flow=flow).total.backward()
    assert flow.grad is not None
    unlabelled = (labels[:, -1:] == 0).expand_as(flow)
    largest = flow.grad[~unlabelled].abs().max()
    assert 0 < flow.grad[unlabelled].abs().max() < 0.1 * largest


def test_only_the_ratios_of_the_weights_count_and_an_axis_can_be_left_out() -> None:
    flow, labels, images = batch(3)

    def instance(*weights: float) -> float:
        return float(FlowLoss(weights, NORMS[3])(flow, labels, images).parts["instance"])

    assert instance(1, 2, 5) == pytest.approx(instance(10, 20, 50))
    alone = [instance(*row) for row in np.eye(3)]
    assert instance(1, 2, 5) == pytest.approx((alone[0] + 2 * alone[1] + 5 * alone[2]) / 8)
    assert instance(0, 0, 0) == pytest.approx(instance(1, 1, 1))
    assert instance(1e-300, 0, 0) == pytest.approx(alone[0])


def test_the_largest_displacement_scales_how_far_the_image_is_warped() -> None:
    """One image is the other, moved by 3 voxels along X: half of a norm of 6, a quarter of one of 12."""
    image = batch(2)[2][:1, :1]
    images = torch.cat([torch.roll(image, 3, dims=-1), image], dim=1)
    labels = torch.ones(1, 3, *SIZES[2])
    inner = (slice(None), slice(None), slice(5, -5), slice(8, -5))

    def likeness(norm: float, value: float) -> float:
        flow = torch.zeros(1, 2, *SIZES[2])
        flow[:, 0] = value
        loss = FlowLoss((1, 1), (norm, norm))
        return float(loss.similarity(images[:, :1], loss._warped(images[:, 1:], flow))[inner].mean())

    assert likeness(6, 0.5) == pytest.approx(1, abs=1e-4)
    assert likeness(12, 0.25) == pytest.approx(1, abs=1e-4)
    assert likeness(12, 0.5) < 0.9
    assert float(FlowLoss((1, 1), (6, 6))(torch.zeros(1, 2, *SIZES[2]), labels, images).parts["ssim"]) > 0.1


def test_an_image_is_like_itself() -> None:
    image = batch(3)[2][:, :1]
    torch.testing.assert_close(StructuralSimilarity(3)(image, image), torch.ones_like(image))


def test_a_batch_without_labels_is_refused() -> None:
    flow, labels, images = batch(2)
    labels[:, -1] = 0
    with pytest.raises(ValueError, match="labelled"):
        FlowLoss(WEIGHTS[2], NORMS[2])(flow, labels, images)
