"""Tracked nuclei as one label image."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from core.cli.shell import Done, Shell
from core.dataset.bdv import ramp, write_movie
from elephant.cli.main import main

SPOTS = (
    "t,x,y,z,radius,id,parent,track\n"
    "0,8,8,8,2,1,,1\n1,5,8,8,2,2,1,1\n1,14,8,8,2,3,1,1\n2,5,8,8,2,4,2,1\n3,14,8,8,2,5,3,1\n2,99,8,8,2,6,,9\n"
)


def export(shell: Shell, dataset: Path, output: str, *args: object, name: str = "labels") -> Done:
    (shell.folder / "s.csv").write_text(SPOTS)
    voxel = ["--voxel-size", "0.5", "0.5", "2"]
    return shell("export", dataset, "--spots", "s.csv", *voxel, "--format", name, "-o", output, *args)


def masks(shell: Shell, dataset: Path, *args: object) -> np.ndarray:
    assert export(shell, dataset, "masks", *args, name="ctc").status == 0
    return np.stack([tifffile.imread(path) for path in sorted((shell.folder / "masks").glob("*.tif"))])


def test_a_tiff_holds_all_masks(dataset: Path, shell: Shell) -> None:
    done = export(shell, dataset, "l.ome.tif")
    assert "labels of 4 timepoints with 5 nuclei in 4 tracks" in done.out
    assert "1 nucleus outside of the image" in done.err
    with tifffile.TiffFile(shell.folder / "l.ome.tif") as tif:
        (series,) = tif.series
        assert (series.axes, series.dtype, tif.is_ome) == ("TZYX", np.uint16, True)
        np.testing.assert_array_equal(series.asarray(), masks(shell, dataset))
        assert 'PhysicalSizeX="0.5"' in str(tif.ome_metadata)


def test_a_folder_is_an_image_of_labels_in_ome_zarr(dataset: Path, shell: Shell) -> None:
    assert export(shell, dataset, "l.zarr", "-t", "1-2").status == 0
    group = zarr.open_group(shell.folder / "l.zarr", mode="r")
    np.testing.assert_array_equal(group["0"][...], masks(shell, dataset, "-t", "1-2"))
    about = dict(group.attrs)
    assert "image-label" in about
    assert [axis["name"] for axis in about["multiscales"][0]["axes"]] == ["t", "z", "y", "x"]
    assert about["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 2, 0.5, 0.5]


def test_flat_movies_have_flat_labels(tmp_path: Path, shell: Shell) -> None:
    write_movie(tmp_path / "m.h5", ramp(4, (1, 32, 40)))
    assert main(["convert", str(tmp_path / "m.h5"), str(tmp_path / "m"), "--2d", "-q"]) == 0
    assert export(shell, tmp_path / "m", "l.tif").status == 0
    assert export(shell, tmp_path / "m", "l.zarr").status == 0
    found = tifffile.imread(shell.folder / "l.tif")
    assert found.shape == (4, 32, 40)
    np.testing.assert_array_equal(found, masks(shell, tmp_path / "m"))
    np.testing.assert_array_equal(found, zarr.open_array(shell.folder / "l.zarr" / "0", mode="r")[...])


@pytest.mark.parametrize("output", ["l.tif", "l.zarr", "plain"])
def test_only_an_earlier_export_is_replaced(output: str, dataset: Path, shell: Shell) -> None:
    assert export(shell, dataset, output).status == 0
    assert "give --overwrite" in export(shell, dataset, output).err
    assert export(shell, dataset, output, "--overwrite").status == 0
    if output == "l.tif":
        tifffile.imwrite(shell.folder / output, np.zeros((4, 8), np.uint8))
    else:
        (shell.folder / output / ".zattrs").write_text('{"multiscales": []}')
    assert "holds an image, which was not written by an export" in export(shell, dataset, output, "--overwrite").err
