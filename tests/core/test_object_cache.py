"""The cache for objects of other machines: bounded, and never another content than what was stored."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from elephant.io.object_cache import Entry, ObjectCache

URL = "https://host/m.zarr/0/0.0.0"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_stored_is_found_also_by_another_process(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, 1 << 20)
    assert cache.find(URL) is None
    cache.store(URL, Entry(b"\n1\n2", '"v1"', 1000.0))
    cache.store(f"{URL} bytes=0-1", Entry(None, "", 1000.0))
    assert ObjectCache(tmp_path, 1 << 20).find(URL) == Entry(b"\n1\n2", '"v1"', 1000.0)
    assert cache.find(f"{URL} bytes=0-1") == Entry(None, "", 1000.0)
    cache.confirm(URL, 2000.0)
    assert cache.find(URL) == Entry(b"\n1\n2", '"v1"', 2000.0)
    code = (
        "import sys; from pathlib import Path; from elephant.io.object_cache import ObjectCache;"
        "print(ObjectCache(Path(sys.argv[1]), 1 << 20).find(sys.argv[2]))"
    )
    found = subprocess.run([sys.executable, "-c", code, tmp_path, URL], capture_output=True, text=True, check=True)
    assert "b'\\n1\\n2'" in found.stdout


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[:-1],
        lambda data: data[:20],
        lambda data: b"",
        lambda data: data[:-1] + b"?",
        lambda data: data + b"x",
        lambda data: data.replace(b"host", b"hosT"),
        lambda data: data.replace(b'"size"', b'"eize"'),
    ],
)
def test_what_is_damaged_or_of_another_address_is_not_taken(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    cache = ObjectCache(tmp_path, 1 << 20)
    cache.store(URL, Entry(b"content", '"v1"', 1000.0))
    (path,) = files(tmp_path)
    path.write_bytes(harm(path.read_bytes()))
    assert cache.find(URL) is None
    assert not files(tmp_path)


def test_what_was_not_used_for_longest_is_removed(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, 100_000)
    for i in range(12):
        cache.store(f"{URL}{i}", Entry(bytes(8000), "", 1000.0))
        for path in files(tmp_path):  # as if some time had passed
            found = path.stat()
            os.utime(path, (found.st_atime - 10, found.st_mtime))
        assert cache.find(f"{URL}0") is not None
    cache = ObjectCache(tmp_path, 100_000)
    cache.store(f"{URL}12", Entry(bytes(8000), "", 1000.0))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 100_000
    assert cache.find(f"{URL}0") is not None
    assert cache.find(f"{URL}12") is not None
    assert cache.find(f"{URL}1") is None


def test_the_limit_holds_while_much_is_stored(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, 200_000)
    for i in range(100):
        cache.store(f"{URL}{i}", Entry(os.urandom(5000), "", time.time()))
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 210_000
    cache.store(URL, Entry(bytes(60_000), "", 1000.0))
    assert cache.find(URL) is None, "more than a quarter of the cache"


def test_what_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    of_another = tmp_path / "ab" / ".abcdefgh.tmp"
    of_another.write_bytes(bytes(90_000))
    cache = ObjectCache(tmp_path, 50_000)
    for i in range(10):
        cache.store(f"{URL}{i}", Entry(bytes(8000), "", 1000.0))
    assert of_another.exists()
    long_ago = time.time() - 7200
    os.utime(of_another, (long_ago, long_ago))
    ObjectCache(tmp_path, 50_000).store(URL, Entry(bytes(8000), "", 1000.0))
    assert not of_another.exists()


def test_a_disk_that_takes_nothing_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    cache = ObjectCache(tmp_path / "cache", 1 << 20)
    cache.store(URL, Entry(b"x", "", 1000.0))
    assert cache.find(URL) is None
    assert "cannot keep what was read from other machines" in caplog.text
