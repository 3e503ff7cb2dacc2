"""What ``elephant convert`` makes of TIFF files: channels, axes that are not known, and a file for each timepoint."""

from pathlib import Path

import numpy as np
import tifffile

from core.cli.shell import Shell
from core.dataset.helpers import images_of

MOVIE = np.random.default_rng(0).integers(0, 200, (3, 2, 4, 20, 30), np.uint16)  # T, C, Z, Y, X
GREY = {"photometric": "minisblack"}


def test_a_channel_of_an_ome_tiff(shell: Shell) -> None:
    meta = {"axes": "TCZYX", "Channel": {"Name": ["GFP", "RFP"]}, "PhysicalSizeX": 0.4, "PhysicalSizeY": 0.4}
    tifffile.imwrite("m.ome.tif", MOVIE, metadata=meta | {"PhysicalSizeZ": 2.0})
    done = shell("convert", "m.ome.tif", "m", "--channel", "RFP", "--json")
    assert (done.status, done.json["voxel_size"], done.json["setup"]) == (0, [0.4, 0.4, 2], 1)
    np.testing.assert_array_equal(images_of(shell.folder / "m"), MOVIE[:, 1])


def test_a_stack_without_axes(shell: Shell) -> None:
    tifffile.imwrite("stack.tif", MOVIE[:, 0, 0], metadata=None, **GREY)
    done = shell("convert", "stack.tif", "m")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "give --axes ZYX for one volume, or TYX for a movie of planes" in done.err
    assert shell("convert", "stack.tif", "m", "--axes", "TYX", "--2d").status == 0
    np.testing.assert_array_equal(images_of(shell.folder / "m"), MOVIE[:, 0, 0])
    assert "axes" in shell("convert", "stack.tif", "n", "--axes", "banana").err


def test_files_with_a_timepoint_each_beside_the_dataset(shell: Shell) -> None:
    folder = shell.folder / "m"
    folder.mkdir(parents=True)
    for t, c in np.ndindex(3, 2):
        tifffile.imwrite(folder / f"t{t:03d}_c{c}.tif", MOVIE[t, c], metadata=None, **GREY)
    done = shell("convert", folder, "other")
    assert "differ in one number, the timepoint, got 2" in done.err
    assert "such as 't{t}_c{c}.tif'" in done.err
    assert shell("convert", folder / "t{t:03d}_c{c}.tif", "m", "--setup", 1).status == 0
    np.testing.assert_array_equal(images_of(folder), MOVIE[:, 1])
    assert shell("add", Path("m") / "nothing{t}.tif", "n").status == 1
