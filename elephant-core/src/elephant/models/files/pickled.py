"""Reading what a pickle describes, opcode by opcode, without unpickling it.

A pickle is a program, and even one that only makes lists and numbers can run practically forever: hashing a tuple of
tuples of the same tuple as the key of a dict may take 2^60 steps. So the program is not run. Its opcodes are read;
those that ``torch.save`` writes for a state dict are followed, and any other one is refused. Only strings can be keys,
and each opcode takes bounded time, so that time and memory are proportional to the length of the pickle.
"""

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

MOST_OPCODES = 500_000  # the published networks take 3,000 each


class PickleError(Exception):
    """A pickle is damaged, or holds something that does not belong in a state dict."""


class KeyKindError(Exception):
    """A dict has keys that are not strings, as the state of an optimiser has."""


@dataclass(frozen=True, slots=True)
class Global:
    """A global that a pickle names; here it stays a name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Meaning:
    """How to interpret the opcodes of a pickle that are more than plain values.

    Attributes
    ----------
    is_known
        Returns whether a global is allowed.
    reduce
        Returns the result of calling a global with a tuple of arguments.
    persistent
        Returns the object of a persistent id.
    """

    is_known: Callable[[Global], bool]
    reduce: Callable[[Global, tuple[Any, ...]], Any]
    persistent: Callable[[Any], Any]


def read_pickle(file: BinaryIO, meaning: Meaning) -> Any:
    """Return what the pickle at the position of a file describes, and move the position behind it.

    Parameters
    ----------
    file
        Read to the pickle's end. Its size should be bounded: one opcode may take as much memory as the file has bytes.
    meaning
        How to interpret globals, calls and persistent ids.

    Returns
    -------
    object
        Made of dicts with string keys, lists, tuples, strings, numbers, None, and what `meaning` returns.

    Raises
    ------
    PickleError
        It is damaged, too long, or holds anything else.
    KeyKindError
        A dict has keys that are not strings.
    """
    machine = _Machine(meaning)
    try:
        for name, argument in _opcodes(file):
            if name == "STOP":
                return machine.pop()
            machine.follow(name, argument)
    except (PickleError, KeyKindError):
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError, OverflowError) as error:
        raise PickleError(f"a broken table of weights: {error}") from error
    raise PickleError("the table of weights has no end")


def _opcodes(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count >= MOST_OPCODES:
            raise PickleError(f"the table of weights has more than {MOST_OPCODES:,} parts")
        yield opcode.name, argument


@dataclass(slots=True)
class _Machine:
    """The stack of a pickle."""

    meaning: Meaning
    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)  # the stack below each mark
    memo: dict[int, Any] = field(default_factory=dict)

    def follow(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise PickleError(f"{name} does not belong in a state dict")

    def pop(self) -> Any:
        return self.stack.pop()

    def global_(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        found = Global(module, name)
        if not self.meaning.is_known(found):
            raise PickleError(f"{str(found)[:80]} does not belong in a state dict")
        self.stack.append(found)

    def reduce(self, _: Any) -> None:
        arguments, called = self.pop(), self.pop()
        if not isinstance(called, Global) or not isinstance(arguments, tuple):
            raise PickleError("a call that does not belong in a state dict")
        self.stack.append(self.meaning.reduce(called, arguments))

    def build(self, _: Any) -> None:
        self.pop()  # versions of layers, on which nothing depends
        if not isinstance(self.stack[-1], dict):
            raise PickleError("an object with a state that does not belong in a state dict")

    def persistent(self, _: Any) -> None:
        self.stack.append(self.meaning.persistent(self.pop()))

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def tuple_(self, _: Any) -> None:
        items = self.to_mark()  # it changes the stack
        self.stack.append(tuple(items))

    def last(self, n: int) -> None:
        if len(self.stack) < n:
            raise PickleError("a tuple of more values than there are")
        self.stack[-n:] = [tuple(self.stack[-n:])]

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def append(self, _: Any) -> None:
        self._extend([self.pop()])

    def appends(self, _: Any) -> None:
        self._extend(self.to_mark())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise PickleError("an addition to something other than a list")
        self.stack[-1].extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self._update([key, value])

    def set_items(self, _: Any) -> None:
        self._update(self.to_mark())

    def _update(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise PickleError("an entry of something other than a dict")
        self.stack[-1].update(named(zip(items[::2], items[1::2], strict=True)))


def named(pairs: Any) -> dict[str, Any]:
    """Return pairs as a dict whose keys are strings.

    Raises
    ------
    KeyKindError
        A key is not a string.
    """
    found = {}
    for key, value in pairs:
        if type(key) is not str:  # before it is hashed
            raise KeyKindError
        found[key] = value
    return found


_VALUES = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"})
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda *_: None,
    "GLOBAL": _Machine.global_,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
    "MARK": _Machine.mark,
    "TUPLE": _Machine.tuple_,
    "TUPLE1": lambda machine, _: machine.last(1),
    "TUPLE2": lambda machine, _: machine.last(2),
    "TUPLE3": lambda machine, _: machine.last(3),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
}
