"""Movies of BigDataViewer in OME-Zarr, whose .xml lists the image of each view, as BigStitcher and MoBIE write them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import CancelAfter, images_of, make
from core.dataset.test_ome_zarr import write
from elephant.config import ConversionParams
from elephant.dataset import DatasetSource, add, check_dataset, find_movie
from elephant.dataset.readers import reader_of_movie
from elephant.dataset.readers.bdv_zarr import BdvZarrReader
from elephant.errors import Cancelled, DatasetError, ElephantError, NotFoundError
from elephant.progress import NeverCancelled
from elephant.types import VoxelSize

XML = """<SpimData version="0.2"><BasePath type="relative">.</BasePath><SequenceDescription>
<ImageLoader format="{loader}" version="3.0">{images}</ImageLoader><ViewSetups>{setups}</ViewSetups>
<Timepoints type="pattern"><integerpattern>{timepoints}</integerpattern></Timepoints>{missing}
</SequenceDescription></SpimData>"""
SETUP = """<ViewSetup><id>{0}</id><name>{1}</name>{2}<attributes><channel>{0}</channel></attributes></ViewSetup>"""
VOXEL = "<voxelSize><unit>um</unit><size>0.5 0.25 3.0</size></voxelSize>"
ZARR = '<zarr type="relative">m.ome.zarr</zarr><zgroups>{}</zgroups>'
NEW = '<zgroup setup="{s}" tp="{t}" path="s{s}-t{t}.zarr" indicies="{i}" />'
OLD = '<zgroup setup="{s}" timepoint="{t}"><path>s{s}-t{t}.zarr</path></zgroup>'
ALL = [(t, s) for t in range(3) for s in range(2)]


def write_xml(
    path: Path,
    images: str,
    loader: str = "bdv.multimg.zarr",
    *,
    timepoints: str = "0-2",
    voxel: str = VOXEL,
    missing: str = "",
) -> Path:
    """Write an .xml of two channels."""
    setups = "".join(SETUP.format(number, name, voxel) for number, name in enumerate(("GFP", "RFP")))
    path.write_text(XML.format(loader=loader, images=images, setups=setups, timepoints=timepoints, missing=missing))
    return path


def values() -> NDArray[np.uint16]:
    """Return T, C, Z, Y, X."""
    return ramp(6, (4, 20, 30)).reshape(3, 2, 4, 20, 30)


def write_views(folder: Path, movie: NDArray[Any], form: str = NEW, **how: Any) -> Path:
    """Write an OME-Zarr of five axes for each view, and the .xml."""
    for t, s in ALL:
        write(folder / "m.ome.zarr" / f"s{s}-t{t}.zarr", movie[t : t + 1, s : s + 1], **how)
    listed = "".join(form.format(t=t, s=s, i="0 0") for t, s in ALL)
    return write_xml(folder / "m.xml", ZARR.format(listed))


def read(movie: BdvZarrReader) -> NDArray[Any]:
    """Return T, Z, Y, X, read by pieces that no block begins with."""
    out = np.zeros((movie.n_timepoints, *movie.shape), movie.dtype)
    for t in set(range(movie.n_timepoints)) - set(movie.blank_timepoints):
        with movie.timepoint(t) as voxels:
            for part in (slice(0, 11), slice(11, movie.shape[2])):
                region = (slice(0, movie.shape[0]), slice(0, movie.shape[1]), part)
                out[(t, *region)] = voxels[region]
    return out


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("form", [NEW, OLD])
def test_an_image_for_each_view(tmp_path: Path, form: str, version: int) -> None:
    movie = values()
    xml = write_views(tmp_path, movie, form, version=version)
    assert reader_of_movie(xml).plugin.name == "bdv-ome-zarr"
    for channel in range(2):
        np.testing.assert_array_equal(read(BdvZarrReader.open(xml, channel)), movie[:, channel])
    found = BdvZarrReader.open(xml, 1)
    assert (found.setup.name, found.setup.unit, found.setup.voxel_size) == ("RFP", "um", VoxelSize(3, 0.25, 0.5))
    assert xml in found.files()
    with pytest.raises(Cancelled):
        BdvZarrReader.open(xml, cancel=CancelAfter(4))


def test_images_of_three_axes_and_of_several_views(tmp_path: Path) -> None:
    movie = values()
    write(tmp_path / "m.ome.zarr" / "all.zarr", movie)
    for t, s in ALL:
        write(tmp_path / "m.ome.zarr" / f"s{s}-t{t}.zarr", movie[t, s], "zyx")
    alone = "".join(NEW.format(t=t, s=s, i="[]") for t, s in ALL)
    joined = "".join(f'<zgroup setup="{s}" tp="{t}" path="all.zarr" indicies="{s} {t}" />' for t, s in ALL)
    for listed in (alone, joined):
        xml = write_xml(tmp_path / "m.xml", ZARR.format(listed), timepoints="2,0")
        for channel in range(2):
            np.testing.assert_array_equal(read(BdvZarrReader.open(xml, channel)), movie[::2, channel])


def test_one_image_as_mobie_names_it(tmp_path: Path) -> None:
    movie = values()
    write(tmp_path / "m.ome.zarr", movie)
    images = '<ome.zarr type="relative">m.ome.zarr</ome.zarr>'
    xml = write_xml(tmp_path / "m.xml", images, "bdv.ome.zarr", timepoints="1-2")
    np.testing.assert_array_equal(read(BdvZarrReader.open(xml, 1)), movie[1:, 1])


def test_a_level_and_its_voxel_size(tmp_path: Path) -> None:
    movie = values()
    xml = write_views(tmp_path, movie)
    found = BdvZarrReader.open(xml, 0)
    assert [level.shape for level in found.levels] == [(4, 20, 30), (4, 20, 15)]
    make(xml, tmp_path / "dataset", level=1)
    np.testing.assert_array_equal(images_of(tmp_path / "dataset"), movie[:, 0, ..., ::2])
    write_xml(xml, xml.read_text().split('version="3.0">')[1].split("</ImageLoader>")[0], voxel="")
    found = BdvZarrReader.open(xml, 0)
    assert (found.setup.voxel_size, found.setup.unit) == (VoxelSize(2, 0.5, 0.4), "micrometer")


def test_views_that_are_missing(tmp_path: Path) -> None:
    movie = values()
    xml = write_views(tmp_path, movie)
    shutil.rmtree(tmp_path / "m.ome.zarr" / "s0-t1.zarr")
    with pytest.raises(DatasetError, match=r"none at timepoint 1 \(m\.ome\.zarr/s0-t1\.zarr\): list them as missing"):
        BdvZarrReader.open(xml)
    movie[1, 0] = 0
    np.testing.assert_array_equal(read(BdvZarrReader.open(xml, fill_gaps=True)), movie[:, 0])
    images = xml.read_text().split('version="3.0">')[1].split("</ImageLoader>")[0]
    missing = '<MissingViews><MissingView timepoint="1" setup="0"/></MissingViews>'
    write_xml(xml, images, missing=missing)
    make(xml, tmp_path / "dataset")
    np.testing.assert_array_equal(images_of(tmp_path / "dataset"), movie[:, 0])
    source = DatasetSource.read(tmp_path / "dataset")
    assert source is not None
    assert (source.movie, source.reader, source.blank_timepoints) == ("m.xml", "bdv-ome-zarr", (1,))


@pytest.mark.parametrize("in_place", [False, True])
def test_the_list_in_the_folder_of_a_dataset_is_its_movie(tmp_path: Path, in_place: bool) -> None:
    folder = tmp_path / "s0-t0"
    folder.mkdir()
    xml = write_views(folder, values())
    # An image with the folder's name would be taken otherwise.
    xml.write_text(xml.read_text().replace("m.ome.zarr", "."))
    for path in (folder / "m.ome.zarr").iterdir():
        path.rename(folder / path.name)
    assert find_movie(folder) == xml
    if in_place:
        add(xml, folder, ConversionParams(), NeverCancelled())
    else:
        make(xml, folder)
    assert check_dataset(folder, (3, 4, 20, 30)) == "ready"
    np.testing.assert_array_equal(images_of(folder), values()[:, 0])
    write_movie(folder / "other.h5", ramp(1))
    assert find_movie(folder) == folder / "other.h5"


def test_a_list_of_images_elsewhere_is_not_the_movie_of_a_dataset(tmp_path: Path) -> None:
    write_views(tmp_path, values())
    folder = tmp_path / "dataset"
    folder.mkdir()
    for place in ("../m.ome.zarr", str(tmp_path / "m.ome.zarr"), "../dataset2/m.ome.zarr"):
        xml = (tmp_path / "m.xml").read_text().replace(">m.ome.zarr<", f">{place}<")
        (folder / "m.xml").write_text(xml.replace("relative", "absolute" if place.startswith("/") else "relative"))
        assert find_movie(folder) is None


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (ZARR.format(""), "in `zgroups`, but it has none"),
        (ZARR.format('<zgroup setup="0" tp="0" path="../../m" />'), "in its folder m.ome.zarr, got the path '../../m'"),
        (ZARR.format('<zgroup setup="0" tp="0" path="C:\\m" />'), "in its folder m.ome.zarr, got the path"),
        (ZARR.format('<zgroup setup="0" tp="first" path="m" />'), "a zgroup is not a whole number"),
        (
            ZARR.format(NEW.format(t=0, s=0, i="0 1")),
            "at the indices 0 1 for timepoint 0 of view 0, which is not there",
        ),
        (ZARR.format(NEW.format(t=0, s=0, i="7 0")), "names channel 7 of s0-t0.zarr, which is not there"),
        (ZARR.format(NEW.format(t=0, s=0, i="0 0 5")), "at the indices 0 0 5"),
        (ZARR.format(NEW.format(t=0, s=0, i="0 0 0")), ""),
        (f"<s3bucket>bucket</s3bucket>{ZARR.format('')}", "on this machine, got s3://bucket/m.ome.zarr"),
        (ZARR.format("").replace("m.ome", "gone"), "gone.zarr, which do not exist"),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_the_reason(tmp_path: Path, images: str, words: str) -> None:
    xml = write_views(tmp_path, values())
    write_xml(xml, images, timepoints="0")
    if not words:
        assert BdvZarrReader.open(xml).n_timepoints == 1
        return
    with pytest.raises(ElephantError) as caught:
        make(xml, tmp_path / "dataset")
    assert words in str(caught.value)


def test_images_that_differ_or_are_damaged_are_named(tmp_path: Path) -> None:
    xml = write_views(tmp_path, values(), compressors=None)
    block = tmp_path / "m.ome.zarr/s0-t1.zarr/0/c/0/0/0/0/0"
    block.write_bytes(block.read_bytes()[:50])
    with pytest.raises(DatasetError, match=r"timepoint 1 of m\.xml is damaged: expected every block of s0-t1\.zarr"):
        read(BdvZarrReader.open(xml))
    write(tmp_path / "m.ome.zarr" / "s0-t1.zarr", values()[:1, :1, :3])
    with pytest.raises(DatasetError, match=r"but s0-t0\.zarr is 4 x 20 x 30 uint16 and s0-t1\.zarr is 3 x 20 x 30"):
        BdvZarrReader.open(xml)
    with pytest.raises(NotFoundError):
        BdvZarrReader.open(tmp_path / "n.xml")
