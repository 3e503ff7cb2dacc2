"""Parsing an ``.xml`` that others made, in time and memory proportional to the part that is needed."""

from pathlib import Path
from xml.etree import ElementTree as ET

from elephant.errors import DatasetError, NotFoundError, reason_of

ROOT, SEQUENCE = "SpimData", "SequenceDescription"
_MOST_BYTES = 8 << 20
_MOST_ELEMENTS = 200_000
_DEEPEST = 32
_BLOCK = 1 << 20


class _Builder:
    """Keeps the elements of the description, and nothing after it."""

    def __init__(self) -> None:
        self._open: list[ET.Element] = []
        self._text: list[str] = []
        self._count = 0
        self.root: ET.Element | None = None
        self.is_done = False

    def doctype(self, name: str, public: str | None, system: str | None) -> None:  # noqa: ARG002
        """Refuse a document type, before it can declare entities."""
        raise ValueError("it declares a document type, whose entities could be of any size")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        if self.is_done:
            return
        self._count += 1
        if self._count > _MOST_ELEMENTS or len(self._open) == _DEEPEST:
            raise ValueError(f"it has more than {_MOST_ELEMENTS} elements, or more than {_DEEPEST} inside one another")
        element = ET.Element(tag, attributes)
        if self._open:
            self._open[-1].append(element)
        else:
            self.root = element
            self.is_done = tag != ROOT
        self._open.append(element)
        self._text.clear()

    def data(self, text: str) -> None:
        """Collect an element's text, which the parser may pass one character at a time."""
        if not self.is_done:
            self._text.append(text)

    def end(self, tag: str) -> None:
        """End an element; text beside other elements is ignored."""
        if not self.is_done:
            element = self._open.pop()
            if not len(element):
                element.text = "".join(self._text)
            self._text.clear()
            self.is_done = len(self._open) == 1 and tag == SEQUENCE

    def close(self) -> ET.Element | None:
        """Return the root."""
        return self.root


def read_description(path: Path) -> ET.Element:
    """Return the root of an ``.xml``, read up to the end of its ``SequenceDescription``, at most 8 MiB.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        It is damaged or too large, or declares entities.
    """
    builder = _Builder()
    parser = ET.XMLParser(target=builder)  # noqa: S314 - a document type, and with it any entity, is refused
    try:
        with path.open("rb") as file:
            while not builder.is_done and (block := file.read(_BLOCK)):
                if file.tell() > _MOST_BYTES:
                    raise ValueError(f"its {SEQUENCE} does not end within {_MOST_BYTES >> 20} MiB")
                parser.feed(block)
        if not builder.is_done:
            parser.close()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}: check its name") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({reason_of(error)}): check who may read it") from error
    except (ET.ParseError, ValueError, LookupError) as error:
        if not builder.is_done:
            raise _unreadable(path, error) from error
    if builder.root is None:
        raise _unreadable(path, "it is empty")
    return builder.root


def _unreadable(path: Path, why: object) -> DatasetError:
    return DatasetError(
        f"expected {path.name} to be an .xml of BigDataViewer, but it cannot be read ({why}): "
        "save it again from BigDataViewer, or move it away"
    )
