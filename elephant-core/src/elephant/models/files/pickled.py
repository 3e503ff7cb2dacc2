"""What a pickle describes, read opcode by opcode instead of being unpickled.

A pickle is a program, and even one that may make nothing but lists and numbers can be written so that it never ends:
tuples of tuples of the same tuple take 2^60 steps to be hashed as the key of a dict. So the program is not run. Its
opcodes are read, those that ``torch.save`` writes for a state dict are followed, and any other one is refused. Names
alone can be keys, and each opcode takes a bounded step, so that time and memory grow with the length of the pickle.
"""

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

MOST_OPCODES = 500_000  # the published networks take 3,000 each


class PickleError(Exception):
    """A pickle is damaged, or holds what does not belong to a state dict."""


class KeyKindError(Exception):
    """A dict has keys that are not names, as the state of an optimizer has."""


@dataclass(frozen=True, slots=True)
class Global:
    """Something that a pickle names by its module, and that stays a name here."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the reader of a pickle makes of the opcodes that stand for more than plain values.

    Attributes
    ----------
    is_known
        Whether something may be named.
    reduce
        What the call of it with a tuple of arguments stands for.
    persistent
        What a persistent id stands for.
    """

    is_known: Callable[[Global], bool]
    reduce: Callable[[Global, tuple[Any, ...]], Any]
    persistent: Callable[[Any], Any]


def read_pickle(file: BinaryIO, meaning: Meaning) -> Any:
    """Return what the pickle at the position of a file describes, and leave the position behind it.

    Parameters
    ----------
    file
        Is read to the pickle's end. Bound what it holds: a single opcode may take as much memory as there are bytes.
    meaning
        What to make of names, calls and persistent ids.

    Returns
    -------
    object
        Made of dicts whose keys are strings, lists, tuples, strings, numbers, None, and what `meaning` returns.

    Raises
    ------
    PickleError
        It is damaged, is too long, or holds anything else.
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
    below: list[list[Any]] = field(default_factory=list)  # what lies under each mark
    memo: dict[int, Any] = field(default_factory=dict)

    def follow(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise PickleError(f"{name} does not belong to a state dict")

    def pop(self) -> Any:
        return self.stack.pop()

    def global_(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        found = Global(module, name)
        if not self.meaning.is_known(found):
            raise PickleError(f"{str(found)[:80]} does not belong to a state dict")
        self.stack.append(found)

    def reduce(self, _: Any) -> None:
        arguments, called = self.pop(), self.pop()
        if not isinstance(called, Global) or not isinstance(arguments, tuple):
            raise PickleError("a call that does not belong to a state dict")
        self.stack.append(self.meaning.reduce(called, arguments))

    def build(self, _: Any) -> None:
        self.pop()  # versions of layers: a remark that nothing depends on
        if not isinstance(self.stack[-1], dict):
            raise PickleError("an object with a state that does not belong to a state dict")

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
    """Return pairs as a dict, if what each begins with is a string.

    Raises
    ------
    KeyKindError
        It is not.
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
