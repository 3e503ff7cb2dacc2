"""How well links and divisions agree, between nuclei that are the same."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from elephant.evaluation.counts import Counts
from elephant.evaluation.nuclei import Nuclei
from elephant.tracking.assignment import Indices, assign


def compare_links(true: Nuclei, found: Nuclei, partner: Indices) -> Counts:
    """Count the links from nuclei to their parents.

    A true link was found if both of its nuclei were, and the found ones are linked.

    Parameters
    ----------
    partner
        For each true nucleus, the index of the found one that it is, or -1.

    References
    ----------
    As the edge scores of traccuracy, https://traccuracy.readthedocs.io, for one-to-one matches.
    """
    child = np.flatnonzero(true.parents >= 0)
    found_child, found_parent = partner[child], partner[true.parents[child]]
    is_both = (found_child >= 0) & (found_parent >= 0)
    is_linked = found.parents[found_child[is_both]] == found_parent[is_both]
    n_found = np.count_nonzero(found.parents >= 0)
    return Counts(len(child), int(n_found), int(np.count_nonzero(is_linked)))


@dataclass(frozen=True, slots=True)
class DivisionScores:
    """How well divisions agree.

    Attributes
    ----------
    counts
        How many there are, and how many of them were found.
    n_shifted
        How many of those found are at another timepoint than the true one.
    n_wrong_daughters
        How many true divisions were found, but with another daughter. They count neither as found nor as right.
    """

    counts: Counts
    n_shifted: int
    n_wrong_daughters: int


def compare_divisions(true: Nuclei, found: Nuclei, partner: Indices, tolerance: int) -> DivisionScores:
    """Count the divisions: nuclei from which two or more came.

    A true division was found if its mother was, and the links to two of its daughters were. What is left may be found
    up to `tolerance` timepoints earlier or later: if the later mother's ancestor at the time of the earlier one is the
    same nucleus as that one, and so are two of its daughters, or descendants of theirs up to the next division, and
    nuclei that descend from that ancestor. As many as possible are paired, with the smallest shifts.

    Parameters
    ----------
    partner
        For each true nucleus, the index of the found one that it is, or -1.
    tolerance
        Timepoints; 0 or more.

    References
    ----------
    As the division scores of traccuracy (`max_frame_buffer`), https://traccuracy.readthedocs.io. There, a true division
    into three is never right.
    """
    one, other = _Tree(true, partner), _Tree(found, _inverse(partner, len(found)))
    left_true, left_found = set(one.divisions()), set(other.divisions())
    n_true, n_found = len(left_true), len(left_found)
    n_matched = n_wrong = 0
    for mother in sorted(left_true):
        same = int(partner[mother])
        if same not in left_found:
            continue
        left_true.remove(mother)
        left_found.remove(same)
        daughters = partner[one.children(mother)]
        n_right = np.count_nonzero(found.parents[daughters[daughters >= 0]] == same)
        n_matched += int(n_right >= 2)
        n_wrong += int(n_right < 2)
    pairs = [(i, j, shift) for i, j, shift in _shifted(one, other, left_true, left_found, tolerance)]
    pairs += [(j, i, shift) for i, j, shift in _shifted(other, one, left_found, left_true, tolerance)]
    i, j, shift = np.array(pairs, dtype=np.intp).reshape(-1, 3).T
    n_shifted = len(assign(i, j, shift.astype(np.float64), float(tolerance))[0])
    return DivisionScores(Counts(n_true, n_found, n_matched + n_shifted), n_shifted, n_wrong)


def _inverse(partner: Indices, n_found: int) -> Indices:
    inverse = np.full(n_found, -1, dtype=np.intp)
    is_matched = partner >= 0
    inverse[partner[is_matched]] = np.flatnonzero(is_matched)
    return inverse


class _Tree:
    """Nuclei with their children, and their partners in another tree."""

    def __init__(self, nuclei: Nuclei, partner: Indices) -> None:
        self.times, self.parents, self.partner = nuclei.times, nuclei.parents, partner
        self._by_parent = np.argsort(nuclei.parents, kind="stable")
        self._first = np.searchsorted(nuclei.parents[self._by_parent], np.arange(len(nuclei) + 1))

    def children(self, i: int) -> Indices:
        return self._by_parent[self._first[i] : self._first[i + 1]]

    def divisions(self) -> list[int]:
        return [int(i) for i in np.flatnonzero(np.diff(self._first) >= 2)]

    def ancestor(self, i: int, t: int) -> int:
        """Return the ancestor of a nucleus at a timepoint, or -1."""
        while i >= 0 and self.times[i] > t:
            i = int(self.parents[i])
        return i if i >= 0 and self.times[i] == t else -1

    def line(self, i: int) -> Iterator[int]:
        """Yield a nucleus and its descendants, up to the next division, which is the last."""
        yield i
        while len(children := self.children(i)) == 1:
            i = int(children[0])
            yield i


def _shifted(
    early: _Tree, late: _Tree, of_early: set[int], of_late: set[int], tolerance: int
) -> Iterator[tuple[int, int, int]]:
    """Yield divisions and later ones that may be the same, with how many timepoints are between them."""
    for mother in of_late:
        for shift in range(1, tolerance + 1):
            t = int(late.times[mother]) - shift
            ancestor = late.ancestor(mother, t)
            same = int(late.partner[ancestor]) if ancestor >= 0 else -1
            if same in of_early and _n_lines(early, same, late, ancestor) >= 2:
                yield same, mother, shift


def _n_lines(early: _Tree, mother: int, late: _Tree, ancestor: int) -> int:
    """Return from how many daughters a nucleus follows that descends from an ancestor in the other tree."""
    t = int(late.times[ancestor])
    partners = (map(int, early.partner[list(early.line(int(i)))]) for i in early.children(mother))
    return sum(any(late.ancestor(i, t) == ancestor for i in line) for line in partners)
