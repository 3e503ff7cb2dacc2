"""Malicious and damaged model files."""

import io
import os
import pickle
import subprocess
import sys
import textwrap
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch

from elephant.errors import ModelFileError
from elephant.models import checkpoint
from elephant.models.checkpoint import load_state_dicts, save_state_dicts
from elephant.models.ensemble import load_ensemble
from elephant.models.files import LARGEST_TABLE, ModelTable, examine, read_table
from elephant.models.files.pickled import MOST_OPCODES
from elephant.models.files.zip_layout import MOST_ENTRIES
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


def test_a_false_table_of_contents_is_refused(tmp_path: Path) -> None:
    """The same weights ten thousand times: a small file that would take much memory."""
    file, weights = tmp_path / "x.pth", state()
    torch.save([weights] * 10_000, file)
    with pytest.raises(ModelFileError, match=r"10000 networks.*more than the 32"):
        load_ensemble(file, DetectionNet, 2, 0)


def test_more_than_a_model_can_have_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "large.pth"
    with file.open("wb") as sparse:
        sparse.truncate(checkpoint.LARGEST_BYTES + 1)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(ModelFileError, match=r"at most 1\.0 GiB"):
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


def test_weights_of_another_precision_are_accepted(tmp_path: Path) -> None:
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
    with pytest.raises(ModelFileError, match="expected a state dict"):
        load_ensemble(file, DetectionNet, 2, 0)


def test_a_network_and_another_one_are_no_ensemble(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    torch.save([state(), DetectionNet(3, 0).state_dict()], file)
    with pytest.raises(ModelFileError, match="a different architecture"):
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
        with file.open("rb") as opened:
            examine.trust(opened)  # a process for each would take half a minute
        try:
            load_state_dicts(file)
        except ModelFileError:
            refused += 1
    assert refused > 50


def nested(depth: int) -> bytes:
    """Return a pickle of a dict whose key takes 2^depth steps to be hashed: a tuple of two of the same, and so on."""
    pairs = b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(depth))
    return b"\x80\x02}(" + b"K\x00q\x00" + pairs + b"K\x01u."


def zipped(pickle_of: bytes, n_more: int = 0, how: int = zipfile.ZIP_STORED) -> bytes:
    """Return a model file with a pickle, and further entries with nothing in them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", how) as archive:
        archive.writestr("archive/data.pkl", pickle_of)
        archive.writestr("archive/version", "3\n")
        for n in range(n_more):
            archive.writestr(f"archive/data/{n}", b"")
    return content.getvalue()


READ = """
    import sys
    from pathlib import Path
    from elephant.errors import ModelFileError
    from elephant.models.checkpoint import load_state_dicts
    from elephant.models.inspect import inspect_model
    for file in map(Path, sys.argv[1:]):
        print(file.name, inspect_model(file))
        try:
            load_state_dicts(file)
        except ModelFileError as error:
            print(error)
"""


def test_a_pickle_that_never_ends_is_not_run(tmp_path: Path) -> None:
    new, old, script = tmp_path / "new.pth", tmp_path / "old.pth", tmp_path / "read.py"
    new.write_bytes(zipped(nested(60)))
    whole = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, whole, _use_new_zipfile_serialization=False)
    head = whole.getvalue().index(b"\x80\x02}", 60)  # behind the magic number, the version and the system
    old.write_bytes(whole.getvalue()[:head] + nested(60))
    assert max(new.stat().st_size, old.stat().st_size) < 1000
    script.write_text(textwrap.dedent(READ))
    done = subprocess.run([sys.executable, script, new, old], capture_output=True, text=True, check=True, timeout=100)
    for file in (new, old):
        assert f"{file.name} None\n{file.name} holds a dict whose keys are not strings, expected a state" in done.stdout


@pytest.mark.parametrize("tail", [bytes(14), b"PK\x05\x06" + bytes(18), b"PK\x05\x06" + bytes(10), b"\n"])
def test_what_follows_the_end_of_a_file_does_not_hide_what_is_in_it(tmp_path: Path, tail: bytes) -> None:
    """Readers look for the end in different places: where one sees little, another one unpacks gigabytes."""
    file = tmp_path / "x.pth"
    file.write_bytes(zipped(bytes(1 << 20), how=zipfile.ZIP_DEFLATED) + tail)
    with pytest.raises(ModelFileError, match=r"follows its end|no table of weights|broken"):
        load_state_dicts(file)


def test_more_entries_than_a_model_has_are_not_counted(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    file.write_bytes(zipped(b"", MOST_ENTRIES - 1))
    with pytest.raises(ModelFileError, match=r"16,385 entries"):
        load_state_dicts(file)


def test_a_table_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    file.write_bytes(zipped(b"\x80\x02" + b"N" * (MOST_OPCODES + 10) + b"."))
    with pytest.raises(ModelFileError, match=r"more than 500,000 parts"):
        load_state_dicts(file)
    file.write_bytes(zipped(b"\x80\x02X" + LARGEST_TABLE.to_bytes(4, "little") + bytes(LARGEST_TABLE) + b"."))
    with pytest.raises(ModelFileError, match="too long for a model"):
        load_state_dicts(file)


STATE = b"\x80\x02}X\x01\x00\x00\x00aN"  # a dict, a name, and a value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (STATE + b"ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
        (STATE + b"cbuiltins\nlist\n)R.", r"builtins\.list does not belong"),
        (STATE + b"ctorch._utils\n_rebuild_tensor_v2\n)R.", "does not belong in a state dict"),
        (STATE + b"\x8c\x01a.", "SHORT_BINUNICODE"),
        (STATE + b"h\x07.", "broken"),
        (STATE + b"t.", "broken"),
        (b"\x80\x02.", "broken"),
        (STATE + b"s", "broken|no end"),
        (b"\x80\x02]K\x00K\x01s.", "other than a dict"),
    ],
)
def test_only_what_a_state_dict_takes_is_read(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "x.pth"
    file.write_bytes(zipped(content))
    with pytest.raises(ModelFileError, match=rf"not a PyTorch model file.*{words}"):
        load_state_dicts(file)


def strange_but_right() -> dict[str, object]:
    """Return what state dicts may hold, besides the weights of our own networks."""
    base = torch.arange(24.0)
    return {
        "a view": base[4:16].view(3, 4).t(),
        "the same storage": base[:2],
        "a parameter": torch.nn.Parameter(torch.ones(2)),
        "a scalar": torch.tensor(3),
        "nothing": torch.zeros(0, 3),
        "halves": torch.ones(3).half(),
        "brains": torch.ones(3).bfloat16(),
        "truths": torch.tensor([True, False]),
        "complex": torch.tensor([1 + 2j]),
        "expanded": torch.ones(1).expand(5),
        "short": torch.tensor([1, 2], dtype=torch.uint16),
        "tiny": torch.ones(3).to(torch.float8_e5m2),
        "": torch.zeros(1),
    }


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("make", [dict, OrderedDict, lambda state: [state, state]])
def test_what_is_read_is_what_pytorch_reads(tmp_path: Path, is_new: bool, make: Callable[..., object]) -> None:
    file = tmp_path / "x.pth"
    weights = {
        name: value
        for name, value in strange_but_right().items()
        if is_new or name not in ("short", "tiny")  # types that the old format has not
    }
    torch.save(make(weights), file, _use_new_zipfile_serialization=is_new)
    expected = torch.load(file, weights_only=True)
    members = expected if isinstance(expected, list) else [expected]
    for found, member in zip(load_state_dicts(file), members, strict=True):
        assert list(found) == list(member)
        for name, value in member.items():
            assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
            assert torch.equal(found[name].to(torch.complex64), value.detach().to(torch.complex64)), name


def test_numbers_of_the_other_byte_order_are_swapped(tmp_path: Path) -> None:
    whole, file = io.BytesIO(), tmp_path / "x.pth"
    torch.save({"a": torch.tensor([1.5, -2.0])}, whole)
    other = "big" if sys.byteorder == "little" else "little"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(file, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data/0"):
                content = np.frombuffer(content, np.float32).byteswap().tobytes()
            target.writestr(name, other if name.endswith("byteorder") else content)
    (member,) = load_state_dicts(file)
    assert member["a"].tolist() == [1.5, -2.0]


LIMIT = "from elephant.models.files.examine import _limit"


@pytest.mark.parametrize(
    ("command", "limit", "words"),
    [
        ("import time; time.sleep(1000)", 0.5, "took longer than"),
        (
            "from elephant.models.files.examine import _limit; _limit(); bytearray(8 << 30)",
            60.0,
            "too much time or memory",
        ),
        (
            "from elephant.models.files.examine import _limit; _limit(1)\nwhile True: pass",
            100.0,
            "too much time or memory",
        ),
    ],
)
def test_reading_that_never_ends_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, limit: float, words: str
) -> None:
    """A stranger's file is read in a process with limits."""
    if "_limit" in command and sys.platform != "linux":
        pytest.skip("this system has no limits for a process")
    file = tmp_path / "x.pth"
    torch.save(state(), file)
    start = "import sys; sys.path.insert(0, sys.argv[1])\n"
    monkeypatch.setattr(examine, "_COMMAND", ("-I", "-S", "-c", start + command))
    monkeypatch.setattr(examine, "LONGEST_S", limit)
    with pytest.raises(ModelFileError, match=words):
        load_state_dicts(file)


def test_only_strange_files_are_read_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = tmp_path / "own.pth", tmp_path / "other.pth"
    save_state_dicts(own, [state()])
    torch.save(state(), other)
    load_state_dicts(other)
    monkeypatch.setattr(subprocess, "run", None)
    for file in (own, other):
        load_state_dicts(file)
    other.write_bytes(other.read_bytes())
    with pytest.raises(TypeError):  # it may be another one
        load_state_dicts(other)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.pth"
    torch.save(state(), file)

    def cut(opened: BinaryIO) -> ModelTable:
        table = read_table(opened)
        os.truncate(file, 1000)
        return table

    monkeypatch.setattr(checkpoint, "examined", cut)
    with pytest.raises(ModelFileError, match="truncated"):
        load_state_dicts(file)
