"""The forms a file of tasks may have."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.sources.entry import NO_TASK, NOT_A_LIST, Entry
from bridge.sources.rejects import RejectedTasks
from bridge.sources.task_files import SUFFIXES, read_tasks

FORMS = sorted(SUFFIXES)


def read(text: str | bytes, suffix: str, **options: Any) -> list[Entry]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_tasks(data, suffix, **options))


def values(text: str | bytes, suffix: str) -> list[Any]:
    entries = read(text, suffix)
    assert [entry.problem for entry in entries] == [None] * len(entries)
    return [entry.value for entry in entries]


def only_problem(text: str | bytes, suffix: str, **options: Any) -> tuple[int, str]:
    entry, *more = read(text, suffix, **options)
    assert not more
    assert entry.problem is not None
    assert entry.problem.isprintable()
    return entry.line, entry.problem


# ids, a line each


def test_txt_is_an_id_a_line() -> None:
    text = "\ufeffone\r\n\r\n# a remark\n  two  \n\t\n0123\nthree"
    entries = read(text, ".txt")
    assert [(entry.line, entry.value) for entry in entries] == [(1, "one"), (4, "two"), (6, "0123"), (7, "three")]


def test_a_line_that_is_not_utf8_leaves_the_others() -> None:
    good, bad, last = read(b"one\ntw\xffo\nthree\n", ".txt")
    assert (good.value, bad.line, last.value) == ("one", 2, "three")
    assert bad.problem == "not UTF-8, it looks like Windows-1252; save the file as UTF-8"
    assert (bad.text or "").encode(errors="surrogateescape") == b"tw\xffo"


# CSV


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,label\na,one\n0123,\n", [{"id": "a", "label": "one"}, {"id": "0123"}]),
        ('\ufeffID;Label\r\na;x\r\n\r\nb;"y; z"\r\n', [{"id": "a", "label": "x"}, {"id": "b", "label": "y; z"}]),
        ("label\tid\nx\ta\n", [{"id": "a", "label": "x"}]),
        ('id,meta\na,"{""n"": [1, true]}"\n', [{"id": "a", "meta": {"n": [1, True]}}]),
        ("id,endpoints\na,chat automation\n", [{"id": "a", "endpoints": ["chat", "automation"]}]),
        ("id;endpoints\na;chat,automation\n", [{"id": "a", "endpoints": ["chat", "automation"]}]),
        ("a\n0123\nid\n", ["a", "0123", "id"]),
        ("id\na\nid\n", [{"id": "a"}, {"id": "id"}]),
        ("id,,\na,,\n", [{"id": "a"}]),
        ("id,label\na", [{"id": "a"}]),
    ],
)
def test_csv_has_a_header_of_our_keys_or_one_column_of_ids(text: str, expected: list[Any]) -> None:
    assert values(text, ".csv") == expected


def test_rows_of_a_csv_file_know_their_lines() -> None:
    entries = read('id,label\n\na,"two\nlines"\nb,x\nc,x,y\n', ".csv")
    assert [(entry.line, entry.problem) for entry in entries] == [(3, None), (5, None), (6, "3 cells, but 2 columns")]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("csv-1;Shot 1\ncsv-2;Shot 2\n", "must name the columns"),
        ("task_id\na\n", "one of them id"),
        ("label,action\nx,y\n", "one of them id"),
        ("id,id\na,b\n", '"id" is there twice'),
        ('id,label\na,"x\n', "not CSV"),
        ("id,label\na,标题\n".encode("gbk"), "it looks like GBK"),
        ("id,label\na,étude\n".encode("cp1252"), "it looks like Windows-1252"),
        ("id\na\n".encode("utf-16-le"), "UTF-16"),
        ("id\na\n".encode("utf-32"), "UTF-32"),
    ],
)
def test_a_csv_file_that_cannot_be_understood_is_one_problem(text: str | bytes, hint: str) -> None:
    assert hint in only_problem(text, ".csv")[1]


# no suffix


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('\ufeff {"id": "a"}', [{"id": "a"}]),
        ('["a", "b"]', ["a", "b"]),
        ("a\n# no\n\n b \n", ["a", "b"]),
        ('"a"\n', ['"a"']),
    ],
)
def test_a_file_without_suffix_is_json_or_an_id_a_line(text: str, expected: list[Any]) -> None:
    assert values(text, "") == expected


# JSON


def test_jsonl_is_a_task_or_a_string_a_line() -> None:
    text = '"one"\r\n{"id": "two", "meta": {"n": 1}}\n\n857000000000000001\n'
    assert values(text, ".jsonl") == ["one", {"id": "two", "meta": {"n": 1}}, 857000000000000001]


def test_a_bad_json_line_leaves_the_others() -> None:
    entries = read('"one"\nnonsense\n{"id": "a", "id": "b"}\n"four"', ".jsonl")
    assert [(entry.line, entry.value) for entry in entries if not entry.problem] == [(1, "one"), (4, "four")]
    assert "not JSON" in (entries[1].problem or "")
    assert entries[2].problem == 'the key "id" is there twice'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"id": "one"}', [{"id": "one"}]),
        ('"one"', ["one"]),
        ("123", [123]),
        ('\ufeff [ "a,b]" , {"id":"\\"[{"} ]\n', ["a,b]", {"id": '"[{'}]),
        ('{"tasks": ["a", {"id": "b"}]}', ["a", {"id": "b"}]),
        ("[]", []),
        (' { "tasks" : [ ] } ', []),
    ],
)
def test_json_is_one_task_a_list_or_tasks(text: str, expected: list[Any]) -> None:
    assert values(text, ".json") == expected


def test_entries_of_json_know_their_lines() -> None:
    entries = read('[\n  "a",\n\n  {"id":\n "b"}, "c"\n]', ".json")
    assert [entry.line for entry in entries] == [2, 4, 5]


def test_a_bad_task_in_a_json_list_leaves_the_others() -> None:
    entries = read('["a", {"id": NaN}, {"id": b}, {"id": 1, "id": 2}, "\\ud83d\\ude00", 1 2]', ".json")
    assert [entry.value for entry in entries if not entry.problem] == ["a", "😀"]
    assert len(entries) == 6


@pytest.mark.parametrize(
    "text",
    [
        '["a", "b"',
        '["a", "b',
        '["a", "b"}',
        '["a",]',
        '["a",,"b"]',
        "[,]",
        '["a"] "b"',
        '{"tasks": ["a"], "more": 1}',
        '{"tasks": {}}',
        '{"id": "a"}\n{"id": "b"}',
        '{"id": "a"',
        "",
        " \n ",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a":' * 2000 + "1" + "}" * 2000,
        "9" * 5000,
    ],
)
def test_broken_json_is_one_problem(text: str) -> None:
    only_problem(text, ".json")


def test_several_json_texts_in_one_file_are_pointed_to_their_form() -> None:
    assert ".jsonl" in only_problem('{"id": "a"}\n{"id": "b"}', ".json")[1]


# YAML


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", ["abc"]),
        ("id: 0123\naccount: no\n", [{"id": "0123", "account": "no"}]),
        ("- 0123\n- 8800_0123\n- 12:30:00\n- no\n- 2024-01-01\n- 1.50",
         ["0123", "8800_0123", "12:30:00", "no", "2024-01-01", "1.50"]),
        ("tasks:\n- a\n- {id: b, label: 7}\n", ["a", {"id": "b", "label": "7"}]),
        ("- a\n---\nb\n---\n# nothing\n---\ntasks: [c]\n", ["a", "b", "c"]),
        ("tasks: []", []),
        ("[]", []),
        ("\ufeff- ä\n- '🎬'\n", ["ä", "🎬"]),
        ("- &x a\n- *x\n- {id: b, meta: &m {n: 1}}\n- {id: c, meta: *m}\n",
         ["a", "a", {"id": "b", "meta": {"n": 1}}, {"id": "c", "meta": {"n": 1}}]),
        ("tasks:\n- &x {id: a, meta: {n: 1}}\n- *x\n", [{"id": "a", "meta": {"n": 1}}] * 2),
        ("{id: &x a, label: *x}", [{"id": "a", "label": "a"}]),
        ("- \n- ~\n- 'null'\n", [None, None, "null"]),
        ("[a, {id: b,\n c: d}, 'e\n f']", ["a", {"id": "b", "c": "d"}, "e f"]),
        ('{"tasks": ["a", {"id": "b"}]}', ["a", {"id": "b"}]),
    ],
)  # fmt: skip
def test_yaml_is_one_task_a_list_or_tasks_and_ids_stay_text(text: str, expected: list[Any]) -> None:
    assert values(text, ".yaml") == expected
    assert values(text.replace("\n", "\r\n"), ".yml") == expected


def test_meta_keeps_the_types_of_yaml() -> None:
    text = "- id: 1\n  meta: {n: 1, on: true, text: 'true', none: ~, zip: 0123}\n"
    meta = {"n": 1, "on": True, "text": "true", "none": None, "zip": "0123"}
    assert values(text, ".yaml") == [{"id": "1", "meta": meta}]


def test_a_bad_task_in_a_yaml_list_leaves_the_others() -> None:
    text = "tasks:\n  - a\n  - id: b\n    label: x\n    label: y\n  - !!python/name:os.system {id: c}\n  - d\n"
    entries = read(text, ".yaml")
    assert [(entry.line, entry.value) for entry in entries if not entry.problem] == [(2, "a"), (7, "d")]
    twice, tagged = (entry for entry in entries if entry.problem)
    assert twice.line == 5
    assert "first in line 4" in (twice.problem or "")
    assert tagged.line == 6


@pytest.mark.parametrize("before", ["", "tasks: "])
def test_a_tag_on_the_list_itself_is_refused(before: str) -> None:
    line, problem = only_problem(f'{before}!!python/object/apply:os.system ["touch x"]\n', ".yaml")
    assert (line, "!!python/object/apply:os.system" in problem) == (1, True)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("# only a remark\n", 1),
        ("---\n---\n", 1),
        ("tasks:\n", 1),
        ("tasks: abc\n", 1),
        ("tasks: [a]\nmore: 1\n", 2),
        ("tasks: [&x a, *x]\nmore: 1\n", 2),
        ("- &x a\n---\ntasks: *x\n", 3),
        ("- a\n- {b\n", 3),
        ("- a\n\t- b\n", 2),
        ("- a\n- *nobody\n", 2),
        ("- a: " + "[" * 60 + "]" * 60, 1),
        ("[" * 100_000, 1),
        ("- a\n- b\0\n", 2),
    ],
)
def test_broken_yaml_is_one_problem_with_its_line(text: str, line: int) -> None:
    assert only_problem(text, ".yaml")[0] == line


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_one_task_beyond_reason_leaves_the_others(suffix: str) -> None:
    good, bad, last = read(json.dumps(["a", {"id": "b", "meta": {"x": "y" * 1024 * 1024}}, "c"]), suffix)
    assert (good.value, last.value) == ("a", "c")
    assert "at most 262144" in (bad.problem or "")


class Poison(bytes):
    """Stands for whatever nobody thought of."""

    def startswith(self, *_: Any) -> bool:
        raise ZeroDivisionError


@pytest.mark.parametrize("suffix", FORMS)
def test_a_poisonous_file_is_a_problem_like_others(suffix: str) -> None:
    assert only_problem(Poison(b"a"), suffix)[1] == "it could not be read (ZeroDivisionError)"


def test_an_alias_bomb_is_refused() -> None:
    bomb = "- &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"- &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
    )
    assert "alias" in only_problem(bomb, ".yaml")[1]


def test_a_watchlist_must_be_a_list() -> None:
    for suffix, text in ((".yaml", "abc"), (".yaml", "id: a"), (".json", '{"id": "a"}'), (".json", '"a"')):
        assert only_problem(text, suffix, lists_only=True)[1] == NOT_A_LIST
    assert only_problem("id: &x a\nlabel: *x", ".yaml", lists_only=True)[1] == NOT_A_LIST
    assert only_problem("tasks:\n# - a\n", ".yaml", lists_only=True)[1] == NOT_A_LIST
    assert read("- a\n", ".yaml", lists_only=True)[0].value == "a"


# all of them


@pytest.mark.parametrize("suffix", FORMS)
def test_utf16_is_named_as_what_it_is(suffix: str) -> None:
    assert "UTF-16" in only_problem('["a"]'.encode("utf-16"), suffix)[1]


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_structured_file_that_is_not_utf8_is_broken_as_a_whole(suffix: str) -> None:
    assert only_problem(b'[\n"a",\n"\xff"]', suffix) == (
        3,
        "not UTF-8, it looks like Windows-1252; save the file as UTF-8",
    )


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_an_empty_file_holds_no_task(suffix: str) -> None:
    assert only_problem("", suffix)[1] == NO_TASK


@given(data=st.binary(max_size=200) | st.text(alphabet="[]{}\"',:-&*!|>\n\t# atsk1", max_size=60).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_no_bytes_whatever_make_reading_raise(data: bytes) -> None:
    for suffix in FORMS:
        for entry in read_tasks(data, suffix):
            assert entry.line >= 1
            assert not (entry.problem or "").startswith("it could not be read"), "caught only at the last line"


PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
TASKS = st.lists(PLAIN | st.dictionaries(PLAIN, PLAIN | st.integers() | st.lists(PLAIN), max_size=3), max_size=5)


@given(tasks=TASKS, indent=st.sampled_from([None, 0, 2]))
def test_what_json_writes_is_read_task_by_task(tasks: list[Any], indent: int | None) -> None:
    assert values(json.dumps(tasks, indent=indent), ".json") == tasks
    assert values(json.dumps({"tasks": tasks}, indent=indent, ensure_ascii=False), ".json") == tasks


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@given(
    tasks=st.lists(
        TEXTS | st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS), min_size=1, max_size=3), min_size=1, max_size=5
    )
)
@settings(deadline=None)
def test_what_yaml_writes_is_read_task_by_task(tasks: list[Any]) -> None:
    for flow in (True, False, None):
        text = yaml.safe_dump({"tasks": tasks}, default_flow_style=flow, allow_unicode=True, width=20)
        assert values(text, ".yaml") == tasks


# the rest of a half-bad file


NESTED = """\
tasks:
  - id: a
    meta:
      n: |
        two

        lines
    # why
  - b # c
  - {id: c,
   d: e}
"""


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("a\nb\n", ".txt"),
        ('"a"\n{"id": "b"}\n', ".jsonl"),
        ('["a",\n {"id": "b",\n  "meta": {}}, 3]', ".json"),
        (NESTED, ".yaml"),
        ("[a, {id: b,\n c: d}, 'e\n f']", ".yml"),
        ("- &x a\n- [*x]\n", ".yaml"),
        ("id: a\nlabel: b\n---\nc\n", ".yaml"),
    ],
)  # fmt: skip
def test_the_rest_is_a_file_of_the_same_form(text: str, suffix: str) -> None:
    entries = read(text, suffix)
    rest = RejectedTasks(suffix)
    for entry in entries:
        rest.add(entry, "no")
    assert values(rest.data(), suffix) == [entry.value for entry in entries]
    again = [entry.line for entry in read(rest.data(), suffix)]
    if suffix in {".yaml", ".yml"}:
        again = [line for line, text in enumerate(rest.data().splitlines(), 1) if text.startswith(b"-")]
    tasks = [f", task {entry.number}," if entry.number else "" for entry in entries]
    was = {
        line: "" if line == entry.line and not task else f" (line {entry.line}{task} of the dropped file)"
        for line, entry, task in zip(again, entries, tasks, strict=True)
    }
    assert rest.reason("n", whole=False) == "".join(f"n:{line}: no{was[line]}\n" for line in again)
    assert rest.reason("n", whole=True) == "".join(f"n:{entry.line}: {entry.said('no')}\n" for entry in entries)


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ('["a", "b",\n"c", "d",\n"e"]', ".json", [(1, 1), (1, 2), (2, 3), (2, 4), (3, 0)]),
        ('{"tasks": ["a", {"id": "b"}]}', ".json", [(1, 1), (1, 2)]),
        ('["a"]', ".json", [(1, 0)]),
        ("[a, {id: b}]\n", ".yaml", [(1, 1), (1, 2)]),
        ("- a\n- {id: b}\n", ".yaml", [(1, 0), (2, 0)]),
        ("a\nb\n", ".txt", [(1, 0), (2, 0)]),
    ],
)
def test_tasks_that_share_a_line_have_numbers(text: str, suffix: str, expected: list[tuple[int, int]]) -> None:
    assert [(entry.line, entry.number) for entry in read(text, suffix)] == expected


def test_a_syntax_error_in_a_json_list_has_its_column() -> None:
    assert only_problem('["a", , "b"]', ".json") == (1, "not JSON: a comma without a task next to it (column 7)")
    assert only_problem('["é"] x', ".json") == (1, "text after the list (column 6)")


def test_reasons_are_counted_where_there_are_too_many() -> None:
    rest = RejectedTasks(".txt")
    for line in range(1000):
        rest.add(Entry(line=line + 1, text="x"), "no")
    assert rest.reason("n", whole=True).endswith("n:100: no\n... and 900 more\n")


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("begin", "one", "end", "suffix"),
    [
        ("", "id{:07d}\n", "", ".txt"),
        ("", '"id{:07d}"\n', "", ".jsonl"),
        ("[", '"id{:07d}",\n', '"last"]', ".json"),
        ("tasks:\n", "- id{:07d}\n", "", ".yaml"),
    ],
)
def test_memory_stays_in_bounds_for_a_long_list(begin: str, one: str, end: str, suffix: str) -> None:
    data = (begin + "".join(one.format(n) for n in range(20_000)) + end).encode()
    tracemalloc.start()
    try:
        count = sum(1 for entry in read_tasks(data, suffix) if not entry.problem)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count >= 20_000
    assert peak < 4 * len(data) + 1_000_000


# merge keys


@pytest.mark.parametrize(
    "text",
    [
        "- &base {id: a, account: k, meta: {n: 1}}\n- {<<: *base, id: b}\n",
        "tasks:\n  - &base\n    id: a\n    account: k\n    meta: {n: 1}\n  - <<: *base\n    id: b\n",
        "- {<<: {account: k, meta: {n: 1}}, id: a}\n- {<<: [{account: k}, {account: z, meta: {n: 1}}], id: b}\n",
        "--- &base\nid: a\naccount: k\nmeta: {n: 1}\n---\nid: b\n<<: {account: k, meta: {n: 1}}\n",
    ],
)
def test_a_task_may_take_in_the_keys_of_another(text: str) -> None:
    for suffix in (".yaml", ".yml"):
        assert values(text, suffix) == [{"id": each, "account": "k", "meta": {"n": 1}} for each in "ab"]


def test_a_merge_key_that_takes_in_no_mapping_is_named_with_its_line() -> None:
    line, problem = only_problem("- id: a\n  <<: 5\n", ".yaml")

    assert (line, problem[:23]) == (2, "<< needs a mapping or a")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"<html>\n<b>502</b></html>", "it looks like HTML: did the create call fail?"),
        (b"upstream connect error", "did the create call fail?"),
        (b"[abc]", '"abc" must be in double quotes'),
        (b"['abc']", "must be in double quotes"),
    ],
)
def test_what_does_not_begin_like_json_is_refused_with_the_likely_cause(text: bytes, cause: str) -> None:
    (entry,) = read_tasks(text, ".json")
    assert entry.problem is not None
    assert cause in entry.problem
