from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config.yaml import YamlProblem, read_document
from bridge.config.yaml_nodes import Node, as_free, as_text, walk
from tests.stopwatch import within_cpu_s


def problem(data: str | bytes) -> str:
    with pytest.raises(YamlProblem) as caught:
        read_document(data, name="t.yaml")
    assert str(caught.value) == f"t.yaml:{caught.value.line}:{caught.value.column}: {caught.value.message}"
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["0123", "1_000", "12:30:00", "no", "2024-01-02", "1e3", "0x10", "true", "8800_0123", "123456789012345678901"],
)
def test_an_id_is_kept_as_written(text: str) -> None:
    assert as_text(read_document(f"id: {text}", name="t")) == {"id": text}
    assert as_text(read_document(f"{text}: x", name="t")) == {text: "x"}


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_only_a_plain_null_is_none(text: str) -> None:
    assert as_text(read_document(f"id: {text}", name="t")) == {"id": None}
    assert as_text(read_document(f'id: "{text}"', name="t")) == {"id": text}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("1.50", 1.5),
        ("1.5e3", 1500.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ('"5"', "5"),
        ("'true'", "true"),
        ("! 5", "5"),
        ("!!str 5", "5"),
        ("|\n  5", "5"),
        ("0123", "0123"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("no", "no"),
        ("2024-01-02", "2024-01-02"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("1" * 30, "1" * 30),
        ("[1, a, {b: 2}]", [1, "a", {"b": 2}]),
    ],
)
def test_free_values_keep_their_type_if_json_writes_them_the_same_way(written: str, value: object) -> None:
    node = read_document(f"id: 7\nmeta: {written}", name="t")
    meta = as_free(walk(node, ("meta",))[0])
    assert meta == value
    assert type(meta) is type(value)
    assert as_text(node)["id"] == "7"


def test_locations_count_from_one() -> None:
    document = read_document("tasks:\n  - a\n  - {id: b}\n", name="t")
    for path, place, left in (
        (("tasks", 0), (2, 5), ()),
        (("tasks", 1, "id"), (3, 10), ()),
        (("tasks", 1, "nothing"), (3, 5), ("nothing",)),
        ((), (1, 1), ()),
        (("nothing",), (1, 1), ("nothing",)),
    ):
        node, rest = walk(document, path)
        assert ((node.line, node.column), rest) == (place, left)


def test_a_second_document_is_refused_with_its_location() -> None:
    with pytest.raises(YamlProblem, match=r"^t:4:1: a second document starts here; only one is allowed$"):
        read_document("---\na\n---\nb", name="t")


def test_an_empty_file_is_a_null() -> None:
    for data in ("", "# only this\n", "---\n", b"\xef\xbb\xbf"):
        assert as_text(read_document(data, name="t")) is None


def test_anchors_and_aliases_are_followed() -> None:
    node = read_document("a: &x {b: 1}\nc: *x\nd: [*x, &y k]\n*y : v", name="t")
    assert as_text(node) == {"a": {"b": "1"}, "c": {"b": "1"}, "d": [{"b": "1"}, "k"], "k": "v"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a:\n\tb: 1", "t.yaml:2:1: a tab; indent YAML with spaces"),
        ("a: b\0", "t.yaml:1:5: the character U+0000 is not allowed (UTF-16? save the file as UTF-8)"),
        ("a: b\nc: \x1b", "t.yaml:2:4: the character U+001B is not allowed"),
        ("a: b".encode("utf-16"), "t.yaml:1:1: the file is UTF-16; save it as UTF-8"),
        (b"a: b\nc: \xff", "t.yaml:2:4: not UTF-8; save the file as UTF-8"),
        (
            b"SQLite format 3\0\x10\0\xff",
            "t.yaml:1:19: not a text file in UTF-8; give another file, or save the file as UTF-8",
        ),
        ("a: \ud800", "t.yaml:1:4: not UTF-8; save the file as UTF-8"),
        ("a: &a [*a]", "t.yaml:1:8: the alias *a refers to itself"),
        ("a: *b", "t.yaml:1:4: the alias *b has no anchor &b before it"),
        ("--- &a b\n--- *a", "t.yaml:2:5: the alias *a has no anchor &a before it"),
        (
            "a: !!python/object:os.system x",
            't.yaml:1:4: the tag "!!python/object:os.system" is not allowed; write a plain value',
        ),
        ("!custom {a: b}", 't.yaml:1:1: the tag "!custom" is not allowed; write a plain value'),
        ("a: 1\nb: 2\n'a': 3", 't.yaml:3:1: the key "a" is here twice; first in line 1'),
        ("? [a]\n: b", "t.yaml:1:3: a list or mapping cannot be a key; write a text that begins with {{ in quotes"),
        ("a: {{ b }}", "t.yaml:1:5: a list or mapping cannot be a key; write a text that begins with {{ in quotes"),
        ("{a: b/{{ c }}}", "t.yaml:1:7: an unquoted {{ inside { } or [ ] is not YAML; quote the text"),
        ("x: &l [a]\n*l : b", "t.yaml:2:1: a list or mapping cannot be a key"),
        ("c:\n  <<: *x", "t.yaml:2:7: the alias *x has no anchor &x before it"),
        ("c: &c\n  <<: *c", "t.yaml:2:7: the alias *c refers to itself"),
        ("c:\n  <<: 5", "t.yaml:2:7: << needs a mapping or a list of mappings, such as *name or [*first, *second]"),
        ("c:\n  <<:", "t.yaml:2:6: << needs a mapping or a list of mappings, such as *name or [*first, *second]"),
        ("a: &a {b: 1}\nc:\n  <<: [*a, x]", "t.yaml:3:12: << needs a mapping or a list of mappings"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n  <<: *a", "t.yaml:4:3: << is here twice; write one with a list"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n  x: 1\n  x: 2", 't.yaml:5:3: the key "x" is here twice; first in line 4'),
        ("a: {b: ${X}}", 't.yaml:1:8: an unquoted ${...} inside { } or [ ] is not YAML; quote it: "${...}"'),
        ("a: [tgram://${X}/1]", 't.yaml:1:13: an unquoted ${...} inside { } or [ ] is not YAML; quote it: "${...}"'),
        (
            "a: b: c",
            "t.yaml:1:5: not YAML: mapping values are not allowed in this context; quote a value that contains",
        ),
        ("a: 1\nb:2\nc: 3", 't.yaml:2:1: not "key: value": a colon and a space must follow the key'),
        ("a: 1\nb\uff1a 2\nc: 3", 't.yaml:2:1: not "key: value": a colon and a space must follow the key'),
        ("a: @.b", "t.yaml:1:4: a value cannot begin with @ in YAML; write it in quotes"),
        ("a: [`1`]", "t.yaml:1:5: a value cannot begin with ` in YAML; write it in quotes"),
        ("a: 'x' == y", "t.yaml:1:8: the value continues after its closing quote; write all of it in quotes"),
        ('a: "x" || y', "t.yaml:1:9: the value continues after its closing quote; write all of it in quotes"),
        ("a: [b\nc: d", "t.yaml:2:2: not YAML: "),
        (
            "a: 'b",
            "t.yaml:1:6: not YAML: found unexpected end of stream (while scanning a quoted scalar, started in line 1)",
        ),
        ("[" * 900, "t.yaml:1:51: nested deeper than 50 levels"),
        ("\n".join(" " * depth + "a:" for depth in range(1400)), "t.yaml:51:51: nested deeper than 50 levels"),
        ("x" * (1024 * 1024 + 1), "t.yaml:1:1: the file has 1048577 bytes; at most 1048576 are allowed"),
    ],
)
def test_invalid_yaml_is_refused_with_its_location(data: str | bytes, message: str) -> None:
    assert within_cpu_s(2, lambda: problem(data)).startswith(message)


def test_nesting_beyond_the_librarys_limit_is_refused_in_the_same_words() -> None:
    assert problem("[" * 3000).endswith(": nested deeper than 50 levels")


def test_an_alias_bomb_is_refused_before_it_is_expanded() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 30)
    )
    assert problem(bomb).endswith(": the aliases expand to too much data")
    assert problem(f"a: &a {'x' * 300_000}\nb: [*a, *a, *a, *a]").endswith("the aliases expand to too much data")


@pytest.mark.usefixtures("unmeasured")
def test_twenty_thousand_tasks_are_read_quickly() -> None:
    text = "tasks:\n" + "".join(
        f"- id: {number:05}\n  account: kling\n  meta: {{n: {number}}}\n" for number in range(20_000)
    )
    value = within_cpu_s(4, lambda: as_text(read_document(text.encode(), name="t")))
    assert len(value["tasks"]) == 20_000
    assert value["tasks"][7]["id"] == "00007"


FRAGMENTS = st.lists(
    st.sampled_from(
        (
            *("a", ": ", "- ", "\n", "  ", "[", "]", "{", "}", "&x ", "*x", "!!str ", "!t ", "'", '"', "|", ">", "\t"),
            *(
                "---\n",
                "...\n",
                "? ",
                ",",
                "<<",
                "~",
                "0123",
                "\ufeff",
                "\u2028",
                "\\x00",
                "%YAML 1.1\n",
                "${X}",
                "# c",
            ),
        )
    ),
    max_size=30,
).map("".join)


@pytest.mark.usefixtures("unmeasured")
@given(st.one_of(st.text(), st.binary(), FRAGMENTS))
def test_any_input_gives_nodes_that_fit_into_json_or_one_clear_line(data: str | bytes) -> None:
    documents: list[Node] = []
    problems: list[YamlProblem] = []
    try:
        documents = [read_document(data, name="t")]
    except YamlProblem as error:
        problems = [error]
    for found in problems:
        assert str(found).isprintable()
        assert min(found.line, found.column) >= 1
    for document in documents:
        orjson.dumps([as_text(document), as_free(document)])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"x": "1", "y": "3"}),
        ("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}", {"x": "1", "y": "3"}),
        ("a: &a {x: 1}\nc: &c {x: 2, y: 2}\nb: {<<: [*a, *c], z: 3}", {"x": "1", "y": "2", "z": "3"}),
        ("a: &a {x: 1}\nc: &c {<<: *a, y: 2}\nb: {<<: *c}", {"x": "1", "y": "2"}),
        ("b: {<<: {x: 1}, y: 2}", {"x": "1", "y": "2"}),
        ("b: {<<: [{x: 1}, {x: 2, y: 2}]}", {"x": "1", "y": "2"}),
        ("b: {<<: [], y: 2}", {"y": "2"}),
        ("a: &a {x: {p: 1, q: 2}}\nb: {<<: *a, x: {p: 3}}", {"x": {"p": "3"}}),
        ("a: &a {x: 1}\nb: {<<: *a, x: null}", {"x": None}),
        ('b: {"<<": 1}', {"<<": "1"}),
        ("b: {'<<': {x: 1}}", {"<<": {"x": "1"}}),
        ("a: &a\n  - &i {x: 1}\n  - {x: 2}\nb:\n  <<: *a\n  y: 3", {"x": "1", "y": "3"}),
        ("a: &a\n  x: 1\nb:\n  y: 2\n  << : *a", {"x": "1", "y": "2"}),
    ],
)
def test_a_merge_key_includes_other_mappings_and_own_keys_win(text: str, value: object) -> None:
    found = as_text(read_document(text, name="t"))["b"]

    assert found == value


def test_a_merged_value_keeps_its_own_location() -> None:
    node = read_document("a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2", name="t")

    assert walk(node, ("b", "x"))[0].line == 2
    assert walk(node, ("b", "y"))[0].line == 5


@pytest.mark.usefixtures("unmeasured")
def test_thousands_of_short_merges_are_allowed_but_a_bomb_is_not() -> None:
    base = "- &base {account: kling, action: videos/text2video, label: a label of forty characters or so}\n"
    many = base + "".join(f"- {{<<: *base, id: t-{at}}}\n" for at in range(30_000))
    assert len(as_text(read_document(many, name="t"))) == 30_001

    large = "- &base {meta: " + "x" * 100_000 + "}\n" + "- {<<: *base}\n" * 100
    assert "the aliases expand to too much data" in problem(large)
    bomb = "a0: &a0 {k: [x, x]}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}, p{n}: *a{n - 1}}}\n" for n in range(1, 40))
    assert "the aliases expand to too much data" in problem(bomb)


@pytest.mark.parametrize("text", ["a: *{}", "a: &{0} [*{0}]"])
def test_a_long_alias_is_shortened_in_the_message(text: str) -> None:
    with pytest.raises(YamlProblem) as caught:
        read_document(text.format("x" * 5000), name="n")
    assert len(str(caught.value)) < 200
