"""Model files that are sent along and are none, or not one of this kind."""

import io
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import torch

from faults.cases import Case
from faults.ground import Ground
from faults.inputs.asking import Ask, refused

Content = Callable[[Ground], bytes]
NOT_ONE = "not a PyTorch model file"
# Where a command of a model file would leave a trace, whichever process ran it.
TRACE = Path(tempfile.mkdtemp(prefix="elephant-faults-")) / "was-here"


class Malicious:
    """What runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {TRACE}",))


def _saved(value: Any, **how: Any) -> Content:
    def content(_ground: Ground) -> bytes:
        file = io.BytesIO()
        torch.save(value, file, **how)
        return file.getvalue()

    return content


def _own(ground: Ground) -> bytes:
    return (ground.workspace / "models" / ground.volume.detection).read_bytes()


def _with(change: Callable[[dict[str, Any]], Any]) -> Content:
    """Save what a change makes of the weights of the volume's model."""

    def content(ground: Ground) -> bytes:
        return _saved(change(torch.load(io.BytesIO(_own(ground)), weights_only=True)))(ground)

    return content


def _zip(_ground: Ground) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "no model")
    return file.getvalue()


def _absurd(_ground: Ground) -> bytes:
    """A tensor that claims to hold more than any memory, on a storage of one value."""
    return _saved({"weight": torch.zeros(1).expand(1 << 40)})(_ground)


def _endless(_ground: Ground) -> bytes:
    """A key that takes 2^60 steps to be hashed: a tuple of two of the same tuple, and so on."""
    pairs = b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60))
    return _archive({"archive/data.pkl": b"\x80\x02}(K\x00q\x00" + pairs + b"K\x01u.", "archive/version": b"3\n"})


def _archive(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def _not_finite(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: v * float("nan") if v.is_floating_point() else v for name, v in weights.items()}


def sent(path: str, content: Content, *, flat: bool = False) -> Ask:
    """Send a reset with a model file."""

    def ask(ground: Ground) -> requests.Response:
        body = ground.bodies(ground.plane if flat else ground.volume)[path]
        answer = ground.send("POST", path, data={"data": json.dumps(body)}, files={"file": ("a.pth", content(ground))})
        assert not TRACE.exists(), "the model file was executed"
        return answer

    return ask


FILES: dict[str, tuple[Content, str]] = {
    "one that runs a command": (_saved({"a": Malicious()}), NOT_ONE),
    "a bare pickle that runs a command": (lambda _: pickle.dumps(Malicious()), NOT_ONE),
    "an old one that runs a command": (
        _saved([Malicious()], _use_new_zipfile_serialization=False),
        NOT_ONE,
    ),
    "one that takes forever to be unpickled": (_endless, "state dict"),
    "one with 20,000 entries": (lambda _: _archive({f"archive/{n}": b"" for n in range(20_000)}), "20,000 entries"),
    "one with something behind its end": (lambda ground: _own(ground) + bytes(14), "follows its end"),
    "a truncated one": (lambda ground: _own(ground)[:-1000], NOT_ONE),
    "the first half of one": (lambda ground: _own(ground)[: len(_own(ground)) // 2], NOT_ONE),
    "text": (lambda _: b"no model at all", NOT_ONE),
    "nothing": (lambda _: b"", NOT_ONE),
    "zeros": (lambda _: bytes(1 << 20), NOT_ONE),
    "a .zip of something else": (_zip, NOT_ONE),
    "a movie": (lambda ground: ground.volume.movie.file.read_bytes(), NOT_ONE),
    "a whole training": (_saved({"epoch": 3, "model": {"weight": torch.zeros(1)}}), "state dict"),
    "a tensor": (_saved(torch.zeros(3)), "state dict"),
    "a number": (_saved(7), "state dict"),
    "an empty list": (_saved([]), "state dict"),
    "an empty dict": (_saved({}), "state dict"),
    "numbers for names": (_saved({1: torch.zeros(1)}), "state dict"),
    "another architecture": (_saved({"weight": torch.zeros(3)}), "architecture"),
    "a tensor that claims to be huge": (_absurd, "architecture"),
    "a weight too many": (_with(lambda w: {**w, "more": torch.zeros(1)}), "architecture"),
    "a weight too few": (_with(lambda w: dict(list(w.items())[1:])), "architecture"),
    "complex weights": (_with(lambda w: {n: v.to(torch.complex64) for n, v in w.items()}), "complex"),
    "weights that are no numbers": (_with(_not_finite), "finite"),
    "an ensemble of two kinds": (_with(lambda w: [w, {"weight": torch.zeros(1)}]), "architecture"),
}
SHORT = ("one that runs a command", "one that takes forever to be unpickled", "a truncated one", "another architecture")

CASES: list[Case] = [
    *[
        refused(f"seg/reset: the model is {name}", sent("seg/reset", content), words, is_short=name in SHORT)
        for name, (content, words) in FILES.items()
    ],
    refused("flow/reset: the model is a detection model", sent("flow/reset", _own), "detection model", "flow model"),
    refused("flow/reset: the model runs a command", sent("flow/reset", _saved(Malicious())), NOT_ONE),
    refused(
        "seg/reset: the model is one of volumes (2D)",
        sent("seg/reset", _own, flat=True),
        "detection model for 3D",
        "2D",
    ),
]
