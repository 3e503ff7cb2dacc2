"""What of a machine there is, within the limit of a container."""

from pathlib import Path

import psutil
import pytest

from elephant import hardware

MIB = 1 << 20


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a control group, as the kernel shows it, of 64 MiB of which 60 are taken."""
    (tmp_path / "memory.max").write_text(f"{64 * MIB}\n")
    (tmp_path / "memory.current").write_text(f"{60 * MIB}\n")
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    return tmp_path


def test_copies_of_files_are_no_memory_that_is_missing(group: Path) -> None:
    (group / "memory.stat").write_text(f"anon {10 * MIB}\nfile {50 * MIB}\nactive_file {20 * MIB}\n")
    assert hardware.available_bytes() == 4 * MIB
    with (group / "memory.stat").open("a") as more:
        more.write(f"inactive_file {25 * MIB}\nshmem {5 * MIB}\n")
    assert hardware.available_bytes() == 49 * MIB


def test_there_is_never_more_than_the_machine_has(group: Path) -> None:
    (group / "memory.max").write_text(f"{1 << 50}\n")
    assert hardware.available_bytes() <= psutil.virtual_memory().total
    (group / "memory.max").write_text("max\n")
    assert 0 < hardware.available_bytes() <= psutil.virtual_memory().total
