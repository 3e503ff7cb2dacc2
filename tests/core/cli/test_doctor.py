"""What the doctor finds."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from core.cli.shell import Shell
from core.cli.test_commands import install
from elephant.cli import health
from elephant.cli.health import Status, check_locks, check_packages, check_room, check_workspace
from elephant.cli.health_gpu import Seen, explain, explain_kernels

GPU = ("NVIDIA X, 24576 MiB, driver 550.1",)


def test_a_healthy_machine(shell: Shell) -> None:
    workspace = shell.folder / "ws"
    workspace.mkdir()
    done = shell("doctor", "--json", "--workspace", workspace)
    found = {finding["name"]: finding for finding in done.json["findings"]}
    assert {"python", "packages", "device", "cores", "memory", "disk", "workspace", "locks"} <= set(found)
    assert found["locks"]["status"] == "ok"
    assert "torch " in found["packages"]["message"]
    assert list(workspace.iterdir()) == []
    assert all(finding["remedy"] for finding in found.values() if finding["status"] != "ok")


def test_a_problem_is_an_exit_status(shell: Shell) -> None:
    done = shell("doctor", "--workspace", "nowhere")
    assert done.status == 1
    (line,) = [line for line in done.out.splitlines() if line.startswith("problem  workspace")]
    assert "there is no folder nowhere" in line
    assert "-> Create it: mkdir -p nowhere" in done.out


@pytest.mark.parametrize(
    ("seen", "environment", "status", "words"),
    [
        (Seen(("cuda:0 X, 24 GiB",), "2", "12.4", GPU), {}, Status.OK, "cuda:0 X"),
        (Seen((), "2", None), {}, Status.WARNING, "no GPU was found"),
        (Seen((), "2.6+cpu", None, GPU), {}, Status.PROBLEM, "built without CUDA"),
        (Seen((), "2.6", "12.4", GPU), {}, Status.PROBLEM, "for CUDA 12.4 cannot use it"),
        (Seen((), "2.6", "12.4", GPU), {"CUDA_VISIBLE_DEVICES": ""}, Status.WARNING, "hides it"),
        (Seen((), "2.6", "12.4", (), "Driver/library version mismatch"), {}, Status.PROBLEM, "version mismatch"),
    ],
)
def test_gpus_are_explained(seen: Seen, environment: Mapping[str, str], status: Status, words: str) -> None:
    finding = explain(seen, environment)
    assert finding.status is status
    assert words in finding.message
    assert bool(finding.remedy) == (status is not Status.OK)


@pytest.mark.parametrize(
    ("has_bfloat16", "why_not", "status", "words"),
    [
        (True, None, Status.OK, "compiled for the GPU"),
        (True, "No module named 'cuda'", Status.WARNING, "several times as long.*No module named 'cuda'"),
        (False, None, Status.OK, "no bfloat16"),
    ],
)
def test_kernels_of_a_gpu_are_explained(has_bfloat16: bool, why_not: str | None, status: Status, words: str) -> None:
    found = explain_kernels(has_bfloat16, why_not)
    assert found.status is status
    assert re.search(words, found.message)


def test_packages_that_do_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn.py").write_text("raise OSError('libthing.so: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    missing, torn, rest = check_packages({"absent": "absent_module", "torn": "torn", "numpy": "numpy"})
    assert (missing.status, torn.status, rest.status) == (Status.PROBLEM, Status.PROBLEM, Status.OK)
    assert "libthing.so" in torn.message
    assert rest.message.startswith("numpy ")


def test_little_disk_space_is_a_warning_and_none_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(little: int, none: int) -> health.Finding:
        monkeypatch.setattr(health, "_LITTLE_ROOM", little)
        monkeypatch.setattr(health, "_NO_ROOM", none)
        return check_room(tmp_path)

    assert (found(0, 0).status, found(0, 0).remedy) == (Status.OK, "")
    assert found(0, 0).message.endswith(f"iB free at {tmp_path}")
    for finding, status in ((found(2**80, 0), Status.WARNING), (found(2**80, 2**80), Status.PROBLEM)):
        assert (finding.status, finding.remedy) == (status, "Free disk space, or choose another --workspace.")


def test_a_file_system_whose_locks_have_no_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_TRY_TO_LOCK", "import sys; sys.exit(1)")
    finding = check_locks(tmp_path)
    assert finding.status is Status.PROBLEM
    assert "same lock" in finding.message


def test_a_file_system_whose_locks_do_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_TRY_TO_LOCK", "import time; time.sleep(60)")
    monkeypatch.setattr(health, "_LOCK_SECONDS", 0.5)
    finding = check_locks(tmp_path)
    assert finding.status is Status.PROBLEM
    assert "timed out" in finding.message


def test_a_folder_that_cannot_be_written() -> None:
    findings = list(check_workspace(Path("/proc/self")))
    assert findings[-1].status is Status.PROBLEM
    assert "cannot be written" in findings[-1].message


def test_other_packages_add_checks(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (
        "from elephant.cli.health import warning\n"
        "def check(workspace):\n    yield warning('visitor', f'sees {workspace}', 'look away')\n"
    )
    entries = "[elephant.doctor]\na = visitor:check\nb = visitor:nothing\n"
    install(shell.folder, content, entries, monkeypatch)
    (shell.folder / "ws").mkdir()
    done = shell("doctor", "--json", "--workspace", "ws")
    found = {finding["name"]: finding for finding in done.json["findings"]}
    assert found["visitor"] == {"name": "visitor", "status": "warning", "message": "sees ws", "remedy": "look away"}
    assert found["b"]["status"] == "problem"
    assert done.status == 1
