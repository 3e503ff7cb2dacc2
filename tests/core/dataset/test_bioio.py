"""Movies that the package bioio reads; with it and bioio-ome-tiff installed, voxel for voxel."""

from pathlib import Path

import numpy as np
import pytest

from core.dataset.helpers import images_of, make
from elephant.dataset import DatasetSource, find_movie
from elephant.dataset.readers import reader_of_movie
from elephant.errors import DatasetError

MOVIE = np.random.default_rng(0).integers(0, 200, (3, 2, 4, 37, 45)).astype(np.uint16)  # T, C, Z, Y, X


@pytest.mark.parametrize(
    ("name", "plugin"), [("m.czi", "bioio-czi"), ("m.LIF", "bioio-lif"), ("m.oib", "bioio-bioformats, and Java")]
)
def test_what_to_install_is_said(tmp_path: Path, name: str, plugin: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"ZISRAWFILE")
    with pytest.raises(DatasetError) as caught:
        reader_of_movie(path)
    assert f"{name} is read by the package {plugin.split(',', maxsplit=1)[0]}, which is not installed" in str(
        caught.value
    )
    assert f'pip install "elephant-core[bioio]" {plugin}' in str(caught.value)
    assert find_movie(tmp_path) is None


def test_channels_of_a_file_written_by_bioio(tmp_path: Path) -> None:
    pytest.importorskip("bioio")
    writers = pytest.importorskip("bioio_ome_tiff.writers")
    path, sizes = tmp_path / "m.ome.tiff", pytest.importorskip("bioio_base.types").PhysicalPixelSizes(2.0, 0.5, 0.4)
    names = ["GFP", "RFP"]
    writers.OmeTiffWriter.save(MOVIE, path, dim_order="TCZYX", channel_names=names, physical_pixel_sizes=sizes)
    for reader in ("bioio", "tiff"):
        for channel, name in enumerate(names):
            folder = tmp_path / f"{reader}{channel}"
            make(path, folder, channel=name, reader=reader)
            np.testing.assert_array_equal(images_of(folder), MOVIE[:, channel])
            source = DatasetSource.read(folder)
            assert source is not None
            assert source.voxel_size is not None
            assert (source.reader, source.voxel_size.zyx) == (reader, (2.0, 0.5, 0.4))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DatasetError, match=r"bioio cannot read m\.ome\.tiff"):
        make(path, tmp_path / "broken", reader="bioio")
