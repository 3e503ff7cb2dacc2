"""Model files: a state dict, or a list of them for an ensemble, loaded without trusting the file."""

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from elephant.errors import ModelFileError, NotFoundError
from elephant.io.atomic import explained_storage, replacing
from elephant.models.files import DamagedTableError, ModelTable, NotWeightsError
from elephant.models.files.examine import examined, trust
from elephant.words import in_bytes

StateDict = Mapping[str, Tensor]

LARGEST_BYTES = 1 << 30  # the published networks take 22 MB


def load_state_dicts(path: Path) -> list[StateDict]:
    """Read the state dicts of a model file, weights only, onto the CPU.

    Nothing in the file is run or unpickled. Its table of weights is read in a process with limits, unless this process
    wrote the file or read it before; what is read here are plain numbers, no more than the file holds.

    Raises
    ------
    NotFoundError
        The file does not exist.
    ModelFileError
        The file is damaged, too large, or contains something other than state dicts.
    """
    try:
        _check_size(path)
        with path.open("rb") as file:
            table = examined(file)
            return _weights(file, table)
    except FileNotFoundError:
        raise NotFoundError(f"there is no model file {path.name}: train a model of this name first") from None
    except NotWeightsError as error:
        raise ModelFileError(
            f"{path.name} holds {error}, expected a state dict or a list of them: save model.state_dict() rather than "
            "the model or a training checkpoint"
        ) from error
    except (DamagedTableError, OSError) as error:
        raise ModelFileError(
            f"{path.name} is not a PyTorch model file, or it is damaged ({error}): expected a state dict, or a list of "
            "them, saved with torch.save; choose another file, or reset the model"
        ) from error


def _weights(file: BinaryIO, table: ModelTable) -> list[StateDict]:
    """Return the tensors of a table; those that share a storage in the file share it here."""
    storages: dict[tuple[int, str], Tensor] = {}

    def storage(index: int, dtype: str) -> Tensor:
        if (index, dtype) not in storages:
            storages[index, dtype] = _numbers(file, *table.storages[index], dtype, table.is_big_endian)
        return storages[index, dtype]

    return [
        {name: storage(t.storage, t.dtype).as_strided(t.size, t.stride, t.offset) for name, t in member.items()}
        for member in table.members
    ]


def _numbers(file: BinaryIO, position: int, n_bytes: int, dtype: str, is_big_endian: bool) -> Tensor:
    file.seek(position)
    content = bytearray(n_bytes)
    if file.readinto(content) < n_bytes:  # type: ignore[attr-defined]
        raise DamagedTableError("it was truncated while it was being read")
    kind: torch.dtype = getattr(torch, dtype)
    numbers = torch.frombuffer(content, dtype=torch.uint8) if n_bytes else torch.empty(0, dtype=torch.uint8)
    if is_big_endian != (sys.byteorder == "big"):
        numbers.untyped_storage().byteswap(kind)  # type: ignore[no-untyped-call]
    return numbers.view(kind)


def save_state_dicts(path: Path, members: Sequence[StateDict]) -> None:
    """Write a model file in one step.

    One member is stored as a state dict, several as a list of them.

    Raises
    ------
    ModelFileError
        A weight is not a finite number.
    StorageError
        The file cannot be written; the old one stays.
    """
    plain = [{key: value.detach().cpu() for key, value in member.items()} for member in members]
    for member in plain:
        for key, value in member.items():
            if not is_finite(value):
                raise ModelFileError(
                    f"the new weights of {path.name} contain NaN or infinite values ({key}): the training diverged, "
                    f"and the file keeps its previous weights; train again with a smaller learning rate"
                )
    content = io.BytesIO()  # in memory first: so the needed space is known, and PyTorch does not hide disk errors
    torch.save(plain[0] if len(plain) == 1 else plain, content)
    with explained_storage(f"the model {path.name}", path.parent, content.tell()), replacing(path) as file:
        file.write(content.getbuffer())
    with path.open("rb") as written:
        trust(written)


def fill(network: nn.Module, weights: StateDict, name: str) -> None:
    """Put the weights into a network.

    Raises
    ------
    ModelFileError
        Names or shapes differ, since the file has a different architecture, or values are not real, dense and finite.
    """
    state = network.state_dict()
    expected = {key: tuple(value.shape) for key, value in state.items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    if expected != found:
        wrong = sorted({key for key, _ in expected.items() ^ found.items()})
        raise ModelFileError(
            f"{name} has a different architecture from {type(network).__name__} in {_dimensions(network)}: "
            f"{len(wrong)} parameters differ, {_short(wrong[0])} is {found.get(wrong[0], 'missing')} and should be "
            f"{expected.get(wrong[0], 'absent')}; choose a file for this kind of model and these dimensions"
        )
    for key, value in weights.items():
        problem = _problem_of(value, state[key])
        if problem:
            raise ModelFileError(
                f"{name} cannot be used: expected finite numbers of {state[key].dtype} or another real type, but "
                f"{key} {problem}; choose another file, or reset the model and train it with a smaller learning rate"
            )
    network.load_state_dict(dict(weights))


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise ModelFileError(
            f"expected a model file of at most {in_bytes(LARGEST_BYTES)}, got {path.name} of {in_bytes(size)}: choose "
            "another file"
        )


def _problem_of(value: Tensor, expected: Tensor) -> str:
    """Return why values of the right shape cannot be weights; empty if they can."""
    if value.is_meta:
        return "has no values"
    if value.layout != torch.strided or value.is_quantized or value.is_nested:
        return "is sparse or packed"
    if value.is_floating_point() != expected.is_floating_point() or value.is_complex() or _is_tiny(value):
        return f"is of {value.dtype}"
    return "" if is_finite(value) else "contains NaN or infinity"


def is_finite(value: Tensor) -> bool:
    """Return whether a tensor contains only finite numbers."""
    if _is_tiny(value):
        value = value.float()  # few operations support such types
    if not value.is_floating_point():
        return True
    # A finite sum means that all values are finite, and is many times faster to compute.
    return bool(torch.isfinite(value.sum())) or bool(torch.isfinite(value).all())


def _is_tiny(value: Tensor) -> bool:
    return value.is_floating_point() and value.dtype.itemsize < torch.float16.itemsize


def _dimensions(network: nn.Module) -> str:
    return f"{getattr(network, 'n_dims', '?')}D"


def _short(text: str) -> str:
    return text[:120]
