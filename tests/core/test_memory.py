"""Memory that is kept from one computation to the next, in processes of their own: it is set for good."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from elephant.memory import _function

pytestmark = pytest.mark.skipif(_function("mallinfo2") is None, reason="the C library is another one")

MIB = 1 << 20
BEGIN = """
    import resource, sys, threading
    from pathlib import Path
    import numpy as np, psutil
    from elephant import hardware
    from elephant.memory import give_back_memory, keep_memory, kept_bytes

    def use(mib=256):
        arrays = [np.ones(mib << 17) for _ in range(4)]

    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def mib():
        return psutil.Process().memory_info().rss >> 20
"""


def run(code: str, *arguments: object) -> list[int]:
    """Run code in a process of its own, and return the numbers that it prints."""
    script = textwrap.dedent(BEGIN) + textwrap.dedent(code)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return [int(word) for word in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]


@pytest.mark.parametrize("place", ["use()", "t = threading.Thread(target=use); t.start(); t.join()"])
def test_what_was_freed_is_used_again_until_it_is_given_back(place: str) -> None:
    n_faults, before, kept, after = run(f"""
        keep_memory()
        use()
        before = faults()
        {place}
        n = faults() - before
        print(n, mib(), kept_bytes() >> 20)
        give_back_memory()
        print(mib())
    """)
    assert n_faults < 1000  # of 262144 pages, or 2048 huge ones
    assert before > 1024 <= kept
    assert after < before - 900


def test_without_it_nothing_is_kept() -> None:
    rss, kept = run("use(); print(mib(), kept_bytes() >> 20)")
    assert rss < 1024
    assert kept < 100


def test_what_is_kept_counts_as_available_where_memory_is_scarce(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text(f"{8 << 30}")
    rss = []
    for free in (1 << 40, 2 << 30):
        (tmp_path / "memory.max").write_text(f"{(8 << 30) + free}")
        code = """
            hardware._CGROUP = Path(sys.argv[1])
            keep_memory()
            use()
            hardware.available_bytes()
            print(mib())
        """
        rss += run(code, tmp_path)
    plenty, scarce = rss
    assert plenty > 1024 > scarce + 500
