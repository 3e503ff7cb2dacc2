"""Model files that somebody made to do harm, or by mistake."""

import io
import os
import pickle
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
import torch

from elephant.errors import ModelFileError
from elephant.models import checkpoint
from elephant.models.checkpoint import load_state_dicts
from elephant.models.ensemble import load_ensemble
from elephant.models.unet import DetectionNet


class Payload:
    """Runs a command when it is unpickled by a reader that trusts it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return os.system, (f"touch {self.mark}",)


def state() -> dict[str, torch.Tensor]:
    return DetectionNet(2, 0).state_dict()


@pytest.mark.parametrize("form", ["zip", "old", "plain pickle", "in a list", "in a state dict"])
def test_a_payload_does_not_run(tmp_path: Path, form: str) -> None:
    mark, file = tmp_path / "it-ran", tmp_path / "x.pth"
    payload = Payload(mark)
    if form == "plain pickle":
        file.write_bytes(pickle.dumps(payload))
    else:
        content = {"in a list": [state(), payload], "in a state dict": {**state(), "x": payload}}.get(form, payload)
        torch.save(content, file, _use_new_zipfile_serialization=form != "old")
    with pytest.raises(ModelFileError, match="expected"):
        load_ensemble(file, DetectionNet, 2, 0)
    assert not mark.exists()


def test_a_packed_file_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bomb.pth"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in ("data.pkl", "data/0"):
            with bomb.open(f"archive/{name}", "w", force_zip64=True) as entry:
                for _ in range(64):
                    entry.write(bytes(1 << 20))
    assert file.stat().st_size < 1 << 20
    monkeypatch.setattr(torch, "load", None)  # not even begun
    with pytest.raises(ModelFileError, match="compressed"):
        load_state_dicts(file)


def test_a_table_of_contents_that_lies_is_refused(tmp_path: Path) -> None:
    """The same weights ten thousand times: a small file, and much memory for whoever believes it."""
    file, weights = tmp_path / "x.pth", state()
    torch.save([weights] * 10_000, file)
    with pytest.raises(ModelFileError, match=r"10000 networks.*at most 32"):
        load_ensemble(file, DetectionNet, 2, 0)


def test_more_than_a_model_can_have_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "large.pth"
    with file.open("wb") as sparse:
        sparse.truncate(checkpoint.LARGEST_BYTES + 1)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(ModelFileError, match=r"at most 1024 MiB"):
        load_state_dicts(file)


LOADED = """
    import resource, sys
    from pathlib import Path
    from elephant.errors import ModelFileError
    from elephant.models.ensemble import load_ensemble
    from elephant.models.unet import DetectionNet
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        load_ensemble(Path(sys.argv[1]), DetectionNet, 2, 0)
    except ModelFileError as error:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("claim", ["a view of one number", "a longer storage", "the old format's storage"])
def test_claims_of_huge_tensors_take_no_memory(tmp_path: Path, claim: str) -> None:
    file = tmp_path / "x.pth"
    if claim == "a view of one number":
        torch.save({**state(), "out_conv.bias": torch.zeros(1).expand(10**11)}, file)
    else:
        short, long = b"M" + (1000).to_bytes(2, "little"), b"J" + (2**31 - 1).to_bytes(4, "little")
        whole = io.BytesIO()
        torch.save({"a": torch.zeros(1000)}, whole, _use_new_zipfile_serialization=claim == "a longer storage")
        if claim == "a longer storage":
            changed = io.BytesIO()
            with zipfile.ZipFile(whole) as source, zipfile.ZipFile(changed, "w") as target:
                for entry in source.infolist():
                    target.writestr(entry.filename, source.read(entry).replace(short, long))
            whole = changed
        content = whole.getvalue()
        file.write_bytes(content if claim == "a longer storage" else content.replace(short, long))
    script = tmp_path / "loaded.py"
    script.write_text(textwrap.dedent(LOADED))
    done = subprocess.run([sys.executable, script, file], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) * 1024 < 200 << 20  # the claims are of 8 GB and more


WRONG = {
    "integers": lambda v: v.to(torch.int32),
    "complex": lambda v: v.to(torch.complex64),
    "meta": lambda v: v.to("meta"),
    "sparse": lambda v: v.to_sparse(),
    "NaN": lambda v: torch.full_like(v, float("nan")),
    "infinite": lambda v: torch.full_like(v, -float("inf")),
    "another shape": lambda v: v[:2],
    "booleans": lambda v: v > 0,
}


@pytest.mark.parametrize("kind", WRONG)
def test_values_that_are_no_weights(tmp_path: Path, kind: str) -> None:
    file, weights = tmp_path / "x.pth", state()
    weights["out_conv.bias"] = WRONG[kind](weights["out_conv.bias"])
    torch.save(weights, file)
    with pytest.raises(ModelFileError, match=r"(out_conv\.bias|damaged).*choose"):
        load_ensemble(file, DetectionNet, 2, 0)


def test_weights_of_another_precision_are_taken(tmp_path: Path) -> None:
    file, weights = tmp_path / "x.pth", state()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    torch.save(halves, file)
    (member,) = load_ensemble(file, DetectionNet, 2, 0).state_dicts()
    assert member["out_conv.bias"].dtype == torch.float32


@pytest.mark.parametrize(
    "content",
    [
        [],
        [[]],
        [{}],
        {1: torch.zeros(1)},
        {"a": [torch.zeros(1)]},
        [{"a": torch.zeros(1)}, 3],
        [{"a": torch.zeros(1)}, None],
        "text",
        None,
        torch.zeros(3),
        {"state_dict": {"a": torch.zeros(1)}, "epoch": 3},
    ],
)
def test_lists_of_wrong_things(tmp_path: Path, content: object) -> None:
    file = tmp_path / "x.pth"
    torch.save(content, file)
    with pytest.raises(ModelFileError, match="expected was a state dict"):
        load_ensemble(file, DetectionNet, 2, 0)


def test_a_network_and_another_one_are_no_ensemble(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    torch.save([state(), DetectionNet(3, 0).state_dict()], file)
    with pytest.raises(ModelFileError, match="another architecture"):
        load_ensemble(file, DetectionNet, 2, 0)


def test_weights_of_eight_bits_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    torch.save({key: value.to(torch.float8_e4m3fn) for key, value in state().items()}, file)
    with pytest.raises(ModelFileError, match=r"is of torch\.float8_e4m3fn"):
        load_ensemble(file, DetectionNet, 2, 0)


def test_any_damage_is_a_damaged_model_file(tmp_path: Path) -> None:
    """Bits that flip in the table of weights, where they confuse most, end in one kind of error or do no harm."""
    file, whole = tmp_path / "x.pth", io.BytesIO()
    torch.save({"a": torch.zeros(3), "b": torch.ones(2, 2)}, whole)
    start = whole.getvalue().index(b"data.pkl")
    refused = 0
    for position in range(start, start + 600, 3):
        content = bytearray(whole.getvalue())
        content[position] ^= 0x55
        file.write_bytes(content)
        try:
            load_state_dicts(file)
        except ModelFileError:
            refused += 1
    assert refused > 50
