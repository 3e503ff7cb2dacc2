"""Reading the table of a model file of unknown origin in a separate process, which may be killed.

The table's readers take bounded time and memory for any input (:mod:`elephant.models.files`). If they have a bug
all the same, its effects end here: the process has limits of memory and time, does not load PyTorch, and returns
nothing but numbers and names.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from elephant.models.files import DamagedTableError, ModelTable, NotWeightsError, TensorPlace, read_table

try:
    import resource
except ImportError:  # Windows, where the time alone is limited
    resource = None  # type: ignore[assignment]

LONGEST_S = 60.0  # wall-clock time: a busy machine may take seconds to start a process
_CPU_S = 5
_LARGEST_BYTES = 1 << 30
_LONGEST_ANSWER = 64 << 20
_MOST_KNOWN = 1000
# Without site packages and environment variables, starting takes some 30 ms.
_COMMAND = (
    "-I",
    "-S",
    "-c",
    "import sys; sys.path.append(sys.argv[1]); from elephant.models.files.examine import main; main()",
)

Stamp = tuple[int, ...]
_known: dict[Stamp, None] = {}


def stamp_of(file: BinaryIO) -> Stamp:
    """Return values that change when a file is replaced or written to."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def trust(file: BinaryIO) -> None:
    """Remember that this process wrote or examined a file."""
    _known[stamp_of(file)] = None
    while len(_known) > _MOST_KNOWN:
        _known.pop(next(iter(_known)), None)


def examined(file: BinaryIO) -> ModelTable:
    """Return the table of a model file, read in a separate process unless the file is known.

    Parameters
    ----------
    file
        Open for reading; its position is changed.

    Raises
    ------
    DamagedTableError
        It is not a PyTorch file, is damaged, or takes too long or too much memory to read.
    NotWeightsError
        It holds something other than state dicts.
    """
    if stamp_of(file) in _known or not sys.executable:
        return read_table(file)
    table = _from_json(_answer(file))
    trust(file)
    return table


def main() -> None:
    """Read a model file from standard input, and write its table to standard output."""
    _limit()
    try:
        table = read_table(sys.stdin.buffer)
        answer = _to_json(table)
    except DamagedTableError as error:
        answer = json.dumps({"damaged": str(error)})
    except NotWeightsError as error:
        answer = json.dumps({"holds": str(error)})
    sys.stdout.write(answer)


def _limit(cpu_s: int = _CPU_S) -> None:
    if resource is None:
        return
    for kind, most in ((resource.RLIMIT_AS, _LARGEST_BYTES), (resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # not every system has all limits
            resource.setrlimit(kind, (most, most))


def _answer(file: BinaryIO) -> str:
    """Return the output of the process."""
    file.seek(0)
    place = str(Path(__file__).parents[3])  # the folder that holds the package
    try:
        done = subprocess.run(  # noqa: S603 - no argument comes from the file
            [sys.executable, *_COMMAND, place],
            stdin=file,
            capture_output=True,
            timeout=LONGEST_S,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise DamagedTableError(f"its table of weights took longer than {LONGEST_S:.0f} s to read") from error
    if done.returncode or len(done.stdout) > _LONGEST_ANSWER:
        raise DamagedTableError("its table of weights takes too much time or memory to read")
    return done.stdout.decode()


def _to_json(table: ModelTable) -> str:
    members = [
        {name: [t.storage, t.dtype, t.offset, t.size, t.stride] for name, t in member.items()}
        for member in table.members
    ]
    return json.dumps({"members": members, "storages": table.storages, "is_big_endian": table.is_big_endian})


def _from_json(text: str) -> ModelTable:
    found = json.loads(text)
    if "damaged" in found:
        raise DamagedTableError(found["damaged"])
    if "holds" in found:
        raise NotWeightsError(found["holds"])
    members = [{name: _tensor(*tensor) for name, tensor in member.items()} for member in found["members"]]
    return ModelTable(members, [(begin, length) for begin, length in found["storages"]], found["is_big_endian"])


def _tensor(storage: int, dtype: str, offset: int, size: list[int], stride: list[int]) -> TensorPlace:
    return TensorPlace(storage, dtype, offset, tuple(size), tuple(stride))
