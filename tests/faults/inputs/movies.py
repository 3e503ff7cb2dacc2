"""Movies that are damaged, are none, or reach for files that are not theirs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import requests

from faults.cases import Case
from faults.ground import Ground
from faults.inputs.asking import Ask, refused
from stack.player import Uploader

Make = Callable[[Path], None]
NAME = "bad"
CELLS = "t00000/s00/0/cells"
SMALL = (4, 16, 16)


def movie(path: Path, n_timepoints: int = 2) -> None:
    """Write a small movie that is fine."""
    with h5py.File(path, "w") as file:
        file["s00/resolutions"] = np.ones((1, 3))
        file["s00/subdivisions"] = np.array([[16, 16, 4]], dtype=np.int32)
        for t in range(n_timepoints):
            file.create_dataset(f"t{t:05d}/s00/0/cells", data=np.full(SMALL, 7 + t, np.int16), chunks=True)


def edited(change: Callable[[h5py.File], object], n_timepoints: int = 2) -> Make:
    """Write a small movie and change something about it."""

    def make(path: Path) -> None:
        movie(path, n_timepoints)
        with h5py.File(path, "a") as file:
            change(file)

    return make


def cut(part: float) -> Make:
    """Write the first part of a small movie."""

    def make(path: Path) -> None:
        movie(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * part)])

    return make


def replaced(name: str, **how: object) -> Make:
    """Write a small movie with other cells."""

    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **how)

    return edited(change)


def linked(to: str, inner: str = "/t00000") -> Make:
    """Write a small movie whose first timepoint is in another file."""

    def change(file: h5py.File) -> None:
        del file["t00000"]
        file["t00000"] = h5py.ExternalLink(to, inner)

    return edited(change)


def _deeper(file: h5py.File) -> None:
    """The link is at the image itself, and its file is beside the dataset's folder."""
    del file[CELLS]
    file[CELLS] = h5py.ExternalLink("../volume/volume.h5", CELLS)


def _virtual(file: h5py.File) -> None:
    del file[CELLS]
    layout = h5py.VirtualLayout(SMALL, np.int16)
    layout[...] = h5py.VirtualSource("/etc/passwd", CELLS, SMALL)
    file.create_virtual_dataset(CELLS, layout)


def _external(file: h5py.File) -> None:
    del file[CELLS]
    file.create_dataset(CELLS, SMALL, np.int16, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def _absurd(path: Path) -> None:
    """Declare a timepoint of exabytes, of which no block is stored."""
    with h5py.File(path, "w") as file:
        file.create_dataset(CELLS, (10**6, 10**6, 10**6), np.int16, chunks=(16, 64, 64))


def _looped(file: h5py.File) -> None:
    del file["t00000"]
    file["t00000"] = h5py.SoftLink("/t00000")


def _unpackable(file: h5py.File) -> None:
    """Replace an image by one whose blocks are packed with a filter that nobody has."""
    del file[CELLS]
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk(SMALL)
    settings.set_filter(32768, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple(SMALL)
    h5py.h5d.create(file.id, CELLS.encode(), h5py.h5t.NATIVE_INT16, space, settings)


def _in_vast_blocks(file: h5py.File) -> None:
    del file[CELLS]
    file.create_dataset(CELLS, SMALL, np.int16, chunks=(1024, 1024, 1024), maxshape=(None,) * 3, compression="gzip")


def _described(xml: str) -> Make:
    """Write a small movie and something beside it as its description."""

    def make(path: Path) -> None:
        movie(path)
        path.with_suffix(".xml").write_text(xml)

    return make


ENTITIES = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
BOMB = f"<!DOCTYPE a [{ENTITIES}]><SpimData>&e9;</SpimData>"
FLOATS = np.full(SMALL, np.nan, np.float32)
MOVIES: dict[str, tuple[Make, str]] = {
    "text": (lambda path: path.write_text("no HDF5"), "HDF5"),
    "empty": (lambda path: path.write_bytes(b""), "HDF5"),
    "cut to a tenth": (cut(0.1), "HDF5"),
    "cut to a half": (cut(0.5), "bad.h5"),
    "HDF5 of something else": (edited(lambda f: (f.pop("t00000"), f.pop("t00001"))), "BigDataViewer"),
    "without its second timepoint": (edited(lambda f: f.pop("t00001"), 3), "timepoint 1"),
    "without a setup": (edited(lambda f: f.pop("t00000/s00")), "s00"),
    "without full resolution": (edited(lambda f: f.pop("t00001/s00/0")), "t00001/s00/0/cells"),
    "with a group for an image": (edited(lambda f: (f.pop(CELLS), f.create_group(CELLS))), "group"),
    "of two sizes": (replaced("t00001/s00/0/cells", shape=(4, 16, 17), dtype="i2"), "alike"),
    "of two types": (replaced("t00001/s00/0/cells", shape=SMALL, dtype="u1"), "alike"),
    "of two dimensions": (replaced(CELLS, shape=(16, 16), dtype="i2"), "volumes"),
    "of no voxels": (replaced(CELLS, shape=(0, 16, 16), dtype="i2"), "volumes"),
    "of texts": (replaced(CELLS, shape=SMALL, dtype="S4"), "uint16"),
    "of records": (replaced(CELLS, shape=SMALL, dtype=[("a", "i2")]), "uint16"),
    "of complex numbers": (replaced(CELLS, shape=SMALL, dtype="c8"), "uint16"),
    "of no numbers": (
        edited(
            lambda f: [
                (f.pop(f"t0000{t}/s00/0/cells"), f.create_dataset(f"t0000{t}/s00/0/cells", data=FLOATS)) for t in (0, 1)
            ]
        ),
        "finite",
    ),
    "of a size that nothing holds": (_absurd, "memory"),
    "of a timepoint that is a link to itself": (edited(_looped), "link"),
    "of a timepoint in /etc": (linked("/etc/passwd"), "outside"),
    "of a timepoint in another dataset": (linked("../volume/volume.h5"), "outside"),
    "of an image in another dataset": (edited(_deeper), "outside"),
    "of a timepoint in a partition that is not there": (linked("bad-00-00.h5"), "partitions"),
    "of virtual images": (edited(_virtual), "outside"),
    "of images stored in /etc": (edited(_external), "outside"),
    "that is a TIFF": (lambda path: path.write_bytes(b"II*\0" * 99), "TIFF"),
    "of timepoints 0 and 30,000,000": (edited(lambda f: f.move("t00001", "t30000000")), "at most 100000 timepoints"),
    "packed with an unknown filter": (edited(_unpackable), "HDF5 filter 32768"),
    "in blocks of gigabytes": (edited(_in_vast_blocks), "blocks of at most"),
    "with an .xml that is a bomb": (_described(BOMB), "document type"),
    "with an .xml that ends early": (_described("<SpimData><Sequence"), "bad.xml"),
}
SHORT = ("text", "without its second timepoint", "of two sizes", "of a timepoint in /etc")


def converted(make: Make) -> Ask:
    """Put a movie into a dataset's folder and have a dataset made of it."""

    def ask(ground: Ground) -> requests.Response:
        folder = ground.workspace / "datasets" / "ground" / NAME
        folder.mkdir()
        try:
            make(folder / f"{NAME}.h5")
            before = sorted(folder.iterdir())
            answer = ground.post("dataset/generate", {"dataset_name": f"ground/{NAME}", "is_2d": False})
            left = {path.name for path in set(folder.iterdir()) - set(before)}
            assert left <= {".conversion.lock"}, left
            return answer
        finally:
            shutil.rmtree(folder)

    return ask


def uploaded(make: Make) -> Ask:
    """Send a movie in place of one that is there, as the client does."""

    def ask(ground: Ground) -> requests.Response:
        file = ground.folder / "volume.h5.bad"
        make(file)
        uploader = Uploader(ground.server, ground.volume.dataset)
        for i, piece in enumerate(uploader.pieces(file)):
            assert uploader.step("volume.h5", "append" if i else "init", piece).status_code == requests.codes.ok
        return uploader.step("volume.h5", "complete")

    return ask


CASES: list[Case] = [
    *[
        refused(f"dataset/generate: a movie {name}", converted(make), words, is_short=name in SHORT)
        for name, (make, words) in MOVIES.items()
    ],
    refused("upload: complete a movie of text", uploaded(MOVIES["text"][0]), "HDF5", is_short=True),
    refused("upload: complete the beginning of a movie", uploaded(cut(0.05)), "volume.h5", "upload it again"),
    refused("upload: complete a movie of /etc", uploaded(linked("/etc/passwd")), "outside"),
    refused("upload: complete a movie without its partition", uploaded(linked("x-00-00.h5")), "x-00-00.h5"),
]
