"""Movies that npy2bdv and pybdv write become datasets voxel for voxel, and their .xml counts.

Both packages are for the tests alone (npy2bdv is under the GPL): nothing that is shipped imports them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.dataset.helpers import images_of
from elephant.config import ConversionParams
from elephant.dataset import DatasetSource, convert, find_movie
from elephant.dataset.readers.bdv_finding import find_spim_data
from elephant.errors import DatasetError, InvalidInputError
from elephant.progress import NeverCancelled, NoReporter

SHAPE = (6, 24, 20)


@dataclass(frozen=True)
class Written:
    """How a movie is written, and what its dataset should hold.

    Attributes
    ----------
    options
        For the writer.
    shape, dtype
        Of a view, (Z, Y, X).
    views
        (timepoint, setup) of all views that are written, in this order.
    taken
        The source that is asked for; None for the first.
    expected
        The timepoints of the dataset as numbers of the movie.
    how
        Further parameters of the conversion.
    """

    options: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, int, int] = SHAPE
    dtype: str = "uint16"
    views: tuple[tuple[int, int], ...] = ((0, 0), (1, 0), (2, 0))
    taken: int | None = None
    expected: tuple[int, ...] = (0, 1, 2)
    how: dict[str, Any] = field(default_factory=dict)

    def image(self, t: int, setup: int) -> np.ndarray:
        rng = np.random.default_rng((t, setup))
        if self.dtype == "float32":
            return rng.integers(0, 60000, self.shape).astype(np.float32)
        return rng.integers(0, np.iinfo(self.dtype).max, self.shape, self.dtype, endpoint=True)

    @property
    def setup(self) -> int:
        return min(s for _, s in self.views) if self.taken is None else self.taken


def several(n_timepoints: int, n_setups: int) -> tuple[tuple[int, int], ...]:
    return tuple((t, s) for t in range(n_timepoints) for s in range(n_setups))


def without(views: tuple[tuple[int, int], ...], *gone: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(view for view in views if view not in gone)


PYRAMID = {"subsamp": ((1, 1, 1), (1, 2, 2), (2, 4, 4)), "blockdim": ((2, 8, 8),) * 3}
NPY2BDV = {
    "one timepoint": Written(views=((0, 0),), expected=(0,)),
    "three timepoints": Written(),
    "gzip": Written({"compression": "gzip"}),
    "lzf, and small blocks": Written({"compression": "lzf", "blockdim": ((1, 5, 7),)}),
    "three levels": Written(PYRAMID),
    "three levels, gzip, odd sizes": Written({**PYRAMID, "compression": "gzip"}, shape=(5, 23, 19)),
    "8 bits": Written({"dtype": "uint8"}, dtype="uint8"),
    "floats": Written({"dtype": "float32", "compression": "gzip"}, dtype="float32"),
    "a single plane": Written(shape=(1, 24, 20), how={"is_2d": True}),
    "two channels": Written({"nchannels": 2}, views=several(3, 2)),
    "two channels, the second": Written({"nchannels": 2}, views=several(3, 2), taken=1),
    "channels, angles, tiles": Written(
        {"nchannels": 2, "nangles": 2, "ntiles": 2}, views=several(2, 8), taken=5, expected=(0, 1)
    ),
    "a view is missing in the middle": Written(views=((0, 0), (2, 0))),
    "a source starts late": Written({"nchannels": 2}, views=without(several(3, 2), (0, 0))),
    "a source is empty": Written({"nchannels": 2}, views=((0, 1), (1, 1), (2, 1)), taken=1),
}
LEVELS = {"downscale_factors": [[1, 2, 2], [2, 2, 2]], "chunks": (2, 8, 8)}
PYBDV = {
    "three timepoints": Written(),
    "levels by means": Written({**LEVELS, "downscale_mode": "mean"}),
    "8 bits": Written(dtype="uint8"),
    "floats": Written(dtype="float32"),
    "two setups": Written(views=several(3, 2), taken=1),
    "setups from the last to the first": Written(views=tuple(reversed(several(3, 2)))),
    "setups that are not numbered from 0": Written(views=((0, 3), (0, 7), (1, 3), (1, 7)), expected=(0, 1)),
    "timepoints that are not numbered from 0": Written(views=((4, 0), (5, 0)), expected=(4, 5)),
    # Its .xml has a range of timepoints and lists no missing views.
    "a timepoint that was not written": Written(views=((0, 0), (2, 0)), how={"fill_gaps": True}),
    "a view that was not written": Written(views=without(several(3, 2), (1, 0)), how={"fill_gaps": True}),
}


@pytest.mark.parametrize("case", NPY2BDV.values(), ids=NPY2BDV)
def test_npy2bdv(tmp_path: Path, case: Written) -> None:
    npy2bdv = pytest.importorskip("npy2bdv")
    counts = [case.options.get(name, 1) for name in ("nilluminations", "nchannels", "ntiles", "nangles")]
    writer = npy2bdv.BdvWriter(str(tmp_path / "m.h5"), **case.options)
    for t, setup in case.views:
        place = zip(("illumination", "channel", "tile", "angle"), np.unravel_index(setup, counts), strict=True)
        writer.append_view(case.image(t, setup), time=t, voxel_size_xyz=(0.5, 0.25, 2), voxel_units="um", **dict(place))
    writer.write_xml()
    writer.close()
    check(tmp_path, case, "um")


def test_angles_and_tiles_of_npy2bdv_need_fusion_unless_one_is_chosen(tmp_path: Path) -> None:
    npy2bdv = pytest.importorskip("npy2bdv")
    writer = npy2bdv.BdvWriter(str(tmp_path / "m.h5"), nchannels=2, nangles=2, ntiles=3)
    for channel, angle, tile in np.ndindex(2, 2, 3):
        writer.append_view(Written().image(0, 0), channel=channel, angle=angle, tile=tile)
    writer.write_xml()
    writer.close()
    with pytest.raises(DatasetError, match=r"in 2 angles and 3 tiles, which needs fusion") as caught:
        convert(tmp_path / "m.h5", tmp_path / "dataset", ConversionParams(), NoReporter(), NeverCancelled())
    assert str(caught.value).count("(") == 6  # those of the first channel
    convert(tmp_path / "m.h5", tmp_path / "dataset", ConversionParams(setup=7), NoReporter(), NeverCancelled())
    np.testing.assert_array_equal(images_of(tmp_path / "dataset")[0], Written().image(0, 0))


LEVEL_1 = {".h5": "t{t:05d}/s00/1/cells", ".n5": "setup0/timepoint{t}/s1"}


@pytest.mark.filterwarnings("ignore:Setup .* is present:UserWarning")
@pytest.mark.parametrize("suffix", LEVEL_1)
def test_a_level_of_pybdv(tmp_path: Path, suffix: str) -> None:
    pybdv = pytest.importorskip("pybdv")
    path = tmp_path / f"m{suffix}"
    for t in range(2):
        image, how = Written(shape=(7, 23, 19)).image(t, 0), {"downscale_factors": [[1, 2, 2], [2, 2, 2]]}
        pybdv.make_bdv(image, str(path), resolution=[2, 0.25, 0.5], setup_id=0, timepoint=t, chunks=(3, 8, 5), **how)
    with pybdv.util.open_file(str(path)) as file:
        truth = np.stack([file[LEVEL_1[suffix].format(t=t)][:].view(np.uint16) for t in range(2)])
    convert(path, tmp_path / "dataset", ConversionParams(level=1), NoReporter(), NeverCancelled())
    np.testing.assert_array_equal(images_of(tmp_path / "dataset"), truth)
    source = DatasetSource.read(tmp_path / "dataset")
    assert source is not None
    assert source.voxel_size is not None
    assert (source.level, source.voxel_size.zyx) == (1, (2, 0.5, 1))
    with pytest.raises(InvalidInputError, match=r"got 3: it has 0 \(7 x 23 x 19\), 1 \(7 x 11 x 9\), 2 \(3 x 5 x 4\)"):
        convert(path, tmp_path / "dataset", ConversionParams(level=3), NoReporter(), NeverCancelled())


@pytest.mark.filterwarnings("ignore:Setup .* is present:UserWarning")
@pytest.mark.parametrize("suffix", [".h5", ".n5"])
@pytest.mark.parametrize("case", PYBDV.values(), ids=PYBDV)
def test_pybdv(tmp_path: Path, case: Written, suffix: str) -> None:
    pybdv = pytest.importorskip("pybdv")
    if suffix == ".n5":
        pytest.importorskip("z5py")
    for t, setup in case.views:
        pybdv.make_bdv(
            case.image(t, setup),
            str(tmp_path / f"m{suffix}"),
            resolution=[2, 0.25, 0.5],
            unit="micrometer",
            setup_id=setup,
            timepoint=t,
            setup_name=f"channel {setup}",
            **case.options,
        )
    check(tmp_path, case, "micrometer", suffix)


def check(folder: Path, case: Written, unit: str, suffix: str = ".h5") -> None:
    """Convert the movie, and compare it with what was written."""
    movie = find_movie(folder)
    assert movie == folder / f"m{suffix}"
    params = ConversionParams.model_validate({"setup": case.taken, **case.how})
    convert(movie, folder / "dataset", params, NoReporter(), NeverCancelled())
    blank = np.zeros(case.shape, case.dtype)
    truth = np.stack([case.image(t, case.setup) if (t, case.setup) in case.views else blank for t in case.expected])
    np.testing.assert_array_equal(images_of(folder / "dataset"), truth[:, 0] if params.is_2d else truth)
    source = DatasetSource.read(folder / "dataset")
    assert source is not None
    assert (source.setup, source.n_setups) == (case.setup, len({s for _, s in case.views}))
    absent = (i for i, t in enumerate(case.expected) if (t, case.setup) not in case.views)
    assert source.blank_timepoints == tuple(absent)
    described = find_spim_data(movie)
    assert described is not None
    setup = described.setup(case.setup)
    assert setup is not None
    assert setup.voxel_size is not None
    assert (setup.size, setup.voxel_size.zyx, setup.unit) == (case.shape, (2, 0.25, 0.5), unit)
