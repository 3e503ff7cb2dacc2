"""Several machines are one server: work is spread, the loss of one leaves the others at work, results are right."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pika
import psutil
import pytest
import redis
import requests

from elephant_server.auth.tokens import password_of
from elephant_server.settings import Settings
from stack.cluster import ADDRESS, Cluster, running_cluster
from stack.player import Player, blobs, export_body, masks_of, predict_body, spot, train_body, update_body
from stack.running import RunningServer, wait_until

pytestmark = pytest.mark.stack

N_TIMEPOINTS = 6
SHAPE = (16, 64, 64)
# So low that an untrained network finds something to compare.
LOW = {"p_thresh": 0.05, "r_min": 0.1}
NAMES = ("one", "two")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), NAMES) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def centres(cluster: Cluster) -> np.ndarray:
    """Make a movie, train a model a little, and return the centres of its nuclei at timepoint 0."""
    player = Player(cluster.head)
    found = [blobs(SHAPE, 6, seed) for seed in range(N_TIMEPOINTS)]
    assert player.make_dataset("movie", np.stack([image for image, _ in found])).status_code == 200
    spots = [spot(0, centre) for centre in found[0][1]]
    answer = player.post("seg/train", train_body("movie", spots, n_epochs=3))
    assert answer.json() == {"completed": True}
    return found[0][1]


@pytest.fixture
def player(cluster: Cluster, centres: np.ndarray) -> Player:
    return Player(cluster.head)


def times_answered(machine: RunningServer) -> int:
    return (machine.service_logs / "answering.log").read_text().count("Prediction: timepoint")


def predict_all(player: Player, timepoints: list[int]) -> list[requests.Response]:
    with ThreadPoolExecutor(len(timepoints)) as pool:
        return list(
            pool.map(lambda t: player.post("seg/predict", predict_body("movie", timepoint=t, **LOW)), timepoints)
        )


def answered_by_all(player: Player, machines: Sequence[RunningServer]) -> None:
    """Ask for predictions until each machine has answered one: a quick one may take all that are asked at once."""
    counts = [times_answered(machine) for machine in machines]

    def all_have_answered() -> bool:
        assert all(answer.json()["completed"] for answer in predict_all(player, [*range(N_TIMEPOINTS)]))
        return all(times_answered(m) > count for m, count in zip(machines, counts, strict=True))

    wait_until(all_have_answered, 60, "all machines to take jobs")


def test_each_machine_runs_its_part(cluster: Cluster) -> None:
    head, one = cluster.head, cluster.machines[0]
    assert f"Serving on http://localhost:{head.http_port}/ - press Ctrl-C to stop" in head.output()
    assert [bool(head.pid(name)) for name in ("redis", "rabbitmq", "uwsgi", "training")] == [True, True, True, False]
    assert [bool(one.pid(name)) for name in ("redis", "rabbitmq", "uwsgi", "training")] == [False, False, False, True]
    assert "Running workers as one - press Ctrl-C to stop" in one.output()
    assert not one.listening()


def test_all_machines_are_healthy(cluster: Cluster) -> None:
    for server in (cluster.head, *cluster.machines):
        assert server.ask("--health")


def test_the_devices_of_all_machines_are_listed(cluster: Cluster) -> None:
    found = requests.get(cluster.head.base_url + "state/gpus", timeout=60).json()
    assert sorted(device["id"].split()[0] for device in found) == sorted(NAMES)
    assert len({device["id"] for device in found}) == len(NAMES)
    assert all(device["mem_total"] > 0 for device in found)


def test_redis_and_rabbitmq_want_passwords(cluster: Cluster) -> None:
    head = cluster.head
    for address in ("127.0.0.1", ADDRESS):
        with redis.Redis(address, head.redis_port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
    assert head.rabbitmq_password != "user"
    secrets = [head.rabbitmq_password, (head.workspace / ".run" / "redis.password").read_text().strip()]
    command_lines = [" ".join(process.cmdline()) for process in head.processes()]
    assert not [line for line in command_lines for secret in secrets if secret in line]
    assert {address for address, _ in head.listening()} <= {"127.0.0.1", "::1", ADDRESS}
    assert password_of(Settings(workspace=head.workspace, roles="workers")) == head.rabbitmq_password


def test_predictions_are_spread_and_right(cluster: Cluster, player: Player) -> None:
    timepoints = [*range(N_TIMEPOINTS)] * 2
    before = sum(times_answered(machine) for machine in cluster.machines)
    answers = predict_all(player, timepoints)
    assert [answer.json()["completed"] for answer in answers] == [True] * len(timepoints)
    assert sum(times_answered(machine) for machine in cluster.machines) - before == len(timepoints)
    answered_by_all(player, cluster.machines)
    # Whoever answers, the answer to a timepoint is the same.
    spots = [answer.json()["spots"] for answer in answers]
    assert any(spots)
    for first, second in zip(spots[:N_TIMEPOINTS], spots[N_TIMEPOINTS:], strict=True):
        assert [s["t"] for s in first] == [s["t"] for s in second]
        assert np.allclose([s["pos"] for s in first], [s["pos"] for s in second], atol=1e-3)
    assert player.state() == 0
    assert heard(cluster.head, "prediction") == "Prediction updated"


def heard(server: RunningServer, queue: str) -> str:
    """Return the first message that waits for a client, put there by a worker of another machine."""
    credentials = pika.PlainCredentials("user", server.rabbitmq_password)
    parameters = pika.ConnectionParameters("127.0.0.1", server.rabbitmq_port, credentials=credentials)
    with pika.BlockingConnection(parameters) as connection:
        *_, body = connection.channel().basic_get(queue, auto_ack=True)
    return (body or b"").decode()


def test_predictions_hold_a_training_of_another_machine(player: Player, centres: np.ndarray) -> None:
    spots = [spot(0, centre) for centre in centres]
    training = player.later("seg/train", train_body("movie", spots, n_epochs=10_000, model_name="long.pth"))
    player.wait_for_state(1)
    refused = player.post("seg/train", train_body("movie", spots))
    assert refused.status_code == 500
    assert "running" in refused.json()["error"]
    assert all(answer.json()["completed"] for answer in predict_all(player, [0, 1, 2, 3]))
    player.wait_for_state(1)
    player.abort()
    assert training.result(60).json() == {"completed": False}
    player.wait_for_state(0)


def test_an_abort_ends_what_all_machines_are_at(cluster: Cluster, player: Player) -> None:
    slow = predict_body("movie", input_size=[512, 512, 64], **LOW)
    asked = [player.later("seg/predict", {**slow, "r_max": 60 + i}) for i in range(5)]
    at_work = ["queued"] * (len(asked) - len(NAMES)) + ["running"] * len(NAMES)
    # An abort ends what has arrived.
    wait_until(lambda: sorted(player.phases()) == at_work, 60, "all machines to be at work, and the other jobs to wait")
    player.abort()
    assert [future.result(60).json()["completed"] for future in asked] == [False] * len(asked)
    player.wait_for_state(0)


def test_label_updates_of_a_live_session(cluster: Cluster, player: Player, centres: np.ndarray) -> None:
    live = player.later("seg/train", train_body("movie", [], is_livemode=True, model_name="live.pth", n_crops=1))
    player.wait_for_state(1)
    model = cluster.head.workspace / "models" / "live.pth"
    wait_until(model.exists, 60, "the model to be made")
    for t in range(3):  # each on whichever machine takes it
        before = model.stat().st_mtime_ns
        labels = update_body("movie", [spot(t, centre) for centre in centres], is_livemode=True)
        assert player.post("seg/update", labels).json() == {"completed": True}
        wait_until(lambda before=before: model.stat().st_mtime_ns != before, 60, "an epoch")  # type: ignore[misc]
    player.abort()
    assert live.result(60).json() == {"completed": False}


def test_masks_come_from_another_machine(player: Player, centres: np.ndarray) -> None:
    spots = [{k: v for k, v in spot(0, c).items() if k in ("t", "pos", "covariance")} | {"value": 7} for c in centres]
    masks = masks_of(player.post("download/ctc", export_body("movie", spots, t_end=3)).content)
    assert sorted(masks) == [f"mask{t:03d}.tif" for t in range(4)]
    assert set(np.unique(masks["mask000.tif"])) == {0, 7}


def test_redis_is_started_again_and_all_machines_find_it(cluster: Cluster, player: Player) -> None:
    before = cluster.head.pid("redis")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: cluster.head.pid("redis") not in (0, before), 60, "Redis to be started again")
    wait_until(lambda: _machines(cluster.head) == set(NAMES), 60, "the machines to be listed again")
    answered_by_all(player, cluster.machines)


def test_the_loss_of_a_machine_leaves_the_others_at_work(cluster: Cluster, player: Player) -> None:
    lost, *others = reversed(cluster.machines)
    # Small tiles take seconds, so that each machine is still at its prediction.
    slow = predict_body("movie", timepoint=0, batch_size=1, patch=[32, 32, 16], **LOW)
    asked = [player.later("seg/predict", {**slow, "r_max": 70 + i}) for i in range(4)]
    wait_until(lambda: player.phases().count("running") == len(NAMES), 60, "each machine to begin a prediction")
    # The whole machine at once, launcher and all.
    for process in [psutil.Process(lost.process.pid), *lost.processes()]:
        os.kill(process.pid, signal.SIGKILL)
    answers = [future.result(120) for future in asked]
    failed = [answer for answer in answers if answer.status_code != 200]
    assert len(failed) == 1, "what the machine was at is lost, and nothing else"
    assert all("try once more" in answer.json()["error"] for answer in failed)
    answered_by_all(player, others)
    player.wait_for_state(0)
    wait_until(lambda: _machines(cluster.head) == {*NAMES[:-1]}, 60, "the machine to be listed no more")
    with pytest.raises(subprocess.CalledProcessError):
        lost.ask("--health")


def _machines(server: RunningServer) -> set[str]:
    found = requests.get(server.base_url + "state/gpus", timeout=60).json()
    return {device["id"].split()[0] for device in found}
