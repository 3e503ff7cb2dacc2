"""Every request of a client that has just been installed does what the protocol says.

A volume of 31 x 512 x 512 takes minutes on a few cores: requests about one are played here with another size of the
movie and what lies within it (`fresh_client.SMALL`), and byte for byte by ``make test-client``. Those about planes are
played byte for byte in any case, but for their ten epochs, which are two here. Each kind of server plays one of
the two, and ``make test-client`` all on both.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import elephant_models
from client.defaults import texts
from client.fresh_client import DETECTION, FLOW, N_TIMEPOINTS, SCENES, FreshClient
from client.kinds import ONE_PROCESS, STACK, leave_to
from client.wire import get, is_number, read
from stack.player import Ears, masks_of
from stack.running import RunningServer, wait_until

pytestmark = pytest.mark.stack

SLOW = [
    pytest.mark.skipif("ELEPHANT_TEST_CLIENT" not in os.environ, reason="takes minutes: make test-client"),
    pytest.mark.timeout(3600),
]
LONG_S = 3000
FALSE_LABELS = {5, 6}  # border and centre of a nucleus that was missed


def weights_of(network: elephant_models.ShippedNetwork) -> dict[str, torch.Tensor]:
    """Return the weights of a shipped network as a model has them."""
    return {key: value.float() for key, value in torch.load(network.path, weights_only=True).items()}


@pytest.fixture(
    scope="module", params=["small volumes", "planes", pytest.param("volumes", marks=SLOW)], ids=lambda name: name
)
def fresh(
    request: pytest.FixtureRequest, server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FreshClient]:
    """Give a client that has sent its movie and made the dataset."""
    leave_to(STACK if request.param == "planes" else ONE_PROCESS, server)
    client = FreshClient(server, SCENES[request.param], tmp_path_factory.mktemp("fresh"))
    client.begin()
    yield client
    client.play("state/process")
    wait_until(lambda: client.state() == 0, 60, "the server to be idle")
    client.clear()


def checks_of(client: FreshClient, ears: Ears) -> dict[str, Callable[[str], None]]:
    """Return by the name of each request what plays it and checks the answer."""
    checks = Checks(client, ears)
    return {
        "dataset/check": checks.checked,
        "dataset/generate": checks.generated,
        "state/process": checks.stopped,
        "params": checks.params,
        "seg/predict": checks.detected,
        "seg/predict around mouse": checks.detected,
        "seg/predict back track": checks.detected,
        "seg/train": checks.trained,
        "seg/train live": checks.trained_live,
        "seg/update": checks.labelled,
        "seg/update live": checks.labelled,
        "seg/update reset": checks.labels_cleared,
        "seg/reset": checks.reset_to_pretrained,
        "seg/reset default": checks.reset_to_intensities,
        "seg/reset url": checks.reset_to_address,
        "flow/predict": checks.linked,
        "flow/predict no spots": checks.linked,
        "flow/predict around mouse": checks.linked,
        "flow/predict back track": checks.linked,
        "flow/train": checks.flow_trained,
        "flow/update": checks.flow_labelled,
        "flow/update reset": checks.flow_labels_cleared,
        "flow/reset": checks.flow_reset_to_pretrained,
        "flow/reset default": checks.flow_reset,
        "download/model": checks.model_sent,
        "download/ctc": checks.masks_sent,
    }


@pytest.mark.parametrize("name", list(texts("3d")))
def test_each_request_does_what_the_protocol_says(fresh: FreshClient, ears: Ears, name: str) -> None:
    checks_of(fresh, ears)[name](name)
    assert fresh.state() == 0


def test_what_is_asked_without_a_body(fresh: FreshClient) -> None:
    url = fresh.server.base_url
    for device in read(get(url, "state/gpus")):
        assert [type(device[key]) for key in ("id", "name")] == [str, str]
        assert is_number(device["mem_total"])
        assert is_number(device["mem_used"])
    assert read(get(url, "state/process")) == {"success": True, "state": 0}
    assert set(read(get(url, "params"))) == {"success", "lr", "n_crops"}


class Checks:
    """Plays requests and checks what comes of them."""

    def __init__(self, client: FreshClient, ears: Ears) -> None:
        self.client = client
        self.ears = ears

    def completed(self, name: str, **changes: Any) -> dict[str, Any]:
        answer: dict[str, Any] = read(self.client.play(name, **changes))
        assert answer["completed"] is True
        return answer

    # The dataset and what runs

    def checked(self, name: str) -> None:
        assert read(self.client.play(name)) == {"message": "ready"}

    def generated(self, name: str) -> None:
        self.completed(name)
        progress = [{"t_max": N_TIMEPOINTS, "t_current": k + 1} for k in range(N_TIMEPOINTS)]
        self.ears.wait_for(lambda ears: ears.bodies("dataset") == progress)
        self.checked("dataset/check")

    def stopped(self, name: str) -> None:
        assert read(self.client.play(name)) == {"success": True, "state": 0}

    def params(self, name: str) -> None:
        assert read(self.client.play(name)) == {"success": True, "lr": 0.001, "n_crops": 5}

    # Detection

    def detected(self, name: str) -> None:
        sent = self.client.body(name)
        answer = self.completed(name)
        # An untrained model may find anything: with a threshold of 0 everything is one nucleus, an answer to be read.
        for spot in answer["spots"] + self.completed(name, p_thresh=0)["spots"]:
            assert type(spot["t"]) is int
            assert spot["t"] == sent["timepoint"]
            assert 0 <= spot["quality"] <= 1
            assert (len(spot["pos"]), len(spot["covariance"])) == (3, 9)
            assert all(is_number(value) for value in spot["pos"] + spot["covariance"])
            assert np.linalg.eigvalsh(np.reshape(spot["covariance"], (3, 3))).min() > 0
            self.lies_in_the_box(spot["pos"], sent)
        self.ears.wait_for(lambda ears: ears.bodies("log"))
        assert self.client.model(DETECTION).is_file()

    def lies_in_the_box(self, pos: list[float], sent: dict[str, Any]) -> None:
        x, y, z = self.client.scene.shape[::-1]
        box = sent.get("crop_box", [0, 0, 0, x, y, z])
        for axis in range(self.client.scene.n_dims):
            edge = sent["scales"][axis]
            assert box[axis] * edge <= pos[axis] <= (box[axis] + box[axis + 3]) * edge

    def trained(self, name: str) -> None:
        sent = self.client.body(name)
        self.completed(name)
        self.ears.wait_for(lambda ears: ears.bodies("update").count("Model updated") >= sent["n_epochs"])
        last = f"epoch {sent['n_epochs']}/{sent['n_epochs']}, step {sent['n_crops']}/{sent['n_crops']}"
        self.ears.wait_for(lambda ears: any(last in line["message"] for line in ears.bodies("log")))
        self.has_labels_at({9})
        assert list((self.client.server.workspace / "logs" / sent["log_dir"]).glob("events.out.tfevents.*"))

    def trained_live(self, name: str) -> None:
        session = self.client.later(name)
        wait_until(lambda: self.client.state() == 1, LONG_S, "the session")
        self.completed("seg/update live")
        self.ears.wait_for(lambda ears: "Model updated" in ears.bodies("update"), LONG_S)
        assert not session.done()
        assert read(get(self.client.server.base_url, "params")) == {"success": True, "lr": 0.001, "n_crops": 5}
        self.stopped("state/process")
        assert read(session.result(LONG_S))["completed"] is False

    def labelled(self, name: str) -> None:
        self.completed("seg/update reset")
        self.completed(name)
        self.has_labels_at({9})

    def labels_cleared(self, name: str) -> None:
        self.completed("seg/update")
        self.completed(name)
        self.has_labels_at(set())

    def has_labels_at(self, timepoints: set[int]) -> None:
        labels = self.client.array("seg_labels.zarr")
        assert {t for t in range(N_TIMEPOINTS) if labels[t].any()} == timepoints
        for t in timepoints:
            assert set(np.unique(labels[t])) - {0} == FALSE_LABELS

    def reset_to_pretrained(self, name: str) -> None:
        shipped = elephant_models.networks().get(f"detection{self.client.scene.n_dims}d")
        if shipped is None:
            refused = self.client.play(name)
            assert refused.status_code in (400, 404, 500)
            assert "versatile" in read(refused, refused.status_code)["error"]
        else:
            self.completed(name)
            self.has_weights(DETECTION, weights_of(shipped))
        expected = self.client.put_pretrained(f"versatile{self.client.scene.n_dims}d.pth")
        self.completed(name)
        self.has_weights(DETECTION, expected)

    def reset_to_intensities(self, name: str) -> None:
        before = self.client.put_pretrained(DETECTION)  # any file: what is there is replaced
        self.client.model(f"pretrained/{DETECTION}").replace(self.client.model(DETECTION))
        self.completed(name)
        after = self.client.weights(DETECTION)
        assert any(not torch.equal(after[key], value) for key, value in before.items())
        self.ears.wait_for(lambda ears: "Model updated" in ears.bodies("update"))
        self.ears.wait_for(lambda ears: any("epoch 3/3" in line["message"] for line in ears.bodies("log")))

    def reset_to_address(self, name: str) -> None:
        """No model can be had there: it says so, and the model is what it was."""
        self.completed("seg/reset default", n_crops=0)
        before = self.client.model(DETECTION).read_bytes()
        answer = self.client.play(name)
        error = read(answer, answer.status_code)
        assert answer.status_code >= 400 or error["completed"] is False
        assert "example.org" in error["error"]
        assert self.client.model(DETECTION).read_bytes() == before

    def has_weights(self, name: str, expected: dict[str, torch.Tensor]) -> None:
        found = self.client.weights(name)
        assert list(found) == list(expected)
        assert all(torch.equal(found[key], value) for key, value in expected.items())

    # Linking

    def linked(self, name: str) -> None:
        sent = self.client.body(name)
        found = self.completed(name)["spots"]
        assert [spot["id"] for spot in found] == [spot["id"] for spot in sent["spots"]]
        for was, spot in zip(found, sent["spots"], strict=True):
            assert type(was["id"]) is int
            assert len(was["pos"]) == 3
            assert all(is_number(value) for value in [*was["pos"], was["sqdisp"]])
            moved = np.subtract(was["pos"], spot["pos"])[: self.client.scene.n_dims]
            np.testing.assert_allclose(was["sqdisp"], (moved**2).sum(), atol=1e-6)

    def flow_trained(self, name: str) -> None:
        sent = self.client.body(name)
        self.completed(name)
        self.ears.wait_for(lambda ears: ears.bodies("update").count("Model updated") >= sent["n_epochs"])
        self.has_flow_labels(sent)
        assert list((self.client.server.workspace / "logs" / sent["log_dir"]).glob("events.out.tfevents.*"))

    def flow_labelled(self, name: str) -> None:
        self.completed("flow/update reset")
        self.completed(name)
        self.has_flow_labels(self.client.body(name))

    def flow_labels_cleared(self, name: str) -> None:
        self.completed("flow/update")
        self.completed(name)
        assert not self.client.array("flow_labels.zarr").any()

    def has_flow_labels(self, sent: dict[str, Any]) -> None:
        labels = self.client.array("flow_labels.zarr")
        (link,) = sent["spots"]
        assert {t for t in range(N_TIMEPOINTS - 1) if labels[t].any()} == {link["t"]}
        is_labelled = labels[link["t"]][-1] > 0
        keep = self.client.body("flow/train")["n_keep_axials"]
        norm = [sent["max_displacement"]] * 2 + [sent["max_displacement"] / 2**keep]
        for axis in range(self.client.scene.n_dims):
            expected = link["displacement"][axis] / sent["scales"][axis] / norm[axis]
            np.testing.assert_allclose(labels[link["t"]][axis][is_labelled], expected, rtol=1e-6)

    def flow_reset_to_pretrained(self, name: str) -> None:
        shipped = elephant_models.networks().get(f"flow{self.client.scene.n_dims}d")
        if shipped is not None:
            self.completed(name)
            self.has_weights(FLOW, weights_of(shipped))
            if self.client.scene.n_dims == 2:
                return
        elif self.client.scene.n_dims == 2:
            # There is none: it starts from random weights, and says so.
            self.completed(name)
            self.ears.wait_for(lambda ears: any(line["level"] == "WARNING" for line in ears.bodies("log")))
            return
        expected = self.client.put_pretrained("Fluo-N3DH-CE_flow.pth")
        self.completed(name)
        self.has_weights(FLOW, expected)

    def flow_reset(self, name: str) -> None:
        self.completed(name)
        first = self.client.weights(FLOW)
        self.completed(name)
        assert any(not torch.equal(first[key], value) for key, value in self.client.weights(FLOW).items())

    # Files

    def model_sent(self, name: str) -> None:
        self.completed("seg/reset default", n_crops=0)
        answer = self.client.play(name)
        assert answer.status_code == 200
        assert answer.content == self.client.model(DETECTION).read_bytes()
        absent = self.client.play(name, model_name="absent.pth")
        assert (absent.status_code, absent.content) == (204, b"")

    def masks_sent(self, name: str) -> None:
        answer = self.client.play(name)
        assert answer.status_code == 200
        masks = masks_of(answer.content)
        assert list(masks) == [f"mask{t:03d}.tif" for t in range(N_TIMEPOINTS)]
        shape = self.client.scene.shape[3 - self.client.scene.n_dims :]
        assert {(mask.shape, mask.dtype.name) for mask in masks.values()} == {(shape, "uint16")}
        (spot,) = self.client.body(name)["spots"]
        values = {key: set(np.unique(mask)) - {0} for key, mask in masks.items()}
        assert values == {f"mask{t:03d}.tif": {spot["value"]} if t == spot["t"] else set() for t in range(N_TIMEPOINTS)}


SHORT = {"n_epochs": 1, "n_crops": 1}
# Ends of ranges that can go wrong behind the schema, each in a request with all else as a fresh client sends it.
ENDS = [
    ("seg/train", {"batch_size": 0}, "at least 1"),
    ("seg/train", {"n_crops": 0}, "at least 1"),
    ("seg/train", {"class_weights": [0, 0, 0]}, "above 0"),
    ("flow/train", {"batch_size": 0}, "at least 1"),
    ("flow/train", {"n_crops": 0}, "at least 1"),
    ("flow/train", {"max_displacement": 0}, "got"),
    ("seg/predict", {"batch_size": 0}, "at least 1"),
    ("flow/predict", {"batch_size": 0}, "at least 1"),
    ("seg/train", {"n_epochs": 0}, ""),
    ("seg/train", {**SHORT, "batch_size": 1000}, ""),
    ("seg/train", {**SHORT, "crop_size": [1, 1, 1]}, ""),
    ("seg/train", {**SHORT, "crop_size": [9999, 9999, 9999]}, ""),
    ("seg/train", {**SHORT, "lr": 1e-6, "log_interval": 0, "cache_maxbytes": 0}, ""),
    ("seg/train", {**SHORT, "log_interval": 2147483647, "cache_maxbytes": 2251799812636672}, ""),
    ("seg/train", {**SHORT, "auto_bg_thresh": 1, "c_ratio": 1, "false_weight": 0, "class_weights": [0, 100, 0]}, ""),
    ("seg/train", {**SHORT, "aug_contrast": 1, "aug_rotation_angle": 180, "aug_scale_factor_base": 0.999999}, ""),
    ("seg/predict", {"p_thresh": 1, "r_min": 0, "r_max": 100}, ""),
    ("seg/predict", {"p_thresh": 0, "r_max": 100, "c_ratio": 1}, ""),
    ("seg/predict", {"patch": [9999, 9999, 9999], "batch_size": 1000}, ""),
    ("flow/train", {"n_epochs": 0, "dim_weights": [0, 0, 0]}, ""),
    ("flow/train", {**SHORT, "dim_weights": [0, 0, 0], "max_displacement": 1000, "batch_size": 1000}, ""),
    ("flow/train", {**SHORT, "aug_rotation_angle": 180, "aug_scale_factor_base": 0.999999, "cache_maxbytes": 0}, ""),
    ("flow/predict", {"max_displacement": 1000}, ""),
    ("seg/reset default", {"n_crops": 0}, ""),
    ("seg/reset default", {"n_crops": 1, "crop_size": [1, 1, 1], "cache_maxbytes": 0}, ""),
]


@pytest.mark.parametrize("fresh", ["small volumes"], indirect=True)
@pytest.mark.parametrize(("name", "changes", "refusal"), ENDS)
def test_ends_of_ranges(fresh: FreshClient, name: str, changes: dict[str, Any], refusal: str) -> None:
    answer = fresh.play(name, **changes)
    if refusal:
        assert refusal in read(answer, 400)["error"]
        assert refusal in answer.reason
    else:
        assert read(answer)["completed"] is True


@pytest.mark.parametrize("fresh", ["small volumes"], indirect=True)
def test_no_epochs_write_labels_and_make_the_model(fresh: FreshClient, ears: Ears) -> None:
    checks = Checks(fresh, ears)
    checks.completed("seg/update reset")
    checks.completed("flow/update reset")
    for name in (DETECTION, FLOW):
        fresh.model(name).unlink(missing_ok=True)
    checks.completed("seg/train", n_epochs=0)
    checks.completed("flow/train", n_epochs=0)
    checks.has_labels_at({9})
    checks.has_flow_labels(fresh.body("flow/train"))
    assert fresh.model(DETECTION).is_file()
    assert fresh.model(FLOW).is_file()


@pytest.mark.parametrize("fresh", ["small volumes"], indirect=True)
def test_a_live_session_has_no_end_whatever_the_epochs_and_hears_old_clients(fresh: FreshClient, ears: Ears) -> None:
    session = fresh.later("seg/train live", n_epochs=0, n_crops=1)
    wait_until(lambda: fresh.state() == 1, 60, "the session")
    old = {key: value for key, value in fresh.body("seg/update").items() if key != "is_livemode"}
    for _ in range(2):
        ears.heard.clear()
        assert read(fresh.post("update/seg", old)) == {"completed": True}
        ears.wait_for(lambda heard: "Model updated" in heard.bodies("update"), 60)
    ears.heard.clear()
    Checks(fresh, ears).completed("seg/update")  # a newer client that says that it is none of the session
    assert not session.done()
    Checks(fresh, ears).stopped("state/process")
    assert read(session.result(60))["completed"] is False
    assert "Model updated" not in ears.bodies("update")
