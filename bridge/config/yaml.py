"""YAML read as nodes that know their place, so that ids stay text and every mistake has a line.

Values are composed from the parser's events, never constructed: no tag makes an object, a scalar is text until
somebody asks otherwise, and whatever could explode (depth, aliases, size) is refused where it begins. Lines and
columns count from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import yaml

from bridge.domain.text import quoted

MAX_SETTINGS_BYTES: Final = 1024 * 1024
MAX_TASKS_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 50
MAX_ALIASED: Final = 1_000_000  # nodes and characters that aliases may repeat, in all

NodePath = Sequence[str | int]
Place = tuple[int, int]

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAGS: Final = {None, "!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))}
_NULLS: Final = {"", "~", "null", "Null", "NULL"}
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class YamlProblem(Exception):
    """Text that is not YAML as we take it; prints as `name:line:column: message`."""

    def __init__(self, name: str, place: Place, message: str) -> None:
        self.name = name
        self.line, self.column = place
        self.message = message
        super().__init__(f"{name}:{self.line}:{self.column}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A scalar as written. `plain` when it stood without quotes, so that it may mean null, true or a number."""

    line: int
    column: int
    weight: int  # nodes and characters in it, aliases followed
    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A sequence."""

    line: int
    column: int
    weight: int
    items: Sequence[Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """A mapping. Its keys are text, each once."""

    line: int
    column: int
    weight: int
    keys: Mapping[str, Scalar]
    values: Mapping[str, Node]


Node = Scalar | Items | Pairs


def read_documents(data: bytes | str, *, name: str, max_bytes: int = MAX_TASKS_BYTES) -> list[Node]:
    """All documents of a file; empty ones (comments alone) are left out. YamlProblem names the first fault."""
    text = _decoded(data, name, max_bytes)
    nodes = _Composer(name, text).documents()
    return [node for node in nodes if not (isinstance(node, Scalar) and node.is_null)]


def read_document(
    data: bytes | str, *, name: str, max_bytes: int = MAX_SETTINGS_BYTES, repeated: list[YamlProblem] | None = None
) -> Node:
    """The one document of a file; an empty file is a null scalar. YamlProblem names the first fault, but keys that
    stand twice are added to `repeated`, if that is given: the first one holds then."""
    nodes = list(_Composer(name, _decoded(data, name, max_bytes), repeated).documents())
    if len(nodes) > 1:
        raise YamlProblem(name, (nodes[1].line, nodes[1].column), "a second document begins; one is expected here")
    return nodes[0] if nodes else Scalar(line=1, column=1, weight=1, text="", plain=True)


def as_text(node: Node) -> Any:
    """Lists, dicts, and every scalar as the text that was written; only a plain `null`, `~` or nothing is None."""
    match node:
        case Scalar():
            return None if node.is_null else node.text
        case Items():
            return [as_text(item) for item in node.items]
        case Pairs():
            return {key: as_text(value) for key, value in node.values.items()}


def as_free(node: Node) -> Any:
    """Lists, dicts and scalars as JSON can hold them, for free-form values.

    A plain scalar is null, a boolean or a number only where JSON would spell it so (null and booleans also
    capitalised). What YAML 1.1 reads otherwise than it is written (`no`, `0123`, `1_000`, `12:30:00`, dates), what is
    not finite and what exceeds 64 bits stays text.
    """
    match node:
        case Scalar():
            return _free_scalar(node) if node.plain else node.text
        case Items():
            return [as_free(item) for item in node.items]
        case Pairs():
            return {key: as_free(value) for key, value in node.values.items()}


def walk(node: Node, path: NodePath) -> tuple[Node, NodePath]:
    """Follow `path` as far as it goes: the node reached, and the part of the path that leads nowhere."""
    for depth, step in enumerate(path):
        if isinstance(node, Pairs) and step in node.values:
            node = node.values[str(step)]
        elif isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
        else:
            return node, path[depth:]
    return node, ()


def _free_scalar(scalar: Scalar) -> Any:
    text = scalar.text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        number = int(text)
        return number if -(2**63) <= number < 2**64 else text
    if _FLOAT.fullmatch(text):
        real = float(text)
        return real if abs(real) != float("inf") and not text.lstrip("-").isdigit() else text
    return text


def _decoded(data: bytes | str, name: str, max_bytes: int) -> str:
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    if len(raw) > max_bytes:
        raise YamlProblem(name, (1, 1), f"the file has {len(raw)} bytes; at most {max_bytes} are allowed")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise YamlProblem(name, (1, 1), "the file is UTF-16; save it as UTF-8")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        raise YamlProblem(name, _place_after(before), "not UTF-8; save the file as UTF-8") from None
    text = text.removeprefix("\ufeff")
    found = _UNPRINTABLE.search(text)
    if found is not None:
        hint = " (UTF-16? save the file as UTF-8)" if found[0] == "\0" else ""
        message = f"the character U+{ord(found[0]):04X} is not allowed{hint}"
        raise YamlProblem(name, _place_after(text[: found.start()]), message)
    return text


def _place_after(before: str) -> Place:
    lines = before.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return len(lines), len(lines[-1].removeprefix("\ufeff")) + 1


class _Open:
    """A collection whose end has not come yet."""

    __slots__ = ("anchor", "column", "items", "key", "keys", "line", "values", "weight")

    def __init__(self, event: Any, *, is_map: bool) -> None:
        self.anchor: str | None = event.anchor
        self.line: int = event.start_mark.line + 1
        self.column: int = event.start_mark.column + 1
        self.weight = 1
        self.items: list[Node] = []
        self.keys: dict[str, Scalar] | None = {} if is_map else None
        self.values: dict[str, Node] = {}
        self.key: Scalar | None = None

    def closed(self) -> Node:
        if self.keys is None:
            return Items(line=self.line, column=self.column, weight=self.weight, items=self.items)
        return Pairs(line=self.line, column=self.column, weight=self.weight, keys=self.keys, values=self.values)


class _Composer:
    """From the parser's events to nodes, with a stack of its own instead of recursion."""

    def __init__(self, name: str, text: str, repeated: list[YamlProblem] | None = None) -> None:
        self._name = name
        self._text = text
        self._repeated = repeated
        self._aliased = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}  # None: still open
        self._root: Node | None = None

    def documents(self) -> Iterator[Node]:
        """The documents in turn; YamlProblem at the first fault."""
        steps = {
            yaml.ScalarEvent: self._scalar,
            yaml.SequenceStartEvent: self._begin,
            yaml.MappingStartEvent: self._begin,
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.AliasEvent: self._alias,
        }
        try:
            for event in yaml.parse(self._text, Loader=_LOADER):
                step = steps.get(type(event))
                if step is not None:
                    step(event)
                elif isinstance(event, yaml.DocumentEndEvent) and self._root is not None:
                    yield self._root
                    self._root = None
                    self._anchors = {}
        except yaml.MarkedYAMLError as error:
            raise self._translated(error) from None
        except yaml.YAMLError as error:
            raise YamlProblem(self._name, (1, 1), " ".join(str(error).split())) from None

    def _scalar(self, event: Any) -> None:
        self._check_tag(event)
        mark = event.start_mark
        text: str = event.value
        scalar = Scalar(
            line=mark.line + 1,
            column=mark.column + 1,
            weight=1 + len(text),
            text=text,
            plain=event.implicit[0] and event.tag is None,
        )
        if event.anchor is not None:
            self._anchors[event.anchor] = scalar
        self._add(scalar, event)

    def _begin(self, event: Any) -> None:
        self._check_tag(event)
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
        if self._stack and self._stack[-1].keys is not None and self._stack[-1].key is None:
            self._refuse(event, "a list or mapping cannot be a key")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._stack.append(_Open(event, is_map=isinstance(event, yaml.MappingStartEvent)))

    def _end(self, event: Any) -> None:
        done = self._stack.pop()
        node = done.closed()
        if done.anchor is not None:
            self._anchors[done.anchor] = node
        self._add(node, event)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias *{event.anchor} has no anchor &{event.anchor} before it")
        node = self._anchors[event.anchor]
        if node is None:
            self._refuse(event, f"the alias *{event.anchor} refers to itself")
        self._aliased += node.weight
        if self._aliased > MAX_ALIASED:
            self._refuse(event, "the aliases expand to too much")
        self._add(node, event)

    def _add(self, node: Node, event: Any) -> None:
        if not self._stack:
            self._root = node
            return
        into = self._stack[-1]
        into.weight += node.weight
        if into.keys is None:
            into.items.append(node)
        elif into.key is not None:
            into.values.setdefault(into.key.text, node)
            into.key = None
        elif isinstance(node, Scalar):
            self._add_key(into, into.keys, node, event)
        else:
            self._refuse(event, "a list or mapping cannot be a key")

    def _add_key(self, into: _Open, keys: dict[str, Scalar], key: Scalar, event: Any) -> None:
        if key.text == "<<" and key.plain:
            self._refuse(event, "merge keys (<<) are not supported; write the keys out")
        if key.text in keys:
            problem = f"the key {quoted(key.text)} stands here twice; first in line {keys[key.text].line}"
            if self._repeated is None:
                self._refuse(event, problem)
            self._repeated.append(YamlProblem(self._name, (key.line, key.column), problem))
        keys.setdefault(key.text, key)
        into.key = key

    def _check_tag(self, event: Any) -> None:
        if event.tag not in _TAGS:
            short = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(event, f"the tag {quoted(short)} is not allowed; write a plain value")

    def _refuse(self, event: Any, message: str) -> NoReturn:
        mark = event.start_mark
        raise YamlProblem(self._name, (mark.line + 1, mark.column + 1), message)

    def _translated(self, error: yaml.MarkedYAMLError) -> YamlProblem:
        mark = error.problem_mark or error.context_mark
        if mark is None:
            return YamlProblem(self._name, (1, 1), str(error.problem))
        lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", self._text)
        line = lines[mark.line] if mark.line < len(lines) else ""
        place = (mark.line + 1, mark.column + 1)
        if line[mark.column : mark.column + 1] == "\t":
            return YamlProblem(self._name, place, "a tab; YAML is indented with spaces")
        if mark.column and line[mark.column - 1 : mark.column + 1] == "${":
            message = 'an unquoted ${...} inside { } or [ ] is not YAML; quote it: "${...}"'
            return YamlProblem(self._name, (place[0], place[1] - 1), message)
        since = f" ({error.context}, begun in line {error.context_mark.line + 1})" if error.context_mark else ""
        return YamlProblem(self._name, place, f"not YAML: {error.problem}{since}")
