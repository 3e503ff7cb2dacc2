"""OME-Zarr movies on other machines: as good as local ones, or an error."""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import elephant
from core.dataset.helpers import images_of, make
from core.dataset.http_server import Handler, Site, serving
from core.dataset.test_ome_zarr import read, values, write
from elephant.config import ConversionParams
from elephant.dataset import Dataset, DatasetSource, add, check_dataset
from elephant.dataset import conversion as conversion_module
from elephant.dataset.readers import reader_of_movie, remote
from elephant.dataset.readers.ome_zarr import OmeZarrReader
from elephant.errors import Cancelled, DatasetError, InvalidInputError
from elephant.io import http_objects, object_stamps
from elephant.io.addresses import RemoteRules, address_of, url_of, use_rules
from elephant.progress import NeverCancelled, cancelled_by

RULES = RemoteRules(silence_s=5.0)
ONE_BLOCK = {"chunks": (1, 1, 4, 20, 30)}
SHARDED = {"chunks": (1, 1, 2, 10, 10), "shards": (1, 2, 4, 20, 30)}


@pytest.fixture(autouse=True)
def _rules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(http_objects, "_PAUSES_S", (0.0, 0.0, 0.0))
    use_rules(RULES)
    yield
    use_rules(RemoteRules())
    remote._forget()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    with serving(folder) as found:
        yield found


def at(site: Site, name: str = "m.ome.zarr") -> Path:
    """Return the address of a movie as a command line does."""
    return Path(f"{site.url}/{name}")


def with_cache(tmp_path: Path, **rules: Any) -> None:
    use_rules(replace(RULES, cache=tmp_path / "cache", **rules))


def answering(status: int, part: str = "/0/c/", content: bytes = b"", **headers: str) -> Callable[[Handler], bool]:
    """Return what answers requests for paths with a part of a name."""

    def answer(handler: Handler) -> bool:
        if part in handler.path:
            handler.answer(status, content, {name.replace("_", "-"): value for name, value in headers.items()})
        return part in handler.path

    return answer


@pytest.mark.parametrize(
    ("version", "layout"), [(2, ONE_BLOCK), (3, ONE_BLOCK), (3, SHARDED)], ids=["2", "3", "sharded"]
)
def test_a_movie_is_read_from_an_address(site: Site, version: int, layout: dict[str, Any]) -> None:
    image = values()
    write(site.folder / "m.ome.zarr", image, version=version, **layout)
    movie = OmeZarrReader.open(at(site))
    local = OmeZarrReader.open(site.folder / "m.ome.zarr")
    assert (movie.shape, movie.levels, movie.setup, movie.chunks) == (
        local.shape,
        local.levels,
        local.setup,
        local.chunks,
    )
    for channel in range(2):
        np.testing.assert_array_equal(read(at(site), channel), image[:, channel])


def test_a_server_that_gives_neither_parts_nor_versions(site: Site, tmp_path: Path) -> None:
    image = values()
    write(site.folder / "m.ome.zarr", image, **SHARDED)
    site.ranges = site.versions = False
    with_cache(tmp_path)
    np.testing.assert_array_equal(read(at(site), 1), image[:, 1])
    blocks = [path for path in site.paths() if "/c/" in path]
    assert len(blocks) == len(set(blocks)) == 3


def test_a_dataset_is_made_by_several_processes(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_module, "_PARALLEL_FROM", 0)
    with_cache(tmp_path)
    image = values()
    write(site.folder / "m.ome.zarr", image, version=2, **ONE_BLOCK)
    dataset = elephant.open_dataset(f"{site.url}/m.ome.zarr", tmp_path / "dataset", setup=1, level=1, quiet=True)
    np.testing.assert_array_equal(images_of(dataset.folder), image[:, 1, ..., ::2])
    source = DatasetSource.read(dataset.folder)
    assert source is not None
    assert address_of(source.movie_path(dataset.folder)) == f"{site.url}/m.ome.zarr"
    assert (source.reader, source.level) == ("ome-zarr", 1)


def test_what_was_read_is_kept_and_confirmed_when_it_is_old(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cache(tmp_path)
    image = values()
    write(site.folder / "m.ome.zarr", image, **ONE_BLOCK)
    np.testing.assert_array_equal(read(at(site)), image[:, 0])
    site.asked.clear()
    np.testing.assert_array_equal(read(at(site)), image[:, 0])
    assert not [path for path, _ in site.asked if "/c/" in path]
    monkeypatch.setattr(remote, "_FRESH_S", -1.0)
    block = site.folder / "m.ome.zarr" / "0" / "c" / "1" / "0" / "0" / "0" / "0"
    block.write_bytes((block.parents[4] / "2" / "0" / "0" / "0" / "0").read_bytes())
    image[1, 0] = image[2, 0]
    np.testing.assert_array_equal(read(at(site)), image[:, 0])
    assert [path for path in site.paths(200) if "/c/" in path] == ["/m.ome.zarr/0/c/1/0/0/0/0"]
    assert len([path for path in site.paths(304) if "/c/" in path]) == 5


def test_absent_blocks_are_empty_as_long_as_the_movie_is_there(site: Site, tmp_path: Path) -> None:
    with_cache(tmp_path)
    image = values()
    path = write(site.folder / "m.ome.zarr", image, fill_value=9, **ONE_BLOCK)
    shutil.rmtree(path / "0" / "c" / "1")
    image[1] = 9
    for _ in range(2):
        np.testing.assert_array_equal(read(at(site)), image[:, 0])
    assert len([path for path in site.paths(404) if "/c/" in path]) == 1
    movie = OmeZarrReader.open(at(site))
    with movie.timepoint(0) as voxels:
        shutil.rmtree(path)
        shutil.rmtree(tmp_path / "cache")
        with pytest.raises(DatasetError, match=r"is gone, or a part of it: check the address"):
            _whole(movie, voxels)


def _whole(movie: OmeZarrReader, voxels: Any) -> Any:
    return voxels[tuple(slice(0, size) for size in movie.shape)]


def test_a_movie_that_changes_while_it_is_read_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(site.folder / "m.ome.zarr", values(), **ONE_BLOCK)
    movie = OmeZarrReader.open(at(site))
    monkeypatch.setattr(remote, "_LOOKED_AT_EACH_S", -1.0)
    with movie.timepoint(0) as voxels:
        _whole(movie, voxels)
        write(path, values(seed=1), **ONE_BLOCK)
        with pytest.raises(DatasetError, match=r"has changed while it was read: wait until its upload is done"):
            _whole(movie, voxels)
    np.testing.assert_array_equal(read(at(site)), values(seed=1)[:, 0])


def test_a_shard_of_two_versions_is_an_error(site: Site) -> None:
    path = write(site.folder / "m.ome.zarr", values(), **SHARDED)
    movie = OmeZarrReader.open(at(site))
    shard = path / "0" / "c" / "0" / "0" / "0" / "0" / "0"

    def change(handler: Handler) -> bool:
        if "/0/c/" in handler.path and len([p for p in site.paths(206) if "/0/c/" in p]) == 2:
            shard.write_bytes(shard.read_bytes() + b"x")
        return False

    site.misbehave = change
    with movie.timepoint(0) as voxels, pytest.raises(DatasetError, match="has changed while it was read"):
        _whole(movie, voxels)


def test_a_change_of_the_source_is_noticed(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_stamps, "_STAMP_S", -1.0)
    path = write(site.folder / "m.ome.zarr", values(), **ONE_BLOCK)
    make(at(site), tmp_path / "dataset")
    source = DatasetSource.read(tmp_path / "dataset")
    assert source is not None
    assert source.fingerprint is not None
    movie = reader_of_movie(at(site)).open(at(site), 0, NeverCancelled(), fill_gaps=False)
    assert movie.is_same(source.fingerprint, NeverCancelled())
    write(path, values(seed=1), **ONE_BLOCK)
    assert not movie.is_same(source.fingerprint, NeverCancelled())
    site.misbehave = answering(500, "zarr.json")
    with pytest.raises(DatasetError, match="HTTP 500"):
        movie.is_same(source.fingerprint, NeverCancelled())


def drop(handler: Handler) -> bool:
    """Send half of what is announced."""
    if "/0/c/" in handler.path:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"x" * 500)
        handler.close_connection = True
    return "/0/c/" in handler.path


def stay_silent(handler: Handler) -> bool:
    if "/0/c/" in handler.path:
        handler.wait(60)
        handler.close_connection = True
    return "/0/c/" in handler.path


def give_another_part(handler: Handler) -> bool:
    if "Range" in handler.headers:
        handler.answer(206, b"x" * 10, {"Content-Range": "bytes 5-14/20"})
    return "Range" in handler.headers


@pytest.mark.parametrize(
    ("misbehave", "words"),
    [
        (answering(500), r"/0/c/0/0/0/0/0 cannot be read \(HTTP 500, 4 times\): check the connection"),
        (answering(503), r"HTTP 503, 4 times"),
        (answering(403), r"may not be read \(HTTP 403\).*says so of files that are missing, too"),
        (answering(401), r"may not be read \(HTTP 401\)"),
        (answering(410), r"cannot be read \(HTTP 410\)"),
        (drop, r"cannot be read \(.*4 times\)"),
        (stay_silent, r"cannot be read \(it does not answer in time, 4 times\)"),
        (give_another_part, r"expected bytes=-\d+ of .*, got bytes 5-14/20"),
        (answering(200, content=b"x", Content_Encoding="gzip"), r"as it was stored, got it packed by gzip"),
        (answering(302, Location="/0/c/0"), r"redirects more than 5 times"),
        (answering(302, Location="ftp://127.0.0.1/"), r"is neither http nor https"),
        (answering(200, content=b"x" * 100), r"is damaged within Z, Y, X"),
        (answering(403, "/m.ome.zarr/.zattrs"), None),
        (answering(403, "/m.ome.zarr/"), r"/m.ome.zarr/.zattrs may not be read \(HTTP 403\)"),
        (answering(404, "/m.ome.zarr/"), r"expected http://.*/m.ome.zarr to be a Zarr group with attributes"),
        (
            answering(404, "/m.ome.zarr/0/zarr.json"),
            r"the image 0 of http://.*/m.ome.zarr cannot be opened \(No array found in store http",
        ),
        (answering(200, "/m.ome.zarr/zarr.json", b"<html>"), r"zarr.json of http://.*/m.ome.zarr cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_server_at_fault_gives_an_error_and_never_an_image(
    site: Site, tmp_path: Path, misbehave: Callable[[Handler], bool], words: str | None
) -> None:
    use_rules(replace(RULES, silence_s=0.2))
    write(site.folder / "m.ome.zarr", values(), **SHARDED)
    site.misbehave = misbehave
    if words is None:
        make(at(site), tmp_path / "dataset")
        return
    with pytest.raises((DatasetError, InvalidInputError), match=words):
        make(at(site), tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_what_passes_is_tried_again(site: Site) -> None:
    image = values()
    write(site.folder / "m.ome.zarr", image, **ONE_BLOCK)
    failed: dict[str, int] = {}

    def fail_twice(handler: Handler) -> bool:
        failed[handler.path] = failed.get(handler.path, 0) + 1
        if failed[handler.path] > 2:
            return False
        handler.answer(503, b"")
        return True

    site.misbehave = fail_twice
    np.testing.assert_array_equal(read(at(site)), image[:, 0])


def test_a_source_that_goes_ends_a_conversion_and_leaves_all_as_it_was(site: Site, tmp_path: Path) -> None:
    image = values()
    path = write(site.folder / "m.ome.zarr", image, **ONE_BLOCK)
    make(at(site), tmp_path / "dataset")

    def go(handler: Handler) -> bool:
        if "/0/c/1/" in handler.path and path.exists():
            shutil.rmtree(path)
        return False

    site.misbehave = go
    with pytest.raises(DatasetError, match="is gone, or a part of it"):
        make(at(site), tmp_path / "dataset", setup=1)
    np.testing.assert_array_equal(images_of(tmp_path / "dataset"), image[:, 0])


class Later:
    """A token that a test sets off."""

    def __init__(self) -> None:
        self.is_set = threading.Event()

    def check(self) -> None:
        if self.is_set.is_set():
            raise Cancelled


def test_waiting_for_a_silent_server_can_be_cancelled(site: Site, tmp_path: Path) -> None:
    write(site.folder / "m.ome.zarr", values(), **ONE_BLOCK)
    waits = threading.Event()

    def stay(handler: Handler) -> bool:
        if "/0/c/" in handler.path:
            waits.set()
        return stay_silent(handler)

    site.misbehave = stay
    use_rules(replace(RULES, silence_s=60.0))
    token, ended = Later(), list[BaseException]()

    def convert() -> None:
        try:
            make(at(site), tmp_path / "dataset", cancel=token)
        except Cancelled as error:
            ended.append(error)

    work = threading.Thread(target=convert)
    work.start()
    assert waits.wait(20)
    token.is_set.set()
    work.join(5)
    assert ended
    assert not (tmp_path / "dataset").exists()


def test_reading_within_a_block_of_a_token_can_be_cancelled(site: Site) -> None:
    write(site.folder / "m.ome.zarr", values(), **ONE_BLOCK)
    movie, token = OmeZarrReader.open(at(site)), Later()
    site.misbehave = stay_silent
    threading.Timer(0.1, token.is_set.set).start()
    with movie.timepoint(0) as voxels, cancelled_by(token), pytest.raises(Cancelled):
        _whole(movie, voxels)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://user:secret@host/m.zarr", "must not contain a user or a password, but that at host does"),
        ("https://host/m.zarr?X-Amz-Signature=secret", "at host without . and #"),
        ("https://host/m.zarr#secret", "at host without . and #"),
        ("https://host/a b.zarr", "in ASCII without spaces"),
        ("https://host/ä.zarr", "in ASCII without spaces"),
        ("https://host/../m.zarr", r"without spaces and \.\."),
        ("https://host:port/m.zarr", "expected the address of a movie"),
        ("https://host/m.ozx", "got the archive m.ozx: download it"),
        ("https://host/m.zarr/zarr.json", "leave /zarr.json out"),
        ("https://:80/m.zarr", "expected the address of a movie"),
    ],
)
def test_addresses_that_cannot_be_used(address: str, words: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InvalidInputError, match=words) as caught:
        OmeZarrReader.open(Path(address))
    assert "secret" not in str(caught.value) + caplog.text


def test_an_address_travels_as_a_path() -> None:
    path = Path("https://host/folder/m.ome.zarr/")
    assert (path.name, address_of(path)) == ("m.ome.zarr", "https://host/folder/m.ome.zarr")
    assert address_of(path.parent / path.name) == address_of(path)
    assert address_of(Path("s3://bucket/m.zarr")) == "s3://bucket/m.zarr"
    assert [address_of(Path(name)) for name in ("m.zarr", "/data/https:/m.zarr", "C:/m.zarr", "https")] == [None] * 4
    aws = RemoteRules().s3_endpoint
    assert url_of("s3://bucket/a/m.zarr", aws) == "https://bucket.s3.amazonaws.com/a/m.zarr"
    assert url_of("s3://my.bucket/m.zarr", aws) == "https://s3.amazonaws.com/my.bucket/m.zarr"
    assert url_of("s3://bucket/m.zarr", "http://here:9000/") == "http://here:9000/bucket/m.zarr"


def test_private_addresses_are_for_who_may_use_them(site: Site) -> None:
    write(site.folder / "m.ome.zarr", values(), **ONE_BLOCK)
    of_server = replace(RULES, trusts_named_hosts=False)
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"):
        use_rules(of_server)
        url = site.url.replace("127.0.0.1", host)
        with pytest.raises((InvalidInputError, DatasetError), match=r"which belongs to this machine|cannot be read"):
            OmeZarrReader.open(Path(f"{url}/m.ome.zarr"))
    assert not site.asked
    use_rules(replace(of_server, allow_private=True))
    assert OmeZarrReader.open(at(site)).n_timepoints == 3
    use_rules(replace(RULES, is_allowed=False))
    with pytest.raises(InvalidInputError, match=r"which this server may not read: .*ELEPHANT_ALLOW_REMOTE_SOURCES"):
        OmeZarrReader.open(at(site))


def test_the_administrators_store_may_be_private(site: Site) -> None:
    image = values()
    write(site.folder / "bucket" / "m.zarr", image, **ONE_BLOCK)
    use_rules(replace(RULES, trusts_named_hosts=False, s3_endpoint=site.url))
    np.testing.assert_array_equal(read(Path("s3://bucket/m.zarr")), image[:, 0])
    use_rules(replace(RULES, trusts_named_hosts=False, s3_endpoint=f"{site.url}0"))
    with pytest.raises(InvalidInputError, match="which belongs to this machine"):
        OmeZarrReader.open(Path(f"{site.url}/bucket/m.zarr"))


def test_redirects_are_judged_like_addresses(site: Site, tmp_path: Path) -> None:
    image = values()
    write(site.folder / "moved.zarr", image, **ONE_BLOCK)

    def redirect(handler: Handler) -> bool:
        if "/m.ome.zarr/" in handler.path:
            handler.answer(302, b"", {"Location": to + handler.path.replace("m.ome.zarr", "moved.zarr")})
        return "/m.ome.zarr/" in handler.path

    site.misbehave = redirect
    to = site.url
    np.testing.assert_array_equal(read(at(site)), image[:, 0])
    (tmp_path / "private").mkdir()
    with serving(tmp_path / "private") as private:
        to = private.url.replace("127.0.0.1", "localhost")
        with pytest.raises(InvalidInputError, match=r"m.ome.zarr/zarr.json leads to (127\.0\.0\.1|::1), which belongs"):
            OmeZarrReader.open(at(site))
        assert not private.asked


def test_a_name_that_leads_elsewhere_a_moment_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is judged where the connection is made, not where the name is looked up before."""
    import socket

    write(site.folder / "m.ome.zarr", values(), **ONE_BLOCK)
    use_rules(replace(RULES, trusts_named_hosts=False))
    resolve, calls = socket.getaddrinfo, list[str]()

    def rebind(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name == "movies.example":
            calls.append(name)
            return resolve("127.0.0.1", port, *args, **more)
        return resolve(host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebind)
    url = site.url.replace("127.0.0.1", "movies.example")
    with pytest.raises(InvalidInputError, match=r"leads to 127\.0\.0\.1, which belongs to this machine"):
        OmeZarrReader.open(Path(f"{url}/m.ome.zarr"))
    assert calls
    assert not site.asked


def test_without_the_packages_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(InvalidInputError, match=r'aiohttp, which is not installed: run pip install "elephant-core\['):
        OmeZarrReader.open(Path("https://host/m.zarr"))


def test_of_several_series_one_is_to_be_chosen(site: Site) -> None:
    zarr.open_group(site.folder / "m.ome.zarr", mode="w", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    image = values()
    write(site.folder / "m.ome.zarr" / "0", image, version=2)
    np.testing.assert_array_equal(read(at(site)), image[:, 0])
    write(site.folder / "m.ome.zarr" / "1", image, version=2)
    with pytest.raises(
        DatasetError, match=r"holds 2 images: choose one of them \(http://.*/m.ome.zarr/0, http://.*/m.ome.zarr/1\)"
    ):
        OmeZarrReader.open(at(site))
    np.testing.assert_array_equal(read(at(site, "m.ome.zarr/1")), image[:, 0])
    (site.folder / "m.ome.zarr" / ".zattrs").write_text(json.dumps({"plate": {}}))
    with pytest.raises(DatasetError, match="is a plate of many wells"):
        OmeZarrReader.open(at(site))


def test_a_dataset_reads_its_images_from_an_address(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_stamps, "_STAMP_S", -1.0)
    with_cache(tmp_path)
    image = values()
    path = write(site.folder / "m.ome.zarr", image, **SHARDED)
    add(at(site), tmp_path / "dataset", ConversionParams(setup=1), NeverCancelled())
    assert not [path for path in site.paths() + site.paths(206) if "/c/" in path]
    dataset = Dataset(tmp_path / "dataset")
    np.testing.assert_array_equal(images_of(dataset.folder), image[:, 1])
    assert check_dataset(dataset.folder, None) == "ready"
    site.misbehave = answering(500, "")
    with pytest.raises(DatasetError, match=r"reads its images from a movie that cannot be read now: .*HTTP 500"):
        Dataset(dataset.folder).read_image(0)
    site.misbehave = lambda _: False
    write(path, values(seed=1), **SHARDED)
    with pytest.raises(DatasetError, match=rf"the movie {site.url}/m.ome.zarr has changed since it was added"):
        Dataset(dataset.folder).read_image(0)
    shutil.rmtree(path)
    assert f"the movie {site.url}/m.ome.zarr is gone" in check_dataset(dataset.folder, None)
    use_rules(replace(RULES, is_allowed=False))
    assert "ELEPHANT_ALLOW_REMOTE_SOURCES" in check_dataset(dataset.folder, None)


def test_a_copy_needs_the_other_machine_no_more(site: Site, tmp_path: Path) -> None:
    write(site.folder / "m.ome.zarr", values(), **ONE_BLOCK)
    make(at(site), tmp_path / "dataset")
    site.asked.clear()
    assert check_dataset(tmp_path / "dataset", None) == "ready"
    assert not site.asked
