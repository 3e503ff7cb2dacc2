import hashlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from core.shipping import ship, uninstall
from elephant.errors import InvalidInputError, ModelFileError, NotFoundError
from elephant.io.download import DownloadRules
from elephant.models.checkpoint import load_state_dicts, save_state_dicts
from elephant.models.ensemble import Ensemble, ModelCache, Network, load_ensemble
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.unet import DetectionNet, FlowNet

CPU = torch.device("cpu")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "user" / "detection.pth"
    Ensemble([DetectionNet(2, 0)]).save(file)
    return file


def test_one_member_is_a_state_dict_and_several_are_a_list(path: Path) -> None:
    assert isinstance(torch.load(path, weights_only=True), dict)
    both = Ensemble([DetectionNet(2, 0), DetectionNet(2, 0)])
    both.save(path)
    assert len(torch.load(path, weights_only=True)) == 2
    again = load_ensemble(path, DetectionNet, 2, 0)
    for mine, theirs in zip(both.state_dicts(), again.state_dicts(), strict=True):
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_nothing_half_written_stays(path: Path) -> None:
    before = path.read_bytes()

    class Bad(dict):  # type: ignore[type-arg]
        def items(self) -> object:
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        save_state_dicts(path, [Bad()])
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_weights_that_are_not_finite_are_never_saved(path: Path) -> None:
    before = path.read_bytes()
    network = DetectionNet(2, 0)
    torch.nn.init.constant_(network.out_conv.bias, float("nan"))
    with pytest.raises(ModelFileError, match=r"out_conv\.bias.*smaller learning rate"):
        save_state_dicts(path, [network.state_dict()])
    assert path.read_bytes() == before


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    file = tmp_path / ("x" * 251 + ".pth")
    for _ in range(2):
        Ensemble([DetectionNet(2, 0)]).save(file)
    assert load_ensemble(file, DetectionNet, 2, 0)


READER = """
    import sys
    from pathlib import Path
    from elephant.models.checkpoint import load_state_dicts
    path, sums = Path(sys.argv[1]), set()
    while True:
        with path.open("rb") as file:  # as download/model does
            content = file.read()
        assert content.startswith(b"PK"), "the file is not whole"
        (member,) = load_state_dicts(path)
        values = {float(v.flatten()[0]) for v in member.values()}
        assert len(values) == 1, values
        sums |= values
        print(len(sums), flush=True)
"""


def test_a_reader_never_meets_half_a_file(path: Path, tmp_path: Path) -> None:
    def members(value: float) -> list[dict[str, torch.Tensor]]:
        return [{str(i): torch.full((150, 200), value) for i in range(8)}]

    save_state_dicts(path, members(0))
    script = tmp_path / "reader.py"
    script.write_text(textwrap.dedent(READER))
    reader = subprocess.Popen([sys.executable, script, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    assert reader.stderr is not None
    seen, value = 0, 0.0
    try:
        while seen < 15 and reader.poll() is None:
            seen = int(reader.stdout.readline() or 0)
            for _ in range(3):
                value += 1
                save_state_dicts(path, members(value))
        assert reader.poll() is None, reader.stderr.read()
    finally:
        reader.kill()
        reader.communicate()
    assert seen >= 15


TRACE = "was-executed"


class Evil:
    def __reduce__(self) -> object:
        return os.system, (f"touch {TRACE}",)


@pytest.mark.parametrize(
    "content", [b"", b"no model", b"PK\x03\x04 broken zip", [1, 2], {}, {"a": 1}, Evil(), {"weights": Evil()}]
)
def test_a_file_that_is_not_a_model_is_refused_and_runs_nothing(
    tmp_path: Path, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "x.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(ModelFileError, match="expected"):
        load_state_dicts(file)
    assert not Path(TRACE).exists()


def test_a_truncated_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match=r"detection\.pth"):
        load_state_dicts(path)


def test_another_architecture_is_refused(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(ModelFileError, match="has a different architecture from FlowNet in 3D"):
        load_ensemble(path, FlowNet, 3, 0)


@pytest.mark.parametrize(
    ("saved", "expected", "words"),
    [
        ((DetectionNet, 3), (FlowNet, 3), "a detection model for 3D; linking needs a flow model for 3D: choose"),
        ((FlowNet, 2), (DetectionNet, 3), "a flow model for 2D; finding nuclei needs a detection model for 3D: choose"),
        ((DetectionNet, 2), (DetectionNet, 3), "a detection model for 2D; expected a model for 3D: choose"),
        ((FlowNet, 3), (FlowNet, 2), "a flow model for 3D; expected a model for 2D: choose"),
    ],
)
def test_a_model_of_another_kind_is_named(
    tmp_path: Path, saved: tuple[Network, int], expected: tuple[Network, int], words: str
) -> None:
    path = tmp_path / "m.pth"
    torch.save(saved[0](saved[1], 0).state_dict(), path)
    with pytest.raises(ModelFileError, match=f"^m\\.pth is {words}"):
        load_ensemble(path, *expected, 0)


def test_a_missing_file_is_reported_as_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no\.pth"):
        load_state_dicts(tmp_path / "no.pth")


def test_the_cache_keeps_a_model_until_its_file_changes(path: Path) -> None:
    model_cache = ModelCache(CPU)
    first = model_cache.get(path, DetectionNet, 2, 0)
    assert model_cache.get(path, DetectionNet, 2, 0) is first
    assert not first.training
    Ensemble([DetectionNet(2, 0)]).save(path)
    second = model_cache.get(path, DetectionNet, 2, 0)
    assert second is not first
    model_cache.forget(path)
    assert model_cache.get(path, DetectionNet, 2, 0) is not second


def test_the_cache_keeps_the_last_few(path: Path) -> None:
    model_cache = ModelCache(CPU, n_kept=2)
    first = model_cache.get(path, DetectionNet, 2, 0)
    for keep in (1, 2):
        model_cache.get(path, DetectionNet, 2, keep)
    assert model_cache.get(path, DetectionNet, 2, 0) is not first


CONTENT = b"weights" * 1000


@pytest.fixture
def address() -> Iterator[str]:
    """A server of files, of which there is one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/models/versatile3d.pth"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(CONTENT) if found else 0))
            self.end_headers()
            if found:
                self.wfile.write(CONTENT)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/models/"
    server.shutdown()
    server.server_close()


def test_a_file_wins_over_an_address(tmp_path: Path) -> None:
    file = tmp_path / "sent.pth"
    source = ModelSource("Versatile", file)
    assert not source.is_pretrained
    with source.weights(Pretrained(tmp_path)) as weights:
        assert weights.path == file
    assert ModelSource().is_empty
    assert not ModelSource(file=file).is_empty


def test_the_pretrained_model_is_looked_for_in_its_folder(tmp_path: Path) -> None:
    pretrained = Pretrained(tmp_path / "pretrained")
    with pytest.raises(NotFoundError, match=r"models/pretrained/versatile2d\.pth"):
        pretrained.get("versatile2d.pth")
    pretrained.folder.mkdir()
    (pretrained.folder / "versatile3d.pth").touch()
    assert pretrained.get("versatile3d.pth") == pretrained.folder / "versatile3d.pth"


def test_nobody_is_told_to_install_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrained = Pretrained(tmp_path / "pretrained")
    ship(monkeypatch, tmp_path, DetectionNet, 3)
    with pytest.raises(NotFoundError) as without_flow:
        pretrained.get("Fluo-N3DH-CE_flow.pth")
    assert "install" not in str(without_flow.value)
    uninstall(monkeypatch)
    with pytest.raises(NotFoundError, match="install elephant-models"):
        pretrained.get("versatile3d.pth")


def test_a_pretrained_model_is_fetched_once_and_kept(
    tmp_path: Path, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    checksum = hashlib.sha256(CONTENT).hexdigest()
    pretrained = Pretrained(tmp_path / "pretrained", address, {"versatile3d.pth": checksum.upper()})
    assert pretrained.get("versatile3d.pth").read_bytes() == CONTENT
    assert checksum in caplog.text
    away = Pretrained(tmp_path / "pretrained", "http://127.0.0.1:1/")
    assert away.get("versatile3d.pth").read_bytes() == CONTENT
    assert [path.name for path in pretrained.folder.iterdir()] == ["versatile3d.pth"]


def test_a_file_with_another_checksum_is_not_kept(tmp_path: Path, address: str) -> None:
    pretrained = Pretrained(tmp_path / "pretrained", address, {"versatile3d.pth": "0" * 64})
    with pytest.raises(ModelFileError, match="SHA-256"):
        pretrained.get("versatile3d.pth")
    assert list(pretrained.folder.iterdir()) == []


def test_a_model_that_is_not_at_the_address_is_reported_as_missing(tmp_path: Path, address: str) -> None:
    pretrained = Pretrained(tmp_path / "pretrained", address)
    with pytest.raises(NotFoundError, match=r"versatile2d\.pth.*404.*models/pretrained"):
        pretrained.get("versatile2d.pth")
    assert list(pretrained.folder.iterdir()) == []


def test_a_file_fetched_from_an_address_is_removed_afterwards(tmp_path: Path, address: str) -> None:
    pretrained = Pretrained(tmp_path / "pretrained")
    pretrained = replace(pretrained, rules=DownloadRules(allow_private=True))
    with ModelSource(address + "versatile3d.pth").weights(pretrained) as weights:
        assert weights.path.read_bytes() == CONTENT
    assert list(pretrained.folder.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y.pth", "nonsense", ""])
def test_addresses_are_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInputError, match="http"), ModelSource(url).weights(Pretrained(tmp_path)):
        pass


def test_an_address_that_cannot_be_reached_leaves_nothing(tmp_path: Path) -> None:
    source = ModelSource("http://127.0.0.1:1/x.pth")
    pretrained = Pretrained(tmp_path, rules=DownloadRules(allow_private=True))
    with pytest.raises(NotFoundError, match="could not be fetched"), source.weights(pretrained):
        pass
    assert list(tmp_path.iterdir()) == []
