"""Movies that BigDataViewer shows elsewhere than their voxels say."""

import logging
import re
from pathlib import Path

import pytest

from elephant.dataset.readers.base import ViewSetup
from elephant.dataset.readers.bdv_registrations import warn_of_registration
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.simulation import preset, write_movie
from elephant.types import VoxelSize

SETUP = ViewSetup(1, "green", None, VoxelSize(2.0, 0.5, 0.4), "um", {})
SCALED = "0.4 0 0 0 0 0.5 0 0 0 0 2 0"
UNMOVED = "1 0 0 0 0 1 0 0 0 0 1 0"


def said(folder: Path, caplog: pytest.LogCaptureFixture, *views: tuple[str, ...], setup: ViewSetup = SETUP) -> str:
    """Write an .xml whose timepoints have these transforms, after those of another source; return the warning."""
    text = "".join(
        f'<ViewRegistration timepoint="{t}" setup="{s}">'
        + "".join(
            f'<ViewTransform type="affine"><Name>n</Name><affine>{each}</affine></ViewTransform>' for each in of_view
        )
        + "</ViewRegistration>"
        for t, transforms in enumerate(views)
        for s, of_view in ((0, ("0 1 0 9 1 0 0 9 0 0 1 9",)), (1, transforms))
    )
    (folder / "m.xml").write_text(f"<SpimData><ViewRegistrations>{text}</ViewRegistrations></SpimData>")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        warn_of_registration(folder / "m.xml", setup)
    assert len(caplog.messages) <= 1
    return caplog.text


def test_a_source_that_is_where_its_voxels_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not said(tmp_path, caplog, (SCALED,), (UNMOVED, SCALED), (SCALED, UNMOVED))
    assert not said(tmp_path, caplog, ("0.4 0 0 0.1 0 0.5 0 0 0 0 2 -0.9",))  # by less than half a voxel
    assert not said(tmp_path, caplog)
    assert not said(tmp_path, caplog, ("3 0 0 0 0 4 0 0 0 0 5 0",), setup=ViewSetup(1, "", None, None, "", {}))


def test_a_plane_may_be_anywhere_along_z(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plane = ViewSetup(1, "", (1, 20, 30), VoxelSize(1.0, 0.5, 0.4), "um", {})
    assert not said(tmp_path, caplog, ("0.4 0 0 0 0 0.5 0 0 0 0 7 9",), setup=plane)
    assert "is shifted by 8 x 0 (X, Y) at" in said(tmp_path, caplog, ("0.4 0 0 8 0 0.5 0 0 0 0 7 9",), setup=plane)


def test_a_mirrored_source_whose_voxel_size_is_not_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unknown = ViewSetup(1, "", None, None, "", {})
    words = "scaled by -3 x 4 x 5 instead of 3 x 4 x 5 (X, Y, Z)"
    assert words in said(tmp_path, caplog, ("-3 0 0 0 0 4 0 0 0 0 5 0",), setup=unknown)


def test_a_movie_is_told_of_when_it_is_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, xml = (movie := write_movie(preset("flat", timepoints=1), tmp_path / "movie.h5")).h5, movie.xml
    BigDataViewerReader.open(path)
    assert not caplog.messages
    xml.write_text(re.sub(r"<affine>\S+", "<affine>7.5", xml.read_text()))
    BigDataViewerReader.open(path)
    assert "movie.xml: source 0 (channel 1) is scaled by 7.5 x " in caplog.text


@pytest.mark.parametrize(
    ("transforms", "words"),
    [
        ((), "scaled by 1 x 1 x 1 instead of"),
        ((UNMOVED,), "scaled by 1 x 1 x 1 instead of 0.4 x 0.5 x 2 (X, Y, Z), the size of a voxel, at timepoint 1"),
        (("0.4 0 0 12 0 0.5 0 0 0 0 2 0",), "is shifted by 12 x 0 x 0 (X, Y, Z) at timepoint 1"),
        (("1 0 0 5 0 1 0 0 0 0 1 0", SCALED), "is shifted by 5 x 0 x 0 (X, Y, Z) at"),  # the last one is applied first
        ((SCALED, "1 0 0 5 0 1 0 0 0 0 1 0"), "is shifted by 2 x 0 x 0 (X, Y, Z) at"),
        (("0 0.5 0 0 -0.4 0 0 0 0 0 2 0",), "turned or sheared"),
        (("-0.4 0 0 18 0 0.5 0 0 0 0 2 0",), "scaled by -0.4 x 0.5 x 2 instead of"),
        (("nan 0 0 18 0 0.5 0 0 0 0 2 0",), "turned or sheared"),
        (("1 0 0",), "cannot be read"),
    ],
)
def test_one_that_is_elsewhere_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, transforms: tuple[str, ...], words: str
) -> None:
    assert words in said(tmp_path, caplog, (SCALED,), transforms, transforms)


def test_a_document_type_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "m.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><SpimData/>')
    warn_of_registration(tmp_path / "m.xml", SETUP)
    assert "cannot be read (it declares a document type)" in caplog.text
