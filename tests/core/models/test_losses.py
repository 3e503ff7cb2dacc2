import numpy as np
import pytest
import torch

from core import golden_files
from elephant.models.losses import DetectionLoss, SmoothnessLoss


@pytest.mark.parametrize("n_dims", [3, 2])
def test_detection_loss_and_gradient_match_the_golden_ones(n_dims: int) -> None:
    meta, arrays = golden_files.load(f"segmentation_loss_{n_dims}d")
    loss = DetectionLoss(n_dims, meta["class_weights"], meta["false_weight"])
    log_prob = torch.from_numpy(arrays["log_prob"]).requires_grad_()
    result = loss(log_prob, torch.from_numpy(arrays["target"] + 1))
    result.total.backward()
    for name in ("nll", "center", "smooth"):
        assert float(result.parts[name]) == pytest.approx(float(arrays[name]), abs=1e-5), name
    assert float(result.total.detach()) == pytest.approx(float(arrays["total"]), abs=1e-5)
    assert log_prob.grad is not None
    np.testing.assert_allclose(log_prob.grad.numpy(), arrays["grad"], rtol=0, atol=1e-5)


def uniform(labels: torch.Tensor) -> torch.Tensor:
    n_items, *size = labels.shape
    return torch.full((n_items, 3, *size), float(np.log(1 / 3)), requires_grad=True)


def test_items_without_labels_do_not_count() -> None:
    labels = torch.zeros((2, 4, 8, 8), dtype=torch.uint8)
    labels[0, 1, 2:5, 2:5] = 3
    labels[0, 2] = 1
    both = DetectionLoss(3, [1, 10, 10], 5.0)(uniform(labels), labels)
    alone = DetectionLoss(3, [1, 10, 10], 5.0)(uniform(labels[:1]), labels[:1])
    assert float(both.total.detach()) == pytest.approx(float(alone.total.detach()))


def test_the_last_centre_loss_stands_in_without_gradient() -> None:
    with_centre = torch.zeros((1, 8, 8), dtype=torch.uint8)
    with_centre[0, 2:4, 2:4] = 3
    without = torch.ones((1, 8, 8), dtype=torch.uint8)
    loss = DetectionLoss(2, [1, 1, 1], 1.0)
    assert float(loss(uniform(without), without).parts["center"]) == 0
    first = float(loss(uniform(with_centre), with_centre).parts["center"])
    assert first > 0
    assert float(loss(uniform(without), without).parts["center"]) == pytest.approx(first)


def test_a_false_annotation_weighs_more() -> None:
    labels = torch.ones((1, 4, 4), dtype=torch.uint8)
    labels[0, 0] = 4
    log_prob = torch.log(torch.tensor([0.5, 0.25, 0.25]))[None, :, None, None].expand(1, 3, 4, 4).clone()
    log_prob[0, 0, 0] = float(np.log(0.1))
    light = DetectionLoss(2, [1, 1, 1], 1.0)(log_prob, labels).parts["nll"]
    heavy = DetectionLoss(2, [1, 1, 1], 10.0)(log_prob, labels).parts["nll"]
    assert float(heavy) > float(light)


def test_a_batch_without_labels_is_refused() -> None:
    labels = torch.zeros((1, 4, 4), dtype=torch.uint8)
    with pytest.raises(ValueError, match="labelled"):
        DetectionLoss(2, [1, 1, 1], 1.0)(uniform(labels), labels)


def test_smoothness_keeps_items_and_channels_apart() -> None:
    torch.manual_seed(0)
    p = torch.rand(2, 3, 6, 10, 10)
    loss = SmoothnessLoss(3)
    apart = torch.stack([loss(p[i : i + 1, c : c + 1])[0] for i in range(2) for c in range(3)]).view(2, 3).mean(1)
    torch.testing.assert_close(loss(p), apart)
