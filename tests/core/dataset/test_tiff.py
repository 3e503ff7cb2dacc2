"""TIFF movies, as tifffile, scikit-image and Pillow write them: OME-TIFF, ImageJ's hyperstacks, BigTIFF and stacks."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.io
import tifffile
from numpy.typing import NDArray
from PIL import Image

import elephant
from core.dataset.helpers import make
from elephant.dataset import Dataset, DatasetSource
from elephant.dataset.readers import reader_of_movie
from elephant.dataset.readers.tiff import TiffReader
from elephant.errors import DatasetError, InvalidInputError
from elephant.types import VoxelSize

SIZES = {"T": 3, "Z": 4, "C": 2, "Y": 37, "X": 45}
GREY = {"photometric": "minisblack"}
OME = {"PhysicalSizeX": 0.4, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
DTYPES = ["uint8", "uint16", "int16", "float32", "bool"]


def values(axes: str = "TZCYX", dtype: str = "uint16") -> NDArray[Any]:
    image = np.random.default_rng(0).integers(0, 200, [SIZES[axis] for axis in axes])
    if dtype == "int16":
        image -= 100
    return (image % 2 if dtype == "bool" else image).astype(dtype)


def read(path: Path, setup: int | None = None, level: int = 0, **more: Any) -> NDArray[Any]:
    """Return T, Z, Y, X, read by pieces that no block begins with."""
    movie = TiffReader.open(path, setup, **more).at_level(level)
    out = np.zeros((movie.n_timepoints, *movie.shape), movie.dtype)
    y, x = movie.shape[1] // 2 + 1, movie.shape[2] // 2 - 1
    for t in range(movie.n_timepoints):
        if t in movie.blank_timepoints:
            continue
        with movie.timepoint(t) as voxels:
            for rows in (slice(0, y), slice(y, movie.shape[1])):
                for columns in (slice(0, x), slice(x, movie.shape[2])):
                    region = (slice(0, movie.shape[0]), rows, columns)
                    out[(t, *region)] = voxels[region]
    return out


def same(path: Path, image: NDArray[Any], axes: str = "TZCYX", given: str | None = None) -> None:
    """Compare all channels with the image that was written, T, Z, Y, X each."""
    for missing in (name for name in "TZC" if name not in axes):
        image, axes = image[None], missing + axes
    image = image.transpose([axes.index(name) for name in "TCZYX"])
    for channel in range(image.shape[1]):
        np.testing.assert_array_equal(read(path, channel, axes=given), image[:, channel])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"byteorder": ">", "bigtiff": True},
        {"rowsperstrip": 7, "byteorder": ">", "compression": "zlib", "predictor": True},
        {"tile": (16, 32)},
        {"tile": (16, 16), "compression": "lzw"},
        {"compression": "zstd"},
        {"compression": "lzma", "rowsperstrip": 10},
    ],
    ids=lambda how: " ".join(map(str, how)),
)
def test_any_type_however_it_is_stored(tmp_path: Path, dtype: str, how: dict[str, Any]) -> None:
    if dtype == "bool" and "predictor" in how:
        how = {**how, "predictor": None}
    if dtype == "float32" and "predictor" in how:
        how = {**how, "predictor": 3}
    image, path = values(dtype=dtype), tmp_path / "m.tif"
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "TZCYX"}, **GREY, **how)
    same(path, image)
    tifffile.imwrite(path, image, metadata={"axes": "TZCYX"}, **GREY, **how)
    same(path, image)


@pytest.mark.parametrize(
    "axes", ["TZCYX", "TCZYX", "CTZYX", "CZTYX", "ZTCYX", "ZCTYX", "TZYX", "CYX", "TYX", "ZYX", "YX"]
)
def test_any_order_of_dimensions(tmp_path: Path, axes: str) -> None:
    image, path = values(axes), tmp_path / "m.ome.tif"
    tifffile.imwrite(path, image, metadata={"axes": axes} | OME, **GREY)
    same(path, image, axes)
    shaped = tmp_path / "m.tif"
    tifffile.imwrite(shaped, image, metadata={"axes": axes}, **GREY)
    same(shaped, image, axes)


def test_what_ome_says_of_channels_and_scale(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.tif"
    channels = {"Channel": {"Name": ["GFP", "RFP"]}, "TimeIncrement": 2.0, "TimeIncrementUnit": "min"}
    tifffile.imwrite(path, values(), metadata={"axes": "TZCYX"} | OME | channels)
    movie = TiffReader.open(path, 1)
    assert (movie.setup.title, movie.setup.unit) == ("source 1 (RFP)", "µm")
    assert (movie.setup.voxel_size, movie.interval) == (VoxelSize(2.0, 0.5, 0.4), 120.0)
    assert [each.name for each in movie.others] == ["GFP"]
    nm = {"PhysicalSizeZ": 2000.0, "PhysicalSizeZUnit": "nm"}
    tifffile.imwrite(path, values(), metadata={"axes": "TZCYX"} | OME | nm)
    assert TiffReader.open(path).setup.voxel_size == VoxelSize(2.0, 0.5, 0.4)
    pixels = {f"PhysicalSize{axis}Unit": "pixel" for axis in "XYZ"}
    tifffile.imwrite(path, values(), metadata={"axes": "TZCYX"} | OME | pixels)
    assert TiffReader.open(path).setup.voxel_size is None
    with pytest.raises(InvalidInputError, match=r"expected `setup` to be a source of m\.ome\.tif, got 2: it has 0, 1"):
        TiffReader.open(path, 2)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("axes", ["TZCYX", "TZYX", "TCYX", "TYX"])
def test_hyperstacks_of_imagej(tmp_path: Path, axes: str, dtype: str) -> None:
    image, path = values(axes, dtype), tmp_path / "m.tif"
    meta = {"axes": axes, "spacing": 2.0, "unit": "um", "finterval": 60.0, "hyperstack": True}
    tifffile.imwrite(path, image, imagej=True, resolution=(1 / 0.4, 1 / 0.5), metadata=meta)
    same(path, image, axes)
    movie = TiffReader.open(path)
    assert movie.setup.voxel_size is not None
    assert movie.setup.voxel_size.zyx == pytest.approx((2.0, 0.5, 0.4), rel=1e-6)
    assert (movie.setup.unit, movie.interval) == ("um", 60.0)


@pytest.mark.parametrize(
    ("scale", "more", "z"),
    [
        (1, {"zunit": "nm", "spacing": 2000.0}, 2.0),
        (1, {"zunit": "sec"}, None),
        (1, {"unit": "pixel"}, None),
        (1e4, {}, 2.0),  # pixels per centimetre
    ],
)
def test_units_that_differ_between_axes(tmp_path: Path, scale: float, more: dict[str, Any], z: float | None) -> None:
    meta = {"axes": "TZYX", "spacing": 2.0, "unit": "um"} | more
    unit = "CENTIMETER" if scale > 1 else None
    pixels = (scale / 0.4, scale / 0.5)
    tifffile.imwrite(
        tmp_path / "m.tif", values("TZYX"), imagej=True, resolution=pixels, resolutionunit=unit, metadata=meta
    )
    found = TiffReader.open(tmp_path / "m.tif").setup
    if z is None:
        assert (found.voxel_size, found.unit) == (None, "")
    else:
        assert found.voxel_size is not None
        assert found.voxel_size.zyx == pytest.approx((z, 0.5, 0.4), rel=1e-6)
        assert found.unit == "um"


@pytest.mark.parametrize("written", ["\\u00B5m", "\\u00b5m"])
def test_a_micrometre_as_imagej_escapes_it(tmp_path: Path, written: str) -> None:
    meta = {"axes": "TZYX", "spacing": 2.0, "unit": written}
    tifffile.imwrite(tmp_path / "m.tif", values("TZYX"), imagej=True, resolution=(2.0, 2.0), metadata=meta)
    assert TiffReader.open(tmp_path / "m.tif").setup.unit == "\u00b5m"


def virtual(path: Path, first: NDArray[Any], n: int, axes: str) -> Path:
    """Write the beginning of a file of ImageJ whose planes follow each other without pages of their own."""
    words = f"ImageJ=1.54f\nimages={n}\n{axes}\nhyperstack=true\nunit=micron\nspacing=1.5\n"
    tifffile.imwrite(path, first, byteorder=">", description=words, metadata=None, resolution=(2.0, 2.0), **GREY)
    return path


def test_planes_of_imagej_without_pages_of_their_own(tmp_path: Path) -> None:
    image = values()
    path = virtual(tmp_path / "m.tif", image[0, 0, 0], 24, "channels=2\nslices=4\nframes=3")
    with path.open("ab") as file:
        file.write(image.reshape(24, 37, 45)[1:].astype(">u2").tobytes())
    same(path, image)
    assert TiffReader.open(path).setup.voxel_size == VoxelSize(1.5, 0.5, 0.5)


def test_a_file_of_more_than_4_gib(tmp_path: Path) -> None:
    plane, n = np.zeros((1024, 2048), np.uint16), 1100
    path = virtual(tmp_path / "m.tif", plane, n, f"slices=11\nframes={n // 11}")
    start = path.stat().st_size - plane.nbytes
    with path.open("r+b") as file:
        file.truncate(start + n * plane.nbytes)
        file.seek(start + (n - 1) * plane.nbytes + 2 * (5 * 2048 + 7))
        file.write(b"\x01\x02")
    assert path.stat().st_size > 2**32
    movie = TiffReader.open(path)
    assert (movie.n_timepoints, movie.shape) == (100, (11, 1024, 2048))
    with movie.timepoint(99) as voxels:
        found = voxels[slice(10, 11), slice(4, 6), slice(6, 9)]
    np.testing.assert_array_equal(found, [[[0, 0, 0], [0, 258, 0]]])


def test_a_single_timepoint_of_imagej_may_be_a_movie(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image, path = values("ZYX"), tmp_path / "m.tif"
    tifffile.imwrite(path, image, imagej=True, metadata={"axes": "ZYX"})
    same(path, image, "ZYX")
    assert "m.tif is taken as one timepoint of 4 planes (Z): if these are timepoints, give `axes` TYX" in caplog.text
    caplog.clear()
    same(path, image, "TYX", "TYX")
    assert not caplog.text


@pytest.mark.parametrize("writer", ["pillow", "scikit-image", "tifffile"])
def test_a_stack_of_pages_is_what_the_person_says(tmp_path: Path, writer: str) -> None:
    image, path = values("TZYX", "uint8").reshape(12, 37, 45), tmp_path / "m.tif"
    if writer == "pillow":
        pages = [Image.fromarray(page) for page in image]
        pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_deflate")
    elif writer == "scikit-image":
        skimage.io.imsave(path, image, check_contrast=False)
    else:
        tifffile.imwrite(path, image, metadata=None, **GREY)
    with pytest.raises(DatasetError, match=r"m\.tif is a stack of 12 images, and does not say .* give `axes` ZYX"):
        TiffReader.open(path)
    same(path, image, "ZYX", "ZYX")
    same(path, image, "TYX", "tyx")
    make(path, tmp_path / "m", axes="TYX")
    source = DatasetSource.read(tmp_path / "m")
    assert source is not None
    assert (source.reader, source.axes, Dataset(tmp_path / "m").n_timepoints) == ("tiff", "TYX", 12)


def test_several_axes_without_names(tmp_path: Path) -> None:
    image, path = values("TZYX"), tmp_path / "m.tif"
    tifffile.imwrite(path, image, **GREY)
    with pytest.raises(DatasetError, match=r"m\.tif has 3 x 4 images, and does not say what they are: .* such as TZYX"):
        TiffReader.open(path)
    same(path, image, "TZYX", "TZYX")
    same(path, image, "ZCYX", "ZCYX")
    tifffile.imwrite(path, image, metadata={"axes": "TRYX"}, **GREY)
    with pytest.raises(DatasetError, match=r"some of which are regions or tiles: give `axes`"):
        TiffReader.open(path)
    for wrong in ("TYX", "TTYX", "ZYXT", "YX"):
        with pytest.raises(InvalidInputError, match=r"for 2 before YX, of the lengths 3, 4"):
            TiffReader.open(path, axes=wrong)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("how", [{}, {"tile": (16, 16), "compression": "zlib"}], ids=["plain", "tiles"])
def test_colours_are_sources(tmp_path: Path, planar: str, how: dict[str, Any]) -> None:
    image, path = np.random.default_rng(0).integers(0, 255, (3, 37, 45, 3), np.uint8), tmp_path / "m.tif"
    written = image if planar == "contig" else image.transpose(0, 3, 1, 2)
    axes = "TYXS" if planar == "contig" else "TSYX"
    more = {"photometric": "rgb", "planarconfig": planar, **how}
    for ome in (True, False):
        tifffile.imwrite(path, written, ome=ome, metadata={"axes": axes}, **more)
        for colour in range(3):
            np.testing.assert_array_equal(read(path, colour)[:, 0], image[..., colour])
        movie = TiffReader.open(path, 1)
        assert "green" in movie.setup.title


# As tifffile stores three or four planes where nothing is said of colours.
AS_COLOURS = {"photometric": "rgb", "planarconfig": "separate"}


@pytest.mark.parametrize("n", [3, 4])
def test_planes_that_are_stored_as_colours(tmp_path: Path, n: int) -> None:
    path, image = tmp_path / "m.tif", values("TZYX")[:, :1].repeat(n, axis=1) + np.arange(n, dtype="u2")[:, None, None]
    tifffile.imwrite(path, image, metadata={"axes": "TZYX"}, **AS_COLOURS)
    same(path, image, "TZYX")
    tifffile.imwrite(path, image, metadata={"axes": "TCYX"}, **AS_COLOURS)
    same(path, image, "TCYX")
    tifffile.imwrite(path, image, metadata=None, **AS_COLOURS)
    same(path, image, "TZYX", given="TZYX")
    np.testing.assert_array_equal(read(path, n - 1, axes="TYX"), image[:, -1:])  # colours
    tifffile.imwrite(path, image[0], metadata=None, **AS_COLOURS)
    same(path, image[:1], "TZYX", given="ZYX")


def test_planes_that_are_stored_as_colours_before_another_image(tmp_path: Path) -> None:
    """Where one plane begins was multiplied by the number of planes in a page."""
    image, path = values("TZYX"), tmp_path / "m.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(image, metadata={"axes": "TZYX"}, **AS_COLOURS)
        file.write(np.zeros((50, 37, 45), "u2"), metadata={"axes": "ZYX"}, **GREY)
    np.testing.assert_array_equal(read(path, 0), image)


@pytest.mark.parametrize("how", [{"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
def test_compressed_planes_that_are_stored_as_colours_are_refused(tmp_path: Path, how: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "m.tif", values("TZYX"), metadata={"axes": "TZYX"}, **AS_COLOURS, **how)
    with pytest.raises(DatasetError, match="a page of its own, got 4 planes in each page, as if these were colours"):
        TiffReader.open(tmp_path / "m.tif")


def test_several_images_are_sources(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.tif"
    first, second = values("TZYX"), values("CYX")
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(first, metadata={"axes": "TZYX", "Name": "left"}, **GREY)
        tif.write(second, metadata={"axes": "CYX", "Name": "right"}, **GREY)
    np.testing.assert_array_equal(read(path, 0), first)
    np.testing.assert_array_equal(read(path, 2)[0, 0], second[1])
    assert [each.attributes["image"] for each in TiffReader.open(path).others] == ["right", "right"]


def test_levels_of_a_pyramid(tmp_path: Path) -> None:
    path, image = tmp_path / "m.ome.tif", values("TZYX")
    with tifffile.TiffWriter(path) as tif:
        more: dict[str, Any] = {"tile": (16, 16), **GREY}
        tif.write(image, subifds=2, metadata={"axes": "TZYX"} | OME, **more)
        tif.write(image[..., ::2, ::2], subfiletype=1, **more)
        tif.write(image[..., ::4, ::4], subfiletype=1, **more)
    movie = TiffReader.open(path)
    assert [level.shape for level in movie.levels] == [(4, 37, 45), (4, 19, 23), (4, 10, 12)]
    assert movie.levels[2].voxel_size == VoxelSize(2.0, 2.0, 1.6)
    for level in range(3):
        np.testing.assert_array_equal(read(path, level=level), image[..., :: 2**level, :: 2**level])
    make(path, tmp_path / "m", level=1)
    np.testing.assert_array_equal(Dataset(tmp_path / "m").read_image(2), image[2, :, ::2, ::2])


def test_a_movie_in_several_files(tmp_path: Path) -> None:
    image = values("TZYX")
    folder = several_files(tmp_path, image)
    np.testing.assert_array_equal(read(folder / "b.ome.tif"), image)
    assert {path.name for path in TiffReader.open(folder / "a.ome.tif").files()} == {
        "a.ome.tif",
        "b.ome.tif",
        "c.ome.tif",
    }
    (folder / "b.ome.tif").unlink()
    with pytest.raises(DatasetError, match=r"names 3 files, of which 1 are missing: copy b\.ome\.tif beside it"):
        TiffReader.open(folder / "a.ome.tif")
    movie = TiffReader.open(folder / "a.ome.tif", fill_gaps=True)
    assert movie.blank_timepoints == (1,)
    np.testing.assert_array_equal(read(folder / "c.ome.tif", fill_gaps=True)[::2], image[::2])


def several_files(folder: Path, image: NDArray[Any], companion: bool = False) -> Path:
    """Write an OME-TIFF with a file for each timepoint, as Micro-Manager and Bio-Formats do."""
    names = [f"{letter}.ome.tif" for letter in "abc"]
    data = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="4"><UUID FileName="{name}">urn:uuid:{t}</UUID></TiffData>'
        for t, name in enumerate(names)
    )
    pixels = (
        '<Pixels ID="Pixels:0" DimensionOrder="XYZTC" Type="uint16" SizeX="45" SizeY="37" SizeZ="4" SizeC="1" '
        f'SizeT="3"><Channel ID="Channel:0" SamplesPerPixel="1"/>{data}</Pixels>'
    )
    for t, name in enumerate(names):
        uuid = "" if companion else f' UUID="urn:uuid:{t}"'
        content = '<BinaryOnly MetadataFile="m.companion.ome" UUID="urn:uuid:9"/>' if companion else None
        text = ome(content or f'<Image ID="Image:0">{pixels}</Image>', uuid)
        tifffile.imwrite(folder / name, image[t], description=text.encode(), metadata=None, **GREY)
    if companion:
        (folder / "m.companion.ome").write_text(ome(f'<Image ID="Image:0">{pixels}</Image>'))
    return folder


def ome(content: str, more: str = "") -> str:
    head = '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    return f"{head}{more}>{content}</OME>"


def test_a_companion_file_names_the_others(tmp_path: Path) -> None:
    image = values("TZYX")
    folder = several_files(tmp_path, image, companion=True)
    for name in ("m.companion.ome", "b.ome.tif"):
        assert reader_of_movie(folder / name).plugin.name == "tiff"
        np.testing.assert_array_equal(read(folder / name), image)
    (folder / "m.companion.ome").unlink()
    with pytest.raises(elephant.errors.NotFoundError, match=r"m\.companion\.ome with the metadata .* does not exist"):
        TiffReader.open(folder / "a.ome.tif")


def test_a_file_that_was_renamed_is_read(tmp_path: Path) -> None:
    image = values("TZYX")
    data = '<TiffData PlaneCount="12"><UUID FileName="old.ome.tif">urn:uuid:1</UUID></TiffData>'
    pixels = '<Pixels DimensionOrder="XYZCT" Type="uint16" SizeX="45" SizeY="37" SizeZ="4" SizeC="1" SizeT="3">'
    text = ome(f"<Image>{pixels}{data}</Pixels></Image>").encode()
    tifffile.imwrite(tmp_path / "new.tif", image, description=text, metadata=None, **GREY)
    np.testing.assert_array_equal(read(tmp_path / "new.tif"), image)


def test_a_two_channel_movie_becomes_a_dataset(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image, path = values(), tmp_path / "embryo.ome.tif"
    tifffile.imwrite(path, image, metadata={"axes": "TZCYX", "Channel": {"Name": ["nuclei", "membrane"]}} | OME)
    make(path, tmp_path / "m", channel="membrane")
    dataset = Dataset(tmp_path / "m")
    np.testing.assert_array_equal([dataset.read_image(t) for t in range(3)], image[:, :, 1])
    assert dataset.source is not None
    assert dataset.source.title == "embryo.ome.tif, source 1 (membrane) of 2"
    assert dataset.source.voxel_size == VoxelSize(2.0, 0.5, 0.4)
    shutil.copy(path, path.with_name("other.ome.tif"))
    make(path, tmp_path / "first")
    assert "embryo.ome.tif has 2 sources, and source 0 (nuclei) is used" in caplog.text


def test_a_movie_is_read_in_place(tmp_path: Path) -> None:
    image, path = values(), tmp_path / "m.ome.tif"
    tifffile.imwrite(path, image, metadata={"axes": "TZCYX"} | OME, tile=(16, 16), compression="zlib")
    dataset = elephant.open_dataset(path, tmp_path / "m", channel="1", in_place=True, quiet=True)
    np.testing.assert_array_equal([dataset.read_image(t) for t in range(3)], image[:, :, 1])
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, image[:, 0, 0], metadata=None, **GREY)
    dataset = elephant.open_dataset(stack, tmp_path / "s", axes="TYX", is_2d=True, in_place=True, quiet=True)
    np.testing.assert_array_equal(dataset.read_image(2), image[2, 0, 0])
