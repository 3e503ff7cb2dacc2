"""Many requests of all kinds leave nothing behind that grows."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from stack.player import Player, blobs, export_body, filled, predict_body, reset_body, spot, train_body, update_body
from stack.running import RunningServer

pytestmark = pytest.mark.stack

N_REQUESTS = 350  # make soak uses the server for much longer
N_WARM_UP = 187  # more than ten trainings: the curves of the last ten are kept
MIB = 1 << 20


@pytest.fixture(scope="module")
def player(server: RunningServer) -> Player:
    return Player(server)


def measure(player: Player) -> dict[str, Any]:
    """Return what must not grow: memory, descriptors, connections, files, and keys of Redis."""
    processes = player.server.processes()
    ours = [p for p in processes if "elephant_server" in " ".join(p.cmdline())]
    ports = (player.server.redis_port, player.server.rabbitmq_port)
    connections = [c for p in ours for c in p.net_connections("tcp") if c.raddr and c.raddr.port in ports]
    keys = sum(player.server.redis(db).dbsize() for db in range(3))
    names = ("datasets", "models", "logs")
    files = {str(path) for name in names for path in (player.server.workspace / name).rglob("*") if path.is_file()}
    return {
        "memory": sum(p.memory_info().rss for p in ours) / MIB,
        "descriptors": sum(p.num_fds() for p in ours),
        "connections": len(connections),
        "files": files,
        "keys": keys,
    }


def bodies(centres: np.ndarray) -> list[tuple[str, dict[str, Any], int]]:
    """Return requests of all kinds, cheap ones, with the status of their answers."""
    name, spots = {"dataset_name": "endurance"}, [spot(0, centre) for centre in centres]
    labels = update_body("endurance", spots)
    model = {"model_name": "endurance.pth", "crop_size": [16, 16, 8], "n_epochs": 1, "n_crops": 1}
    train = train_body("endurance", spots, **model, log_dir=None)
    predict = predict_body("endurance", model_name="endurance.pth")
    masks = [{"t": 0, "pos": s["pos"], "covariance": s["covariance"], "value": 7} for s in spots]
    links = [{**s, "displacement": [1, 0, 0]} for s in spots]
    flow = {"model_name": "endurance-flow.pth", "timepoint": 1, "max_displacement": 5}
    displaced = filled("flow/predict", "endurance", spots=spots, **flow)
    return [
        ("flow/update", filled("flow/update", "endurance", spots=links, max_displacement=5), 200),
        ("flow/predict", displaced, 200),
        ("flow/predict", {**displaced, "timepoint": 0}, 200),
        ("flow/predict", {**displaced, "spots": []}, 200),
        ("dataset/check", {**name, "shape": [2, 8, 32, 32]}, 200),
        ("params", {"lr": 0.001, "n_crops": 5}, 200),
        ("state/process", {"state": 1}, 200),
        ("seg/update", labels, 200),
        ("seg/update", {**name, "reset": True}, 200),
        ("seg/predict", predict, 200),
        ("seg/predict", {**predict, "output_prediction": True, "timepoint": 1}, 200),
        ("seg/predict", {**predict, "timepoint": 9}, 400),
        ("seg/train", train, 200),
        ("seg/train", {**train, "spots": []}, 400),
        ("download/model", {"model_name": "endurance.pth"}, 200),
        ("download/ctc", export_body("endurance", masks, t_end=1), 200),
        ("seg/predict", {**predict, "dataset_name": "absent"}, 404),
    ]


def ask(player: Player, path: str, body: dict[str, Any], status: int) -> None:
    answer = player.post(path, body)
    assert answer.status_code == status, f"{path}: {answer.text[:300]}"
    assert requests.get(player.server.base_url + "state/gpus", timeout=60).status_code == 200


def test_many_requests_leave_nothing_that_grows(player: Player) -> None:
    image, centres = blobs((8, 32, 32), 4)
    assert player.make_dataset("endurance", np.stack([image, image])).json() == {"completed": True}
    reset = reset_body("endurance", model_name="endurance.pth", crop_size=[16, 16, 8])
    assert player.post("seg/reset", reset).json() == {"completed": True}
    asked, rng = bodies(centres), random.Random(0)
    for body in asked * (N_WARM_UP // len(asked)):
        ask(player, *body)
    before = measure(player)
    for _ in range(N_REQUESTS - N_WARM_UP - len(asked)):
        ask(player, *rng.choice(asked))
    # The same last requests as before: labels and predictions that are there are the same ones.
    for body in asked:
        ask(player, *body)
    after = measure(player)
    assert player.state() == 0
    assert len(after["files"]) == len(before["files"]), sorted(after["files"] ^ before["files"])
    assert after["keys"] <= before["keys"] + 1
    assert after["connections"] <= before["connections"] + 12, (before, after)
    assert after["descriptors"] <= before["descriptors"] + 24, (before, after)
    assert after["memory"] <= before["memory"] * 1.08 + 20, (before, after)
    assert not list(Path(player.server.workspace).rglob("*.tmp"))
