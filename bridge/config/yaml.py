"""Reads YAML as nodes with their locations, so that ids stay text and every mistake has a line.

Nodes are built from the events of the parser. No tag creates an object, and a scalar is text until the caller asks for
another type. Too much depth, size or expansion of aliases is rejected as soon as it begins. Lines and columns start at
1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from bridge.config.yaml_nodes import Items, Location, Node, Pairs, Scalar
from bridge.domain.quoting import quoted, shortened

MAX_SETTINGS_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 50
_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH} levels"
MAX_ALIASED: Final = 1_000_000  # nodes and characters that all aliases together may repeat
SHORT_WEIGHT: Final = 256

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE: Final = yaml.reader.Reader.NON_PRINTABLE
_TAGS: Final = {None, "!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))}
_BEGINS: Final = {
    "\t": "a tab; indent YAML with spaces",
    **{char: f"a value cannot begin with {char} in YAML; write it in quotes" for char in "@`%"},
}
_HALF_QUOTED: Final = re.compile(r"""(?:[:-]\s+|[\[,{]\s*)(?:"[^"]*"|'[^']*')\s*[^\s'",#:}\]]""")


class YamlProblem(Exception):
    """Text that genbridge does not accept as YAML. Prints as `name:line:column: message`."""

    def __init__(self, name: str, location: Location, message: str) -> None:
        self.name = name
        self.line, self.column = location
        self.message = message
        super().__init__(f"{name}:{self.line}:{self.column}: {message}")


class AliasProblem(YamlProblem):
    """An alias that refers to nothing, or that repeats too much."""


def read_document(data: bytes | str, *, name: str, repeated: list[YamlProblem] | None = None) -> Node:
    """The only document of a file; an empty file is a null scalar. YamlProblem for the first mistake. If `repeated` is
    given, repeated keys are added to it instead, and the first one counts."""
    nodes = list(_documents(_decoded(data, name), name, repeated))
    if len(nodes) > 1:
        raise YamlProblem(name, (nodes[1].line, nodes[1].column), "a second document starts here; only one is allowed")
    return nodes[0] if nodes else Scalar(line=1, column=1, weight=1, text="", plain=True)


def plain_yaml(path: Path) -> Any:
    """The content of a file that is a part of genbridge."""
    return yaml.load(path.read_bytes(), LOADER)  # noqa: S506 - it is a safe one


def _is_merge(key: Scalar) -> bool:
    return key.plain and key.text == "<<"


def _merged_weight(node: Node) -> int:
    """The weight that a merge key adds. A short value is shared, not copied, and counts as 2."""
    if not isinstance(node, Pairs):
        return node.weight
    return 1 + sum(2 if value.weight <= SHORT_WEIGHT else value.weight for value in node.values.values())


def _decoded(data: bytes | str, name: str) -> str:
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    if len(raw) > MAX_SETTINGS_BYTES:
        raise YamlProblem(name, (1, 1), f"the file has {len(raw)} bytes; at most {MAX_SETTINGS_BYTES} are allowed")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise YamlProblem(name, (1, 1), "the file is UTF-16; save it as UTF-8")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        is_binary = b"\0" in raw  # or UTF-16
        what = "not a text file in UTF-8; give another file, or" if is_binary else "not UTF-8;"
        raise YamlProblem(name, _location_after(before), f"{what} save the file as UTF-8") from None
    text = text.removeprefix("\ufeff")
    found = _UNPRINTABLE.search(text)
    if found is not None:
        hint = " (UTF-16? save the file as UTF-8)" if found[0] == "\0" else ""
        message = f"the character U+{ord(found[0]):04X} is not allowed{hint}"
        raise YamlProblem(name, _location_after(text[: found.start()]), message)
    return text


def _location_after(before: str) -> Location:
    lines = before.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return len(lines), len(lines[-1].removeprefix("\ufeff")) + 1


class _Open:
    """A collection that is not complete yet."""

    __slots__ = ("anchor", "column", "items", "key", "keys", "line", "merged", "values", "weight")

    def __init__(self, event: Any, *, is_map: bool) -> None:
        self.anchor: str | None = event.anchor
        self.line: int = event.start_mark.line + 1
        self.column: int = event.start_mark.column + 1
        self.weight = 1
        self.items: list[Node] = []
        self.keys: dict[str, Scalar] | None = {} if is_map else None
        self.values: dict[str, Node] = {}
        self.key: Scalar | None = None
        self.merged: list[Pairs] | None = None  # the mappings of `<<` by precedence; None: no `<<`

    def closed(self) -> Node:
        if self.keys is None:
            return Items(line=self.line, column=self.column, weight=self.weight, items=self.items)
        keys, values = self.keys, self.values
        if self.merged is not None:
            keys, values = {}, {}
            for source in reversed(self.merged):
                keys.update(source.keys)
                values.update(source.values)
            keys |= self.keys
            values |= self.values
        return Pairs(line=self.line, column=self.column, weight=self.weight, keys=keys, values=values)


def _documents(text: str, name: str, repeated: list[YamlProblem] | None) -> Iterator[Node]:
    """The documents, one after another; YamlProblem at the first mistake."""
    composer = Composer(name, repeated)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            composer.add_event(event)
            if isinstance(event, yaml.DocumentEndEvent) and (root := composer.take()) is not None:
                yield root
                composer.forget_anchors()
    except yaml.YAMLError as error:
        raise composer.syntax_problem(error, text) from None


class Composer:
    """Builds nodes from the parser's events, with its own stack instead of recursion."""

    def __init__(self, name: str, repeated: list[YamlProblem] | None = None) -> None:
        self._name = name
        self._repeated = repeated
        self._aliased = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}  # None: not complete
        self._root: Node | None = None
        self._steps = {
            yaml.ScalarEvent: self._scalar,
            yaml.SequenceStartEvent: self._begin,
            yaml.MappingStartEvent: self._begin,
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.AliasEvent: self._alias,
        }

    def syntax_problem(self, error: yaml.YAMLError, text: str) -> YamlProblem:
        """The parser's error in genbridge's words. `text` helps to find the likely cause; it may be empty."""
        if not isinstance(error, yaml.MarkedYAMLError):
            return YamlProblem(self._name, (1, 1), " ".join(str(error).split()))
        mark = error.problem_mark or error.context_mark
        if mark is None:
            return YamlProblem(self._name, (1, 1), str(error.problem))
        lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", text)
        line = lines[mark.line] if mark.line < len(lines) else ""
        location = (mark.line + 1, mark.column + 1)
        if error.problem == "exceeded maximum nesting depth":  # PyYAML's own limit, since 6.0.4
            return YamlProblem(self._name, location, _TOO_DEEP)
        if (char := line[mark.column : mark.column + 1]) in _BEGINS:
            return YamlProblem(self._name, location, _BEGINS[char])
        if mark.column and line[mark.column - 1 : mark.column + 1] == "${":
            message = 'an unquoted ${...} inside { } or [ ] is not YAML; quote it: "${...}"'
            return YamlProblem(self._name, (location[0], location[1] - 1), message)
        if line[mark.column : mark.column + 2] == "{{":
            return YamlProblem(self._name, location, "an unquoted {{ inside { } or [ ] is not YAML; quote the text")
        if _HALF_QUOTED.search(line[: mark.column + 1]) is not None:
            message = "the value continues after its closing quote; write all of it in quotes"
            return YamlProblem(self._name, location, message)
        start = error.context_mark
        if start is not None and error.problem == "could not find expected ':'":
            message = 'not "key: value": a colon and a space must follow the key'
            return YamlProblem(self._name, (start.line + 1, start.column + 1), message)
        since = f" ({error.context}, started in line {start.line + 1})" if start else ""
        if error.problem == "mapping values are not allowed in this context":
            since = '; quote a value that contains ": ", and indent the keys of a mapping alike'
        return YamlProblem(self._name, location, f"not YAML: {error.problem}{since}")

    def add_event(self, event: Any) -> None:
        """Process the next event of a node. YamlProblem if it is not allowed; `take` then drops the node."""
        step = self._steps.get(type(event))
        if step is not None:
            step(event)

    def take(self) -> Node | None:
        """The complete node, or None. Incomplete nodes are dropped."""
        root, self._root = self._root, None
        self._stack.clear()
        return root

    def forget_anchors(self) -> None:
        """Start a new document, whose aliases cannot refer to the previous one."""
        self._anchors.clear()

    def _scalar(self, event: Any) -> None:
        self.check_tag(event)
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
        self.check_tag(event)
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(event, _TOO_DEEP)
        if self._stack and self._stack[-1].keys is not None and self._stack[-1].key is None:
            self._refuse(event, "a list or mapping cannot be a key; write a text that begins with {{ in quotes")
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
        name = shortened(event.anchor)
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias *{name} has no anchor &{name} before it", AliasProblem)
        node = self._anchors[event.anchor]
        if node is None:
            self._refuse(event, f"the alias *{name} refers to itself", AliasProblem)
        self._aliased += _merged_weight(node) if self._is_merging() else node.weight
        if self._aliased > MAX_ALIASED:
            self._refuse(event, "the aliases expand to too much data", AliasProblem)
        self._add(node, event)

    def _add(self, node: Node, event: Any) -> None:
        if not self._stack:
            self._root = node
            return
        into = self._stack[-1]
        into.weight += node.weight
        if into.keys is None:
            into.items.append(node)
        elif into.key is not None and _is_merge(into.key):
            into.merged = self._mappings(node)
            into.key = None
        elif into.key is not None:
            into.values.setdefault(into.key.text, node)
            into.key = None
        elif isinstance(node, Scalar):
            self._add_key(into, into.keys, node, event)
        else:
            self._refuse(event, "a list or mapping cannot be a key")

    def _add_key(self, into: _Open, keys: dict[str, Scalar], key: Scalar, event: Any) -> None:
        if _is_merge(key):
            if into.merged is not None:
                self._refuse(event, "<< is here twice; write one with a list: <<: [*first, *second]")
            into.key = key
            return
        if key.text in keys:
            problem = f"the key {quoted(key.text)} is here twice; first in line {keys[key.text].line}"
            if self._repeated is None:
                self._refuse(event, problem)
            self._repeated.append(YamlProblem(self._name, (key.line, key.column), problem))
        keys.setdefault(key.text, key)
        into.key = key

    def _is_merging(self) -> bool:
        """Whether the next node belongs to a merge key, directly or in a list."""
        holders = self._stack[-1:] if self._stack and self._stack[-1].keys is not None else self._stack[-2:-1]
        return any(each.key is not None and _is_merge(each.key) for each in holders)

    def _mappings(self, node: Node) -> list[Pairs]:
        """The mappings of a merge key, those with precedence first."""
        found = []
        for each in node.items if isinstance(node, Items) else [node]:
            if not isinstance(each, Pairs):
                message = "<< needs a mapping or a list of mappings, such as *name or [*first, *second]"
                raise YamlProblem(self._name, (each.line, each.column), message)
            found.append(each)
        return found

    def check_tag(self, event: Any) -> None:
        """YamlProblem if the event has a tag that changes the type of a value."""
        if event.tag not in _TAGS:
            short = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(event, f"the tag {quoted(short)} is not allowed; write a plain value")

    def _refuse(self, event: Any, message: str, problem: type[YamlProblem] = YamlProblem) -> NoReturn:
        mark = event.start_mark
        raise problem(self._name, (mark.line + 1, mark.column + 1), message)
