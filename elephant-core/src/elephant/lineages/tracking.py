"""Tracking the spots of a dataset, and solving again what a correction concerns."""

import hashlib
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from elephant.dataset import Dataset
from elephant.dataset.summary import image_version
from elephant.errors import ConflictError, InvalidInputError, NotFoundError, StorageError
from elephant.io.atomic import explained_storage
from elephant.lineages.corrections import CorrectionEntry, Decisions, described_drop, without_undone
from elephant.lineages.files import About, LineageFolder, Tracked
from elephant.lineages.lineage import Lineage, LineageSpots, numbered
from elephant.lineages.same import same_spots
from elephant.lineages.weights import MOST_LINKS, LearntWeights, read_weights, weights_beside, write_weights
from elephant.progress import CancelToken, NoReporter, ProgressReporter
from elephant.tracking.linkers import Corrections, Detections, GlobalLinker, Problem, Solution
from elephant.tracking.linkers.assembly import Kept
from elephant.tracking.linkers.learning import LEAST_LINKS
from elephant.tracking.linkers.prepared import read_problem, write_problem
from elephant.tracking.linkers.prior import Prior, shipped_prior
from elephant.tracking.linkers.registry import GLOBAL, InstalledLinker, linker_named
from elephant.tracking.linkers.saved import FORMAT, WindowFiles, fingerprint_of
from elephant.tracking.linkers.timepoints import check_near, described_gaps
from elephant.types import VoxelSize

_BYTES_PER_SPOT = 400

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class TrackingRequest:
    """What is to be tracked.

    Attributes
    ----------
    spots, detections
        The spots, and the same for a linker; their ids differ.
    given
        What is known of them: confirmed links, and spots that are no nuclei.
    made_from
        What they are, in words.
    linker, params
        The name of what joins them, and those of its parameters that differ from its defaults.
    flow_model
        The file of the flow model that says where they were, beside which learnt weights are kept, too.
    voxel_size
        That of the image, as whoever found the spots knew it; None where it is not known.
    """

    spots: LineageSpots
    detections: Detections
    given: CorrectionEntry
    made_from: str
    linker: str = GLOBAL
    params: Mapping[str, Any] | None = None
    flow_model: Path | None = None
    voxel_size: VoxelSize | None = None

    def linker_with(self, prior: Prior) -> InstalledLinker:
        """Return the linker; `prior` is for that of elephant itself."""
        own = {"prior": prior} if self.linker == GLOBAL else {}
        return linker_named(self.linker, {**(self.params or {}), **own})


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """A solution, the keys of its windows, its weights if these are not the shipped ones, and words about them."""

    solution: Solution
    keys: tuple[bytes, ...] = ()
    weights: LearntWeights | None = None
    words: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """What a correction has changed.

    Attributes
    ----------
    before, lineage
        As it was, and as it is now.
    n_solved
        How many windows were solved again.
    n_replaced
        How many earlier decisions it took the place of.
    seconds
        How long that took.
    """

    before: Lineage
    lineage: Lineage
    n_solved: int
    n_replaced: int
    seconds: float


def track(dataset: Dataset, request: TrackingRequest, reporter: ProgressReporter, cancel: CancelToken) -> Lineage:
    """Track the spots of a dataset, and keep their lineages with it, in the place of earlier ones.

    What persons decided before is kept, as far as its spots are still there. A run that was interrupted goes on where
    it was.

    Raises
    ------
    InvalidInputError
        There are no spots, ids are not unique, or what is given contradicts itself.
    elephant.errors.Cancelled
        `cancel` asked for the end; what is solved is kept for the next run.
    ConflictError
        They are being changed by another process.
    StorageError
        They cannot be written.
    """
    _check(request.spots)
    folder = LineageFolder(dataset)
    with (
        explained_storage("lineages", dataset.folder, len(request.spots) * _BYTES_PER_SPOT),
        folder.lock(cancel),
    ):
        earlier = _earlier(folder, request.spots)
        entries = [*earlier.entries, request.given] if request.given else earlier.entries
        decisions = Decisions.of(entries)
        corrections = _corrections(decisions, request.spots)
        known = _known_weights(folder, request, corrections)
        linker = request.linker_with(shipped_prior() if known is None else known.applied(shipped_prior()))
        if isinstance(linker.linker, GlobalLinker):
            request = _telling_gaps(request, linker.linker.params.max_gap)
        staged = folder.staged(_fingerprint(request, linker, corrections))
        solved = _solved(dataset, staged, request, linker, corrections, (reporter, cancel))
        weights = solved.weights or known
        about = _about(dataset, request, solved, earlier.dropped)
        lineage = _lineage(folder.next_version(), about, request.spots, solved.solution, corrections)
        staged.write_about(about, request.spots)
        if weights is not None:
            write_weights(staged.weights, weights)
        staged.write(lineage, entries, len(entries), solved.keys)
        if solved.weights is not None and request.flow_model is not None:
            write_weights(weights_beside(request.flow_model), solved.weights)
        return folder.put_in_place(staged, lineage.version, keep=not earlier.is_read).lineage()


def correct(dataset: Dataset, version: int, entry: CorrectionEntry, cancel: CancelToken) -> Corrected:
    """Take over a correction, and solve again what it concerns.

    Parameters
    ----------
    version
        That of the lineages which the person saw.

    Raises
    ------
    ConflictError
        Another correction came first, or they are being changed.
    InvalidInputError
        The correction contradicts itself, names a spot that is not there, or takes back what is not there.
    NotFoundError, StorageError
        Nothing was tracked, or what was cannot be read.
    elephant.errors.Cancelled
        `cancel` asked for the end; nothing is changed.
    """
    began = time.perf_counter()
    folder = LineageFolder(dataset)
    folder.newest()
    with explained_storage("a correction", dataset.folder, 1 << 20), folder.lock(cancel):
        tracked = folder.newest()
        before = tracked.lineage()
        if before.version != version:
            raise ConflictError(
                f"expected a correction of version {before.version} of the lineages, got one of version {version}: "
                "another correction came first; look at the lineages as they are now, then correct them again"
            )
        earlier = tracked.entries()
        entries = [*earlier, entry]
        decisions = Decisions.of(entries)
        before.spots.index_of(entry.spots())  # so that an unknown one is named
        corrections = _corrections(decisions, before.spots)
        problem = _problem_of(tracked, before, _corrections(Decisions.of(earlier), before.spots))
        solution = problem.solve(corrections, cancel=cancel)
        lineage = _lineage(version + 1, tracked.about(), before.spots, solution, corrections)
        tracked.write(lineage, entries, 1, problem.keys)
    return Corrected(before, lineage, problem.n_solved, decisions.n_replaced, time.perf_counter() - began)


def _corrections(decisions: Decisions, spots: LineageSpots) -> Corrections:
    """Return what was decided, by the indices of spots."""
    index = spots.index_of(decisions.spots())
    links, cuts = (frozenset((index[i], index[j]) for i, j in pairs) for pairs in (decisions.links, decisions.cuts))
    alone = (decisions.starts, decisions.ends, decisions.wrong, decisions.undivided)
    corrections = Corrections(links, cuts, *(frozenset(index[i] for i in ids) for ids in alone))
    corrections.check(spots.timepoints, spots.ids)
    return corrections


def _check(spots: LineageSpots) -> None:
    if not len(spots):
        raise InvalidInputError("nothing to track: expected spots, got none")
    ids, counts = np.unique(spots.ids, return_counts=True)
    if len(ids) < len(spots):
        raise InvalidInputError(
            f"expected an id for each of the {len(spots)} spots, all different, got {ids[counts.argmax()]} "
            f"{counts.max()} times: correct the ids, or leave all of them out"
        )


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What persons decided of the lineages before, for the new spots.

    Attributes
    ----------
    entries
        The corrections.
    dropped
        Words about what does not count any more.
    is_read
        Whether they could be read.
    """

    entries: list[CorrectionEntry]
    dropped: str | None = None
    is_read: bool = True


def _earlier(folder: LineageFolder, spots: LineageSpots) -> _Earlier:
    """Return what was decided of the lineages that are there now."""
    try:
        tracked = folder.newest()
        entries, old = without_undone(tracked.entries()), tracked.spots()
    except NotFoundError as error:
        logger.debug("No corrections are kept: %s", error)
        return _Earlier([])
    except StorageError as error:
        dropped = f"earlier corrections could not be read and do not count; their files are in {folder.aside()}"
        logger.warning("%s (%s)", dropped, error)
        return _Earlier([], dropped, is_read=False)
    entries = [entry for entry in entries if not entry.came_with_spots]
    names = same_spots(old, spots, {spot for entry in entries for spot in entry.spots()})
    renamed = [entry.renamed(names) for entry in entries]
    n_dropped = sum(entry.n_decisions for entry in entries) - sum(entry.n_decisions for entry in renamed)
    return _Earlier([entry for entry in renamed if entry], described_drop(n_dropped, len(entries)))


def _n_next(spots: LineageSpots, corrections: Corrections) -> int:
    """Return how many links to the next timepoint are confirmed: those from which weights are learnt."""
    t = spots.timepoints
    return sum(int(t[j] - t[i]) == 1 for i, j in corrections.links)


def _known_weights(folder: LineageFolder, request: TrackingRequest, corrections: Corrections) -> LearntWeights | None:
    """Return the weights that were learnt before, with the same flow model or of this dataset; None if new ones are."""
    if request.linker != GLOBAL or _n_next(request.spots, corrections) >= LEAST_LINKS:
        return None
    beside = None if request.flow_model is None else read_weights(weights_beside(request.flow_model))
    if beside is not None:
        return beside
    try:
        return read_weights(folder.newest().weights)
    except (NotFoundError, StorageError):
        return None


def _fingerprint(request: TrackingRequest, linker: InstalledLinker, corrections: Corrections) -> str:
    """Return what differs where anything differs that lineages follow from."""
    own, spots = linker.linker, request.linker
    if isinstance(own, GlobalLinker):
        spots = fingerprint_of(request.detections, own.params, own.prior)
    decided = [sorted(getattr(corrections, each.name)) for each in fields(corrections)]
    return hashlib.sha256(repr((spots, decided)).encode()).hexdigest()[:32]


def _telling_gaps(request: TrackingRequest, max_gap: int) -> TrackingRequest:
    """Return a request that says over which timepoints no track goes; refuse one of which nothing can be joined."""
    check_near(request.spots.timepoints, max_gap)
    gaps = described_gaps(request.spots.timepoints, max_gap)
    return request if gaps is None else replace(request, made_from=f"{request.made_from}; {gaps}")


def _about(dataset: Dataset, request: TrackingRequest, solved: _Solved, dropped: str | None) -> About:
    return About(
        made_from=f"{request.made_from}; {solved.words}" if solved.words else request.made_from,
        dropped=dropped,
        linker=request.linker,
        params=dict(request.params or {}),
        solver=FORMAT,
        image_version=image_version(dataset.folder),
        voxel_size=None if request.voxel_size is None else request.voxel_size.zyx,
        who=request.given.who,
        when=time.time(),
    )


def _solved(
    dataset: Dataset,
    staged: Tracked,
    request: TrackingRequest,
    linker: InstalledLinker,
    corrections: Corrections,
    watching: tuple[ProgressReporter, CancelToken],
) -> _Solved:
    """Solve all, from where an interrupted run was."""
    own = linker.linker
    if not isinstance(own, GlobalLinker):
        return _Solved(linker.link(request.detections, corrections, *watching))
    problem = _prepared(staged, own, request.detections, corrections, watching[1])
    windows = WindowFiles(staged.windows)
    problem.resume(windows.load(len(problem.spans())))
    solution, prior = problem.solve(corrections, *watching, windows.keep), problem.model.prior
    shutil.rmtree(staged.windows, ignore_errors=True)  # they are in the solution
    if prior == own.prior:  # nothing was learnt
        return _Solved(solution, problem.keys, None, "" if prior == shipped_prior() else prior.made_from)
    ids, links = request.spots.ids, sorted(corrections.links)
    weights = LearntWeights(
        links=prior.links,
        divisions=prior.divisions,
        made_from=prior.made_from,
        dataset=dataset.name,
        confirmed=tuple((int(ids[i]), int(ids[j])) for i, j in links[:MOST_LINKS]),
        n_links=_n_next(request.spots, corrections),
        who=request.given.who,
        when=time.time(),
    )
    return _Solved(solution, problem.keys, weights, prior.made_from.removeprefix(f"{own.prior.made_from}; "))


def _prepared(
    staged: Tracked, linker: GlobalLinker, detections: Detections, corrections: Corrections, cancel: CancelToken
) -> Problem:
    if staged.problem.is_dir():
        try:
            return read_problem(staged.problem)
        except StorageError as error:
            logger.debug("It is prepared again: %s", error)
            shutil.rmtree(staged.folder)
    problem = linker.prepare(detections, NoReporter(), cancel).taught(corrections)
    staged.problem.mkdir(parents=True, exist_ok=True)
    write_problem(problem, staged.problem)
    return problem


def _problem_of(tracked: Tracked, before: Lineage, corrections: Corrections) -> Problem:
    """Return the problem whose solution lineages are, as far as it is solved."""
    about = tracked.about()
    if about.linker != GLOBAL:
        raise InvalidInputError(
            f"expected lineages of the linker {GLOBAL}, got those of {about.linker}, which keeps no corrections: track "
            f"again with the linker {GLOBAL}"
        )
    if about.solver != FORMAT:
        raise InvalidInputError(
            "expected lineages that this version of elephant has tracked, got those of another, which it would not "
            "solve in the same way: track the movie again, which keeps the corrections"
        )
    problem = read_problem(tracked.problem)
    solution = Solution(before.parents, before.probability, before.divisions, before.ends)
    problem.go_on_from(Kept(solution, tracked.keys(), corrections))
    return problem


def _lineage(version: int, about: About, spots: LineageSpots, solution: Solution, corrections: Corrections) -> Lineage:
    n = len(spots)
    is_wrong, is_confirmed = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    is_wrong[list(corrections.wrong)] = True
    is_confirmed[[child for _, child in corrections.links]] = True
    return Lineage(
        version=version,
        made_from=about.made_from,
        dropped=about.dropped,
        voxel_size=about.known_voxel_size,
        spots=spots,
        parents=solution.parents,
        probability=solution.probability,
        ends=np.full(n, np.nan) if solution.ends is None else solution.ends,
        numbers=numbered(spots.timepoints, solution.parents, is_wrong),
        is_confirmed=is_confirmed,
        divisions=solution.divisions,
    )
