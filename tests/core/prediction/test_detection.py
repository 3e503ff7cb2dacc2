import numpy as np
import pytest
import torch

from elephant.config import PredictionParams
from elephant.errors import Cancelled
from elephant.models.ensemble import Ensemble
from elephant.models.unet import DetectionNet
from elephant.prediction import predict_probabilities
from elephant.progress import NeverCancelled, NoReporter


class Recorder:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        self.seen.append((stage, done, total))


class CancelAfter:
    def __init__(self, checks: int) -> None:
        self.left = checks

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def model(n_dims: int, keep: int = 0) -> Ensemble:
    torch.manual_seed(1)
    return Ensemble([DetectionNet(n_dims, keep)]).eval()


def predict(net: Ensemble, image: np.ndarray, **params: object) -> np.ndarray:
    return predict_probabilities(net, image, PredictionParams(**params), NoReporter(), NeverCancelled())


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.usefixtures("float32")
def test_the_whole_volume_is_the_networks_own_answer() -> None:
    net, volume = model(3, 2), image(8, 48, 32)
    with torch.no_grad():
        expected = net(torch.from_numpy(volume)[None, None], True).exp()[0].numpy()
    found = predict(net, volume, n_keep_axials=2, is_pad=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-4)


@pytest.mark.parametrize("use_2d", [False, True])
def test_the_centres_alone_are_those_of_all_classes(use_2d: bool) -> None:
    net, volume = model(2 if use_2d else 3), image(8, 48, 40)
    params = PredictionParams(patch=(8, 32, 32), batch_size=3, is_pad=True, use_2d=use_2d)
    every = predict_probabilities(net, volume, params, NoReporter(), NeverCancelled())
    centres = predict_probabilities(net, volume, params, NoReporter(), NeverCancelled(), slice(2, None))
    assert centres.shape == (1, 8, 48, 40)
    np.testing.assert_array_equal(centres[0], every[2])


def test_tiles_give_probabilities_and_report_each() -> None:
    recorder = Recorder()
    params = PredictionParams(n_keep_axials=4, patch=(4, 32, 32), batch_size=2)
    found = predict_probabilities(model(3, 4), image(6, 48, 48), params, recorder, NeverCancelled())
    assert found.shape == (3, 6, 48, 48)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-4)
    n_tiles = recorder.seen[-1][2]
    assert recorder.seen[-1] == ("tile", n_tiles, n_tiles)
    assert len(recorder.seen) == -(-n_tiles // 2)


def test_a_2d_network_sees_a_volume_slice_by_slice() -> None:
    net, volume = model(2), image(5, 32, 48)
    found = predict(net, volume, use_2d=True, batch_size=3)
    for z in range(5):
        np.testing.assert_allclose(found[:, z], predict(net, volume[z]), atol=1e-4)


def test_an_ensemble_is_the_mean_of_its_members() -> None:
    members = [model(2), Ensemble([DetectionNet(2, 0)]).eval()]
    both = Ensemble([m.members[0] for m in members]).eval()
    x = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(both(x), (members[0](x) + members[1](x)) / 2)


@pytest.mark.parametrize("checks", [0, 1, 20])
def test_a_prediction_ends_within_a_tile(checks: int) -> None:
    net = model(3)
    with pytest.raises(Cancelled):
        predict_probabilities(net, image(16, 32, 32), PredictionParams(), NoReporter(), CancelAfter(checks))
    assert predict(net, image(16, 32, 32)).shape == (3, 16, 32, 32)
