"""A live session on the real stack, from its start to its abort."""

import numpy as np
import pytest
import requests

from stack.player import Ears, Player, blobs, reset_body, spot, train_body, update_body
from stack.running import RunningServer

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def player(server: RunningServer) -> Player:
    return Player(server)


def test_a_live_session(player: Player) -> None:
    image, centres = blobs((8, 40, 40), 6)
    assert player.make_dataset("live", np.stack([image] * 3)).json() == {"completed": True}
    assert player.post("seg/reset", reset_body("live", model_name="live.pth")).json() == {"completed": True}
    body = train_body("live", [], model_name="live.pth", is_livemode=True, n_crops=2, crop_size=[32, 32, 8])
    with Ears(player.server) as ears:
        session = player.later("seg/train", body)
        player.wait_for_state(1)
        for t in (0, 1, 1, 0, 2):
            answer = player.post("seg/update", update_body("live", [spot(t, centres[0])], is_livemode=True))
            assert answer.json() == {"completed": True}
        ears.wait_for(lambda e: e.bodies("update").count("Model updated") >= 3, 60)
        assert requests.post(player.server.base_url + "params", json={"lr": 0, "n_crops": 3}, timeout=60).json() == {
            "success": True,
            "lr": 0.0,
            "n_crops": 3,
        }
        player.wait_for_state(1)
        ears.heard.clear()
        update = update_body("live", [spot(2, centres[1])])
        del update["is_livemode"]  # clients up to 0.3 do not send it
        player.post("seg/update", update)
        ears.wait_for(lambda e: any("step 3/3" in m["message"] for m in e.bodies("log")), 60)
        ears.wait_for(lambda e: "Model updated" in e.bodies("update"), 60)
    assert not session.done()
    assert player.state() == 1
    player.abort()
    assert session.result(60).json() == {"completed": False}
    assert player.state() == 0
