"""The released client plays whole stories: what a user does with it from the first movie to the export."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from client.kinds import ONE_PROCESS, STACK, played_on
from client.movies import ANY_SIZE_Z, Drawn, distances
from client.released import OLD_PATHS, ReleasedClient
from client.wire import get, is_number, java_double, read, written
from elephant.dataset import Dataset
from stack.player import CHUNK, Ears, masks_of
from stack.running import wait_until
from thorough import PLAYS_ALL

pytestmark = pytest.mark.stack

Start = Callable[..., ReleasedClient]
NEAR = 2.5  # physical: closer than that, a spot is the nucleus


def test_numbers_are_written_as_java_writes_them() -> None:
    written_as = {1.0: "1", 0.4: "0.4", 1e-5: "1.0E-5", 2.5e-4: "2.5E-4", 0.001: "0.001", 1e7: "1.0E7", -3.0: "-3"}
    assert {value: java_double(value) for value in written_as} == written_as
    body = {"a": [5.0, 1e-5], "b": {"c": None, "d": True}, "e": "ü", "f": 7}
    assert written(body) == '{"a":[5,1.0E-5],"b":{"c":null,"d":true},"e":"\\u00fc","f":7}'


@pytest.mark.parametrize(("kind", "n_chunks"), [("volume", 2), ("plane", 1)])
def test_first_use(start: Start, ears: Ears, kind: str, n_chunks: int) -> None:
    """A movie is sent, and becomes a dataset; one is longer than a chunk, one is padded with zeros."""
    client = start(kind, f"first/{kind}")
    if n_chunks > 1 and client.movie.file.stat().st_size < CHUNK:
        client.movie.lengthen(CHUNK)
    assert client.check() not in ("", "ready")
    without = client.generate()
    assert (without.status_code, without.content) == (204, b"")
    assert client.upload() == [200] * (n_chunks + 1)
    assert client.check() != "ready"
    assert client.generate().status_code == 200
    assert client.check() == "ready"
    n = client.movie.n_timepoints
    ears.wait_for(lambda e: len(e.heard["dataset"]) == n)
    assert ears.bodies("dataset") == [{"t_max": n, "t_current": k} for k in range(1, n + 1)]


def test_what_a_movie_is_taken_for_is_said(start: Start, ears: Ears) -> None:
    """The client asks for a movie as it knows it; what is chosen, filled in or not there, a person reads in its log."""
    client = start("volume", "stories/sources")
    folder = client.server.workspace / "datasets" / client.dataset
    folder.mkdir(parents=True)
    (folder / "movie.klb").touch()
    assert client.generate().status_code == 204
    ears.wait_for(lambda e: "got movie.klb" in e.said("WARNING"))
    (folder / "other.h5").write_bytes(b"\x89PNG" * 99)
    refused = client.generate()
    assert "expected other.h5 to be an HDF5 file of BigDataViewer, got a PNG" in read(refused, 400)["error"]
    with h5py.File(folder / "movie.H5", "w") as file:
        for t, setup in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1)):
            file[f"t{t:05d}/s{setup:02d}/0/cells"] = np.full((1, 4, 4), 10 * setup + t + 1, np.int16)
    assert client.generate().status_code == 200
    ears.wait_for(lambda e: "movie.H5 has 2 sources, and source 0 is used" in e.said("WARNING"))
    body = {**client.generate_body(), "setup": 1}
    assert "none at timepoint 1" in read(client.send("dataset/generate", body), 400)["error"]
    refused = client.send("dataset/generate", {**body, "setup": 7})
    assert "got 7: it has 0, 1" in read(refused, 400)["error"]
    read(client.send("dataset/generate", {**body, "fill_gaps": True}))
    ears.wait_for(lambda e: "timepoint 1 of the dataset is blank" in e.said("WARNING"))
    assert Dataset(folder).read_image(2).max() == 13
    assert Dataset(folder).read_image(1).max() == 0
    assert read(client.send("dataset/check", {"dataset_name": client.dataset}))["message"] == "ready"


def corrected(client: ReleasedClient, t: int, found: list[Drawn]) -> list[Drawn]:
    """Return what a person makes of a detection: good ones, wrong ones, and those that were missed."""
    true = client.movie.drawn(t)
    apart = distances(found, true)
    good = apart.min(axis=1, initial=np.inf) < NEAR
    missed = apart.min(axis=0, initial=np.inf) >= NEAR
    tagged = [
        *client.annotated(t, [spot for spot, ok in zip(found, good, strict=True) if ok], "tp"),
        *client.annotated(t, [spot for spot, ok in zip(found, good, strict=True) if not ok], "fp"),
        *client.annotated(t, [spot for spot, gone in zip(true, missed, strict=True) if gone], "fn"),
    ]
    return [{**spot, "id": i} for i, spot in enumerate(tagged)]


def test_annotate_train_predict_correct_and_train_again(client: ReleasedClient, ears: Ears) -> None:
    read(client.reset_detection())
    first = client.annotated(0, client.movie.drawn(0))
    assert client.label(first)
    assert client.train(first, n_epochs=3, n_crops=5, auto_bg_thresh=0.1)
    ears.wait_for(lambda e: e.bodies("update").count("Model updated") >= 3)
    # A low threshold, as in a first round: there is something to correct.
    found = client.detect(1, p_thresh=0.3)
    again = corrected(client, 1, found)
    assert client.label([*again, *client.annotated(1, client.movie.drawn(1)[:1], "unlabeled")])
    augmentation = {"aug_scale_factor_base": 0.2, "aug_rotation_angle": 180, "aug_contrast": 0.5}
    assert client.train([*first, *again], n_epochs=2, n_crops=2, timepoint=1, **augmentation)
    ears.wait_for(lambda e: e.bodies("update").count("Model updated") >= 5)
    # So short a training may find nothing yet. Without a threshold all is one nucleus: an answer to be read has spots.
    client.detect(2)
    assert client.detect(2, p_thresh=0.0)
    assert client.state() == 0
    assert any("Training: epoch 2/2" in entry["message"] for entry in ears.bodies("log"))
    assert client.clear_labels()


def test_a_correction_of_every_kind(client: ReleasedClient) -> None:
    """Every tag is taken, each with the weights of false annotations where it is one."""
    spots = [
        {**client.annotated(2, [drawn], tag)[0], "id": i}
        for i, (drawn, tag) in enumerate(
            zip(client.movie.drawn(2), ("tp", "fp", "tn", "fn", "tb", "fb", "unlabeled"), strict=False)
        )
    ]
    assert [spot["tag"] for spot in spots][-1] == "unlabeled"
    assert client.label(spots)
    assert client.train(spots, n_crops=1)
    nothing = client.act("seg/train", client.seg_train_body([]))
    assert "nothing to train" in read(nothing, 400)["error"]
    assert "nothing to train" in nothing.reason
    assert client.clear_labels()


def test_a_live_session(client: ReleasedClient, ears: Ears) -> None:
    read(client.reset_detection())
    body = client.seg_train_body([], is_livemode=True, n_crops=1)
    session = client.later("seg/train", body)
    wait_until(lambda: client.state() == 1, 60, "the session")
    for t in (0, 1, 1, 0, 2):
        spots = client.annotated(t, client.movie.drawn(t))
        assert client.label(spots, is_livemode=True)
    ears.wait_for(lambda e: e.bodies("update").count("Model updated") >= 3, 60)
    params = client.set_params(1e-5, 2)
    assert params == {"success": True, "lr": 1e-5, "n_crops": 2}
    assert type(params["n_crops"]) is int
    client.detect(2)
    refused = client.act("seg/train", client.seg_train_body(client.annotated(0, client.movie.drawn(0))))
    assert "a process is running" in read(refused, 500)["error"]
    ears.heard.clear()
    assert client.label(client.annotated(3, client.movie.drawn(3)), is_livemode=True)
    ears.wait_for(lambda e: "Model updated" in e.bodies("update"), 60)
    assert not session.done()
    assert client.set_state(0) == 0
    assert session.result(60) is False
    assert client.state() == 0


def test_linking_over_five_timepoints_backwards(client: ReleasedClient, ears: Ears) -> None:
    read(client.reset_flow())
    links = [link for t in (0, 1, 4) for link in client.movie.links(t)]
    assert len(links) > 15
    assert client.label_flow(links)
    assert client.train_flow(links, n_epochs=2)
    ears.wait_for(lambda e: e.bodies("update").count("Model updated") >= 2)
    spots = client.movie.drawn(5)
    for t in (5, 4, 3, 2, 1, 0):
        earlier = client.link(t, spots)
        moved = distances(spots, earlier).diagonal()
        assert ((moved > 0) == (t > 0)).all()
        assert client.link(t, []) == []
        # So little training leads some nuclei out of the movie, where they stay: then it goes on from the true ones.
        spots = earlier if all(map(client.movie.holds, earlier)) else client.movie.drawn(max(t - 1, 0))
    nothing = client.act("flow/update", client.flow_update_body([]))
    assert "nothing to update" in read(nothing, 400)["error"]
    assert client.clear_flow()


@pytest.mark.parametrize("which", ["near", "far"])
def test_back_tracking_one_cell_with_a_stale_box(client: ReleasedClient, which: str) -> None:
    """The box is that of the first timepoint of the track, wherever the cell has gone since."""
    spots = sorted(client.movie.drawn(5), key=lambda spot: spot["pos"][0])
    first, last = spots[0], spots[-1]
    z, y, x = client.movie.shape
    centre = np.divide(first["pos"][:2], client.movie.scales[:2]).astype(int)
    origin = np.clip(centre - 8, 0, [x - 16, y - 16]).tolist()
    depth = [0, z] if client.movie.is_3d else [ANY_SIZE_Z, ANY_SIZE_Z]
    box = [*origin, depth[0], 16, 16, depth[1]]
    cell = first if which == "near" else last
    assert (distances([cell], [first])[0, 0] > 16 * client.movie.scales[0]) == (which == "far")
    read(client.reset_flow())
    for t in (5, 4, 3, 2, 1, 0):
        answer = client.act("flow/predict", client.track_back_body(t, cell, box))
        assert answer.status_code == 200
        # The client reads this one, without a look at how many there are.
        was = read(answer)["spots"][0]
        assert was["id"] == cell["id"]
        # It moves where it lies outside of the box too, though not when it has been led out of the movie.
        assert is_number(was["sqdisp"])
        assert (was["sqdisp"] > 0) or t < 5
        assert (was["sqdisp"] == 0) or t > 0
        cell = {**cell, "pos": was["pos"]}
    assert isinstance(client.detect(5, crop_box=box), list)


def test_export(client: ReleasedClient, tmp_path: Path) -> None:
    """Masks of what was tracked, and the model as a file that is taken back."""
    assert client.train(client.annotated(0, client.movie.drawn(0)), n_crops=1)
    n, shape = client.movie.n_timepoints, client.movie.shape[0 if client.movie.is_3d else 1 :]
    marked = [
        {"t": t, "pos": spot["pos"], "covariance": spot["covariance"], "value": 1 + i}
        for t in (0, 1, 2, n - 1)
        for i, spot in enumerate(client.movie.drawn(t))
    ]
    answer = client.export(marked, 1, n - 1)
    assert answer.status_code == 200
    masks = masks_of(answer.content)
    # The range is what the user chose; tracks reach beyond it.
    assert list(masks) == [f"mask{t:03d}.tif" for t in range(n)]
    assert {(mask.shape, mask.dtype.name) for mask in masks.values()} == {(shape, "uint16")}
    values = [set(np.unique(mask)) - {0} for mask in masks.values()]
    wanted = [{spot["value"] for spot in marked if spot["t"] == t} for t in range(n)]
    assert values == wanted

    model = client.download_model(client.detection)
    assert model.status_code == 200
    file = tmp_path / "copy.pth"
    file.write_bytes(model.content)
    copy = replace(client, detection=f"{client.dataset}/copy.pth")
    assert read(copy.reset_detection("Versatile", file))["completed"] is True
    assert same_weights(copy.download_model(copy.detection).content, model.content)
    absent = client.download_model("absent/detection.pth")
    assert (absent.status_code, absent.content) == (204, b"")


def same_weights(first: bytes, second: bytes) -> bool:
    """Say whether two model files hold the same weights."""
    some, other = (torch.load(io.BytesIO(content), weights_only=True) for content in (first, second))
    return list(some) == list(other) and all(torch.equal(some[key], other[key]) for key in some)


@played_on(ONE_PROCESS)
@pytest.mark.parametrize("n_keep_axials", range(-1, 7) if PLAYS_ALL else (-1, 1, 3, 6))
def test_every_anisotropy(start: Start, n_keep_axials: int) -> None:
    """The same movie with voxels of 1/2 to 64 times as long along Z, and what the client derives from that.

    Four of them reach each network but that of 2, which the other stories have: -1 stands for 0, and 6 for 4.

    What differs from server to server, how requests and jobs travel, all other stories show.
    """
    client = anisotropic(start, n_keep_axials)
    read(client.reset_detection())
    assert client.train(client.annotated(0, client.movie.drawn(0)), n_crops=1)
    client.detect(1)
    assert client.label_flow(client.movie.links(0))
    if n_keep_axials % 2:
        assert client.train_flow(client.movie.links(0))
    assert len(client.link(1, client.movie.drawn(1))) == len(client.movie.drawn(1))


def anisotropic(start: Start, n_keep_axials: int) -> ReleasedClient:
    dataset = start("volume", "stories/anisotropic")
    if dataset.check() != "ready":
        assert set(dataset.upload()) == {200}
        assert dataset.generate().status_code == 200
    x, y, z = dataset.movie.scales
    anisotropy = 2.0**n_keep_axials
    client = start(
        "volume",
        "stories/anisotropic",
        scales=(x, y, anisotropy * x),
        stretch=anisotropy * x / z,
        n_keep_axials=n_keep_axials,
    )
    return replace(client, detection=f"aniso/{n_keep_axials}.pth", flow=f"aniso/flow{n_keep_axials}.pth")


@played_on(STACK)
def test_the_first_clients_ask_for_the_same_by_other_names(start: Start) -> None:
    client = replace(start("volume", "stories/first"), is_old=True)
    assert set(client.upload()) == {200}
    assert client.generate().status_code == 200
    nuclei = client.annotated(0, client.movie.drawn(0))
    read(client.reset_detection())
    assert client.label(nuclei)
    assert client.train(nuclei, n_crops=1)
    client.detect(1)
    read(client.reset_flow())
    assert client.label_flow(client.movie.links(0))
    assert client.train_flow(client.movie.links(0))
    assert client.link(1, client.movie.drawn(1))
    assert len(masks_of(client.export([], 0, 5).content)) == 6
    assert client.download_model(client.flow).content
    assert client.set_state(0) == client.state() == 0
    assert read(get(client.server.base_url, OLD_PATHS["state/gpus"]))
