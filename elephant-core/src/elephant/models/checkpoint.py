"""Model files: a state dict, or a list of them for an ensemble, loaded without trusting the file."""

import os
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elephant.errors import ModelFileError, NotFoundError

StateDict = Mapping[str, Tensor]


def load_state_dicts(path: Path) -> list[StateDict]:
    """Read the state dicts of a model file, weights only, onto the CPU.

    Raises
    ------
    NotFoundError
        The file is not there.
    ModelFileError
        The file is damaged, or holds something else than state dicts.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise NotFoundError(f"there is no model file {path.name}: train or reset the model first") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise ModelFileError(
            f"{path.name} is no PyTorch model file, or is damaged ({_first_line(error)}): expected a state dict, or a "
            "list of them, saved with torch.save; choose another file or reset the model"
        ) from error
    members = content if isinstance(content, list) else [content]
    if not members or not all(_is_state_dict(member) for member in members):
        raise ModelFileError(
            f"{path.name} holds {type(content).__name__} but expected was a state dict, or a list of them: "
            "save model.state_dict() rather than the model or a training's checkpoint"
        )
    return members


def save_state_dicts(path: Path, members: Sequence[StateDict]) -> None:
    """Write a model file whole or not at all: beside its place first, then renamed into it.

    One member is stored as a state dict, several as a list of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = [{key: value.detach().cpu() for key, value in member.items()} for member in members]
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(plain[0] if len(plain) == 1 else plain, file)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a model is shared like any other file of its owner.
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def fill(network: nn.Module, weights: StateDict, name: str) -> None:
    """Put the weights into a network.

    Raises
    ------
    ModelFileError
        Names or shapes differ: the file holds a model of another architecture.
    """
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    if expected != found:
        wrong = sorted({key for key, _ in expected.items() ^ found.items()})
        raise ModelFileError(
            f"{name} holds another architecture than {type(network).__name__} in {_dimensions(network)}: "
            f"{len(wrong)} parameters differ, {wrong[0]} is {found.get(wrong[0], 'missing')} and should be "
            f"{expected.get(wrong[0], 'absent')}; choose a file for this kind of model and these dimensions"
        )
    network.load_state_dict(dict(weights))


def _dimensions(network: nn.Module) -> str:
    return f"{getattr(network, 'n_dims', '?')}D"


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, Tensor) for v in value.values())


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:120] if text else type(error).__name__


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
