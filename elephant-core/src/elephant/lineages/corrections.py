"""What persons decided of the lineages of a dataset: entries of a log, and what holds of them in the end.

A later decision takes the place of an earlier one that it contradicts. Within one entry nothing may contradict.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from pydantic import BaseModel, ConfigDict

from elephant.errors import InvalidInputError
from elephant.words import counted

Pair = tuple[int, int]
_MOST_CHILDREN = 2
_OF_LINKS, _OF_SPOTS = ("confirm", "cut"), ("starts", "ends", "wrong", "undivided")


class CorrectionEntry(BaseModel):
    """What a person decided at once; spots are named by their ids.

    Attributes
    ----------
    confirm, cut
        Links that are there, and that are not: parent and child.
    starts, ends
        Spots that have no parent, and no child.
    wrong
        Spots that are not nuclei.
    undivided
        Spots that do not divide: one child at most.
    undo
        Whether it takes the entry before it back instead.
    who
        Who decided; empty where nobody knows.
    when
        Seconds since 1970.
    came_with_spots
        Whether it was given together with the spots, and is no correction that could be taken back.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    confirm: tuple[Pair, ...] = ()
    cut: tuple[Pair, ...] = ()
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()
    undivided: tuple[int, ...] = ()
    undo: bool = False
    who: str = ""
    when: float = 0.0
    came_with_spots: bool = False

    def __bool__(self) -> bool:
        return bool(self.n_decisions or self.undo)

    @property
    def n_decisions(self) -> int:
        """How many links and spots it says something of."""
        return sum(len(getattr(self, name)) for name in (*_OF_LINKS, *_OF_SPOTS))

    def renamed(self, names: Mapping[int, int]) -> Self:
        """Return it with the new ids of spots, without what concerns spots that have none."""

        def pairs(links: Iterable[Pair]) -> tuple[Pair, ...]:
            return tuple((names[i], names[j]) for i, j in links if i in names and j in names)

        def spots(ids: Iterable[int]) -> tuple[int, ...]:
            return tuple(names[i] for i in ids if i in names)

        changed: dict[str, object] = {name: pairs(getattr(self, name)) for name in _OF_LINKS}
        return self.model_copy(update={**changed, **{name: spots(getattr(self, name)) for name in _OF_SPOTS}})

    def spots(self) -> set[int]:
        """Return the ids of all spots that it says something of."""
        linked = {spot for name in _OF_LINKS for link in getattr(self, name) for spot in link}
        return linked.union(*(getattr(self, name) for name in _OF_SPOTS))


def without_undone(entries: Sequence[CorrectionEntry]) -> list[CorrectionEntry]:
    """Return the entries that were not taken back.

    Raises
    ------
    InvalidInputError
        One takes back what is not there.
    """
    kept: list[CorrectionEntry] = []
    for entry in entries:
        if not entry.undo:
            kept.append(entry)
            continue
        last = next((k for k in reversed(range(len(kept))) if not kept[k].came_with_spots), None)
        if last is None:
            raise InvalidInputError("there is no correction to take back: expected one that was made before")
        del kept[last]
    return kept


@dataclass(slots=True)
class Decisions:
    """What holds of all that was decided."""

    links: set[Pair] = field(default_factory=set)
    cuts: set[Pair] = field(default_factory=set)
    starts: set[int] = field(default_factory=set)
    ends: set[int] = field(default_factory=set)
    wrong: set[int] = field(default_factory=set)
    undivided: set[int] = field(default_factory=set)
    parents: dict[int, int] = field(default_factory=dict)
    children: dict[int, set[int]] = field(default_factory=dict)
    n_replaced: int = 0

    @classmethod
    def of(cls, entries: Sequence[CorrectionEntry]) -> Self:
        """Return what holds after entries, in their order, less those that were taken back.

        Raises
        ------
        InvalidInputError
            One contradicts itself or takes back what is not there, or a spot gets a third confirmed child.
        """
        found = cls()
        for entry in without_undone(entries):
            found.n_replaced = 0
            found.add(entry)
        return found

    def add(self, entry: CorrectionEntry) -> None:
        """Take over an entry, which takes the place of what it contradicts."""
        _check_itself(entry)
        for link in entry.cut:
            self._drop(link)
            self.cuts.add(link)
        for spot in entry.starts:
            self._open(spot, inward=True)
            self._unmark(self.wrong, spot)
            self.starts.add(spot)
        for spot in entry.ends:
            self._open(spot, inward=False)
            self._unmark(self.wrong, spot)
            self.ends.add(spot)
        for spot in entry.wrong:
            self._open(spot, inward=True)
            self._open(spot, inward=False)
            self._unmark(self.starts, spot)
            self._unmark(self.ends, spot)
            self.wrong.add(spot)
        for spot in entry.undivided:
            self._keep_one(spot, {child for parent, child in entry.confirm if parent == spot})
            self.undivided.add(spot)
        for link in entry.confirm:
            self._confirm(*link)

    def spots(self) -> set[int]:
        """Return the ids of all spots that something holds of."""
        linked = {spot for link in (*self.links, *self.cuts) for spot in link}
        return {*self.starts, *self.ends, *self.wrong, *self.undivided, *linked}

    def _confirm(self, parent: int, child: int) -> None:
        if (parent, child) in self.links:
            return
        self._unmark(self.cuts, (parent, child))
        self._open(child, inward=True)
        for spots, spot in ((self.starts, child), (self.ends, parent), (self.wrong, parent), (self.wrong, child)):
            self._unmark(spots, spot)
        others = self.children.setdefault(parent, set())
        if len(others) >= _MOST_CHILDREN:
            raise InvalidInputError(
                f"spot {parent} has two confirmed children already, {' and '.join(map(str, sorted(others)))}: cut one "
                f"of these links before {child} is joined to it"
            )
        if others:
            self._unmark(self.undivided, parent)
        others.add(child)
        self.parents[child] = parent
        self.links.add((parent, child))

    def _keep_one(self, spot: int, said: set[int]) -> None:
        """Forget the confirmed links to children of a spot, besides those to `said`, where these are more than one."""
        others = self.children.get(spot, set())
        if len(others | said) > 1:
            for child in sorted(others - said):
                self._drop((spot, child))

    def _open(self, spot: int, *, inward: bool) -> None:
        """Forget the confirmed links to a spot, or from it."""
        if inward and spot in self.parents:
            self._drop((self.parents[spot], spot))
        if not inward:
            for child in sorted(self.children.get(spot, ())):
                self._drop((spot, child))

    def _drop(self, link: Pair) -> None:
        if link in self.links:
            self.links.remove(link)
            del self.parents[link[1]]
            self.children[link[0]].remove(link[1])
            self.n_replaced += 1

    def _unmark(self, marked: set[int] | set[Pair], one: int | Pair) -> None:
        if one in marked:
            marked.remove(one)  # type: ignore[arg-type]
            self.n_replaced += 1


def _check_itself(entry: CorrectionEntry) -> None:
    """Refuse an entry that contradicts itself; whether links go forward in time is checked with the spots."""
    both = set(entry.confirm) & set(entry.cut)
    if both:
        raise InvalidInputError(f"the link {min(both)} is both confirmed and cut: remove one")
    parents: dict[int, int] = {}
    for parent, child in entry.confirm:
        if parents.setdefault(child, parent) != parent:
            raise InvalidInputError(f"spot {child} has two confirmed parents: expected one at most")
    linked = {spot for link in entry.confirm for spot in link}
    n_children = Counter(parent for parent, _ in set(entry.confirm))
    for spots, closed, words in (
        (set(entry.starts), set(parents), "starts and has a confirmed parent"),
        (set(entry.ends), {parent for parent, _ in entry.confirm}, "ends and has a confirmed child"),
        (set(entry.wrong), linked, "is wrong and has a confirmed link"),
        (set(entry.undivided), {i for i, n in n_children.items() if n > 1}, "does not divide and has two children"),
        (set(entry.wrong), {*entry.starts, *entry.ends}, "is wrong and starts or ends a track"),
    ):
        if spots & closed:
            raise InvalidInputError(f"spot {min(spots & closed)} {words}: remove one of the two")


def described_drop(n_dropped: int, n_entries: int) -> str | None:
    """Return words about decisions that were dropped; None where there are none."""
    if not n_dropped:
        return None
    return (
        f"{counted(n_dropped, 'decision')} of {counted(n_entries, 'earlier correction')} dropped, whose spots are no "
        "longer there"
    )
