"""Model files: a state dict, or a list of them for an ensemble, loaded without trusting the file."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elephant.errors import ModelFileError, NotFoundError
from elephant.files import explained_storage, in_mib, replacing

StateDict = Mapping[str, Tensor]

LARGEST_BYTES = 1 << 30  # the published networks take 22 MB
MOST_MEMBERS = 32
_LARGEST_PICKLE = 16 << 20  # names and shapes; those of the published networks take 20 kB


def load_state_dicts(path: Path) -> list[StateDict]:
    """Read the state dicts of a model file, weights only, onto the CPU.

    Nothing in the file is run, and no more memory is taken than the file is long.

    Raises
    ------
    NotFoundError
        The file is not there.
    ModelFileError
        The file is damaged, too large, or holds something else than state dicts.
    """
    try:
        _check_size(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise NotFoundError(f"there is no model file {path.name}: train or reset the model first") from None
    except ModelFileError:
        raise
    except Exception as error:  # the file may be made to raise anything
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
    if len(members) > MOST_MEMBERS:  # a list may name the same weights again and again and take no room
        raise ModelFileError(
            f"{path.name} holds {len(members)} networks, but expected were at most {MOST_MEMBERS}: save fewer of them"
        )
    return members


def save_state_dicts(path: Path, members: Sequence[StateDict]) -> None:
    """Write a model file whole or not at all.

    One member is stored as a state dict, several as a list of them.

    Raises
    ------
    ModelFileError
        A weight is not a finite number.
    StorageError
        The file cannot be written: the old one stays.
    """
    plain = [{key: value.detach().cpu() for key, value in member.items()} for member in members]
    for member in plain:
        for key, value in member.items():
            if not is_finite(value):
                raise ModelFileError(
                    f"the new weights of {path.name} hold numbers that are none ({key}): the training went astray, and "
                    "the file keeps what it held before; train again with a smaller learning rate"
                )
    content = io.BytesIO()  # at once: how much room is needed is known, and errors of the disk come as they are
    torch.save(plain[0] if len(plain) == 1 else plain, content)
    with explained_storage(f"the model {path.name}", path.parent, content.tell()), replacing(path) as file:
        file.write(content.getbuffer())


def fill(network: nn.Module, weights: StateDict, name: str) -> None:
    """Put the weights into a network.

    Raises
    ------
    ModelFileError
        Names or shapes differ: the file holds a model of another architecture. Or the values are none that a network
        can have: not real, not dense, not finite.
    """
    state = network.state_dict()
    expected = {key: tuple(value.shape) for key, value in state.items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    if expected != found:
        wrong = sorted({key for key, _ in expected.items() ^ found.items()})
        raise ModelFileError(
            f"{name} holds another architecture than {type(network).__name__} in {_dimensions(network)}: "
            f"{len(wrong)} parameters differ, {_short(wrong[0])} is {found.get(wrong[0], 'missing')} and should be "
            f"{expected.get(wrong[0], 'absent')}; choose a file for this kind of model and these dimensions"
        )
    for key, value in weights.items():
        problem = _problem_of(value, state[key])
        if problem:
            raise ModelFileError(
                f"{name} cannot be used: expected were finite numbers of {state[key].dtype} or another real type, but "
                f"{key} {problem}; choose another file or reset the model, and train it with a smaller learning rate"
            )
    network.load_state_dict(dict(weights))


def _check_size(path: Path) -> None:
    """Refuse what would take more memory than it says: nothing of the file but its table of contents is read."""
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise ModelFileError(
            f"{path.name} has {in_mib(size)}, but expected was a model of at most {in_mib(LARGEST_BYTES)}: is it one?"
        )
    if not zipfile.is_zipfile(path):
        return  # as older versions of PyTorch wrote it: its reader compares what it claims with what is there
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    is_packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if is_packed or sum(entry.file_size for entry in entries) > size:
        raise ModelFileError(f"{path.name} is compressed, but expected was a file as torch.save writes it: save it so")
    if any(entry.file_size > _LARGEST_PICKLE for entry in entries if entry.filename.endswith("data.pkl")):
        raise ModelFileError(f"{path.name} has a table of weights that is too long: is it a model?")


def _problem_of(value: Tensor, expected: Tensor) -> str:
    """Say why values of the right shape cannot be weights; empty where they can."""
    if value.is_meta:
        return "has no values"
    if value.layout != torch.strided or value.is_quantized or value.is_nested:
        return "is sparse or packed"
    if value.is_floating_point() != expected.is_floating_point() or value.is_complex() or _is_tiny(value):
        return f"is of {value.dtype}"
    return "" if is_finite(value) else "holds some that are none (NaN or infinity)"


def is_finite(value: Tensor) -> bool:
    """Tell whether a tensor holds numbers alone."""
    if _is_tiny(value):
        value = value.float()  # few operations know such types
    if not value.is_floating_point():
        return True
    # What adds up to a number holds none that is not, and to add up is many times faster.
    return bool(torch.isfinite(value.sum())) or bool(torch.isfinite(value).all())


def _is_tiny(value: Tensor) -> bool:
    return value.is_floating_point() and value.dtype.itemsize < torch.float16.itemsize


def _dimensions(network: nn.Module) -> str:
    return f"{getattr(network, 'n_dims', '?')}D"


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(key, str) and isinstance(v, Tensor) for key, v in value.items())
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return _short(text.splitlines()[0]) if text else type(error).__name__


def _short(text: str) -> str:
    return text[:120]
