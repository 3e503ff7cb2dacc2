"""Scores of the Cell Tracking Challenge: those of py-ctcmetrics for the same masks in a folder."""

import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from elephant.dataset import Dataset
from elephant.dataset.opening import open_dataset
from elephant.errors import InvalidInputError
from elephant.evaluation.ctc import check_can_score, ctc_scores
from elephant.evaluation.mask_overlap import match_masks
from elephant.evaluation.masks import CtcFolder, MaskMovie, painted
from elephant.export.base import ExportParams, TrackedMovie, TrackedNucleus
from elephant.export.ctc import CtcExporter
from elephant.progress import NeverCancelled, NoReporter
from elephant.types import Spot, Tag, VoxelSize

VOXEL = VoxelSize(2.0, 0.5, 0.5)
CANCEL = NeverCancelled()
N_TIMEPOINTS = 5


def nuclei(rng: np.random.Generator, *, lost: float = 0.0, jitter: float = 0.0) -> list[TrackedNucleus]:
    """Return nuclei that move, of which two divide at timepoint 2; some are lost, others lie beside their place."""
    found: list[TrackedNucleus] = []
    lines = {1: (4.0, 4.0, None), 2: (4.0, 14.0, None), 3: (12.0, 4.0, None)}
    last: dict[int, int] = {}
    for t in range(N_TIMEPOINTS):
        if t == 2:
            lines = {3: (12.0, 4.0, None)} | {
                10 * k + d: (4.0, 10.0 * k - 7.0 + 4 * d, k) for k in (1, 2) for d in (0, 1)
            }
        now = {}
        for line, (y, x, mother) in lines.items():
            if rng.random() < lost:
                continue
            parent = last.get(line, last.get(mother or 0))
            pos = np.array([8.0, y + 0.3 * t, x]) + rng.normal(0, 1, 3) * jitter
            now[line] = len(found)
            found.append(TrackedNucleus(Spot(t, pos, np.diag([9.0, 3.0, 3.0])), id=len(found), parent=parent))
        last = now
    return found


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    images = np.zeros((N_TIMEPOINTS, 8, 40, 48), np.uint8)
    return open_dataset(images, tmp_path_factory.mktemp("ctc") / "movie", voxel_size=VOXEL.zyx, quiet=True)


def masks_of(some: list[TrackedNucleus], dataset: Dataset) -> MaskMovie:
    return painted(some, dataset, VOXEL, range(N_TIMEPOINTS), (NoReporter(), CANCEL))


def exported(some: list[TrackedNucleus], dataset: Dataset, folder: Path) -> Path:
    folder.parent.mkdir(exist_ok=True)
    params = ExportParams(voxel_size=VOXEL, t_end=N_TIMEPOINTS - 1)
    CtcExporter().export(TrackedMovie(dataset, some, params), folder, NoReporter(), CANCEL)
    return folder


def truth_folder(some: list[TrackedNucleus], dataset: Dataset, folder: Path) -> Path:
    """Return a truth as the challenge has it: markers and outlines, which are the same here."""
    whole = exported(some, dataset, folder / "whole")
    for name, prefix in (("TRA", "man_track"), ("SEG", "man_seg")):
        (folder / name).mkdir()
        for path in whole.glob("mask*.tif"):
            shutil.copy(path, folder / name / path.name.replace("mask", prefix))
    shutil.copy(whole / "res_track.txt", folder / "TRA" / "man_track.txt")
    return folder


def alone(result: Path, truth: Path) -> dict[str, float | None]:
    """Return what py-ctcmetrics finds by itself. It takes longer to import than most files of tests together."""
    from ctc_metrics.scripts.evaluate import evaluate_sequence

    wanted = ["Valid", "DET", "SEG", "TRA", "LNK", "CT", "TF", "BC", "CCA"]
    found = evaluate_sequence(str(result), str(truth), wanted, threads=1)
    assert found["Valid"]
    named = {**found, "BC": found["BC(1)"], "BIO": found["BIO(1)"]}
    return {name: named[name] for name in ("DET", "SEG", "TRA", "LNK", "CT", "TF", "BC", "CCA", "BIO")}


class TestScores:
    @pytest.mark.parametrize(("lost", "jitter"), [(0.0, 0.4), (0.2, 0.3), (0.4, 0.1)])
    def test_painted_masks_score_as_exported_ones(
        self, dataset: Dataset, tmp_path: Path, lost: float, jitter: float
    ) -> None:
        rng = np.random.default_rng(5)
        truth, found = nuclei(rng), nuclei(rng, lost=lost, jitter=jitter)
        gt, res = truth_folder(truth, dataset, tmp_path / "01_GT"), exported(found, dataset, tmp_path / "01_RES")
        expected = pytest.approx(alone(res, gt))
        assert ctc_scores(masks_of(found, dataset), masks_of(truth, dataset), 1) == expected
        assert ctc_scores(CtcFolder(res, CANCEL), CtcFolder(gt, CANCEL), 1) == expected
        assert ctc_scores(masks_of(found, dataset), CtcFolder(gt / "TRA", CANCEL), 1) == expected

    def test_the_truth_itself_is_perfect(self, dataset: Dataset) -> None:
        truth = nuclei(np.random.default_rng(0))
        scores = ctc_scores(masks_of(truth, dataset), masks_of(truth, dataset), 0)
        assert scores.pop("CCA") is None  # no cell both begins and ends with a division
        assert scores == dict.fromkeys(scores, 1.0)

    def test_nothing_found_is_0(self, dataset: Dataset) -> None:
        truth = nuclei(np.random.default_rng(0))
        scores = ctc_scores(masks_of([], dataset), masks_of(truth, dataset), 0)
        assert scores.pop("CCA") is None
        assert scores == dict.fromkeys(scores, 0.0)

    def test_a_truth_without_links_has_no_score_of_them(self, dataset: Dataset) -> None:
        some = [TrackedNucleus(Spot(t, np.array([8.0, 5.0, 4 + 3 * t]), np.eye(3))) for t in range(2)]
        scores = ctc_scores(masks_of(some, dataset), masks_of(some, dataset), 0)
        assert (scores["DET"], scores["LNK"], scores["BC"]) == (1.0, None, None)

    def test_false_positives_are_not_painted(self, dataset: Dataset) -> None:
        truth = nuclei(np.random.default_rng(0))
        wrong = TrackedNucleus(Spot(0, np.array([8.0, 16.0, 20.0]), 4 * np.eye(3), Tag.FP))
        scores = ctc_scores(masks_of([*truth, wrong], dataset), masks_of(truth, dataset), 0)
        assert scores["DET"] == 1.0

    def test_other_timepoints_are_refused(self, dataset: Dataset) -> None:
        truth = nuclei(np.random.default_rng(0))
        later = painted(truth, dataset, VOXEL, range(1, 4), (NoReporter(), CANCEL))
        with pytest.raises(InvalidInputError, match="expected masks of the same timepoints, got 3 from 1 on and 5"):
            ctc_scores(later, masks_of(truth, dataset), 0)

    def test_without_the_package_the_message_says_how_to_get_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ctc_metrics.scripts", None)
        with pytest.raises(InvalidInputError, match="pip install py-ctcmetrics"):
            check_can_score()


class TestMatches:
    @pytest.mark.parametrize("shape", [(40, 50), (5, 30, 20)])
    def test_labels_match_as_in_py_ctcmetrics(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        from ctc_metrics.utils.representations import match

        rng = np.random.default_rng(3)
        true = np.kron(rng.integers(0, 6, [-(-n // 5) for n in shape]), np.ones([5] * len(shape), int))
        true = true[tuple(map(slice, shape))].astype(np.uint16)
        found = np.where(rng.random(shape) < 0.35, rng.integers(0, 9, shape), true + 2 * (true > 2)).astype(np.uint16)
        for name, mask in (("a.tif", true), ("b.tif", found)):
            tifffile.imwrite(tmp_path / name, mask)
        expected = match(str(tmp_path / "a.tif"), str(tmp_path / "b.tif"))
        ours = match_masks(true, found)
        assert (ours.true_labels.tolist(), ours.found_labels.tolist()) == expected[:2]
        assert (ours.pairs[:, 0].tolist(), ours.pairs[:, 1].tolist()) == expected[2:4]
        assert len(ours.pairs) > 2
        assert ours.shares == pytest.approx(expected[4])

    def test_half_of_a_nucleus_is_not_enough(self) -> None:
        true, found = np.array([[1, 1, 1, 1, 2, 2, 2]]), np.array([[5, 5, 6, 6, 7, 7, 0]])
        matched = match_masks(true, found)
        assert matched.pairs.tolist() == [[2, 7]]
        assert matched.shares.tolist() == [2 / 3]

    def test_masks_of_another_size_are_refused(self) -> None:
        with pytest.raises(InvalidInputError, match=r"got \(3, 2\) and true ones of \(4, 2\)"):
            match_masks(np.zeros((2, 4), int), np.zeros((2, 3), int))


class TestFolders:
    @pytest.fixture
    def truth(self, dataset: Dataset, tmp_path: Path) -> Path:
        return truth_folder(nuclei(np.random.default_rng(0)), dataset, tmp_path / "01_GT")

    def test_outlines_of_single_planes(self, truth: Path) -> None:
        """As most 3D truths of the challenge have them; the other timepoints do not count in SEG."""
        whole = CtcFolder(truth, CANCEL)
        assert ctc_scores(whole, whole, 0)["SEG"] == 1.0
        plane = tifffile.imread(truth / "SEG" / "man_seg003.tif")[4]
        shutil.rmtree(truth / "SEG")
        (truth / "SEG").mkdir()
        tifffile.imwrite(truth / "SEG" / "man_seg_003_004.tif", np.where(plane == plane.max(), 0, plane))
        assert ctc_scores(CtcFolder(truth, CANCEL), CtcFolder(truth, CANCEL), 0)["SEG"] == 1.0
        assert ctc_scores(CtcFolder(truth / "whole", CANCEL), CtcFolder(truth, CANCEL), 0)["SEG"] == 1.0
        tifffile.imwrite(truth / "SEG" / "man_seg_003_008.tif", plane)
        with pytest.raises(InvalidInputError, match="outlines of plane 8 were drawn"):
            ctc_scores(CtcFolder(truth / "whole", CANCEL), CtcFolder(truth, CANCEL), 0)

    def test_without_outlines_there_is_no_seg(self, truth: Path) -> None:
        shutil.rmtree(truth / "SEG")
        scores = ctc_scores(CtcFolder(truth / "whole", CANCEL), CtcFolder(truth, CANCEL), 0)
        assert (scores["SEG"], scores["TRA"]) == (None, 1.0)

    def test_a_missing_mask_is_said(self, truth: Path) -> None:
        (truth / "TRA" / "man_track002.tif").unlink()
        with pytest.raises(InvalidInputError, match="no mask of timepoint 2"):
            CtcFolder(truth, CANCEL)

    @pytest.mark.parametrize("line", ["1 0 4", "1 0 4 x", "1 0 4 0 0", "-1 0 4 0"])
    def test_a_damaged_list_is_said(self, truth: Path, line: str) -> None:
        (truth / "TRA" / "man_track.txt").write_text(f"1 0 4 0\n{line}\n")
        with pytest.raises(InvalidInputError, match=r"man_track.txt, line 2: expected a label"):
            CtcFolder(truth, CANCEL)

    def test_a_mask_that_is_none_is_said(self, truth: Path) -> None:
        (truth / "TRA" / "man_track002.tif").write_bytes(b"this is no TIFF")
        with pytest.raises(InvalidInputError, match=r"man_track002.tif cannot be read"):
            list(CtcFolder(truth, CANCEL).masks())
        header = b"II*\0\x08\0\0\0" + (8).to_bytes(2, "little")
        size = 1 << 24  # along X and Y, of which the file holds nothing
        values = ((256, size), (257, size), (258, 16), (259, 1), (262, 1), (273, 8), (278, size), (279, 2))
        tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values)
        (truth / "TRA" / "man_track002.tif").write_bytes(header + tags + bytes(4))
        with pytest.raises(InvalidInputError, match=r"man_track002.tif: expected a mask of labels"):
            list(CtcFolder(truth, CANCEL).masks())
        tifffile.imwrite(truth / "TRA" / "man_track002.tif", np.zeros((8, 40, 48), np.float32))
        with pytest.raises(InvalidInputError, match=r"man_track002.tif: expected a mask of labels"):
            list(CtcFolder(truth, CANCEL).masks())

    def test_a_folder_without_a_list_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match=r"has no man_track\.txt or res_track\.txt"):
            CtcFolder(tmp_path, CANCEL)

    def test_tracks_against_the_rules_are_said(self, truth: Path) -> None:
        (truth / "whole" / "res_track.txt").write_text("1 0 4 0\n")
        with pytest.raises(InvalidInputError, match="break the rules of the Cell Tracking Challenge: Label"):
            ctc_scores(CtcFolder(truth / "whole", CANCEL), CtcFolder(truth, CANCEL), 0)
