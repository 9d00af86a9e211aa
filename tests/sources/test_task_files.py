"""The forms of a file of tasks: lines, CSV and JSON, and what they have in common."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.sources.entry import NO_TASK, NOT_A_LIST
from bridge.sources.task_files import read_tasks
from tests.sources.task_file_reading import FORMS, only_problem, read, values

# ids, one on each line


def test_txt_is_an_id_a_line() -> None:
    text = "\ufeffone\r\n\r\n# a remark\n  two  \n\t\n0123\nthree"
    entries = read(text, ".txt")
    assert [(entry.line, entry.value) for entry in entries] == [(1, "one"), (4, "two"), (6, "0123"), (7, "three")]


def test_a_line_that_is_not_utf8_leaves_the_others() -> None:
    good, bad, last = read(b"one\ntw\xffo\nthree\n", ".txt")
    assert (good.value, bad.line, last.value) == ("one", 2, "three")
    assert bad.problem == "not UTF-8, it looks like Windows-1252; save the file as UTF-8"
    assert (bad.text or "").encode(errors="surrogateescape") == b"tw\xffo"


def test_a_comment_may_be_long_and_in_any_encoding() -> None:
    long = b"#" + b"x" * 300_000 + b"\n" + b" " * 300_000 + b"\n"
    assert values(b"one\n" + long + b"# caf\xe9\ntwo\n", ".txt") == ["one", "two"]


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
        ('"a|b"\nc\n', ["a|b", "c"]),
        ('id,label\n"a|b",x|y\n', [{"id": "a|b", "label": "x|y"}]),
    ],
)
def test_csv_has_a_header_of_our_keys_or_one_column_of_ids(text: str, expected: list[Any]) -> None:
    assert values(text, ".csv") == expected


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ("id,lable", 'unknown key "lable"; did you mean "label"?'),
        ("id,name", 'unknown key "name"; did you mean "label"?'),
        ("id,webhook_url", '"webhook_url": a task must not contain an address'),
    ],
)
def test_an_unknown_csv_column_is_one_problem_of_the_header(head: str, problem: str) -> None:
    line, found = only_problem(f"\n{head}\na,b\nc,\nd,e\n", ".csv")
    assert line == 2
    assert found.startswith(problem)


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
        ("a|b|c\nd|e|f\n", "| does not separate cells"),
        ("id|account|label\na|kling|x\n", "| does not separate cells"),
        ('id,label\na,"x\n', "not CSV"),
        ("id,label\ra,x\r", "a line ends with CR alone"),
        ("id,label\na,标题\n".encode("gbk"), "it looks like GBK"),
        ("id,label\na,étude\n".encode("cp1252"), "it looks like Windows-1252"),
        ("id\na\n".encode("utf-16-le"), "UTF-16"),
        ("id\na\n".encode("utf-32"), "UTF-32"),
    ],
)
def test_a_csv_file_that_cannot_be_understood_is_one_problem(text: str | bytes, hint: str) -> None:
    assert hint in only_problem(text, ".csv")[1]


@pytest.mark.parametrize(("head", "first"), [("", "a"), ("id\n", {"id": "a"}), ("id,label\n", {"id": "a"})])
def test_a_csv_row_with_pipes_in_a_good_file_is_rejected_alone(head: str, first: Any) -> None:
    good, bad = read(f"{head}a\nb|kling|x\n", ".csv")
    assert (good.value, good.problem) == (first, None)
    assert bad.text == "b|kling|x"
    assert "| does not separate cells: use commas" in str(bad.problem)


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
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "9" * 5000,
    ],
)
def test_broken_json_is_one_problem(text: str) -> None:
    only_problem(text, ".json")


def test_a_number_that_is_too_long_says_what_to_write() -> None:
    assert only_problem('{"id": ' + "9" * 5000 + "}", ".json")[1].endswith("is too long; write an id in quotes")


def test_several_json_texts_in_one_file_are_pointed_to_their_form() -> None:
    assert ".jsonl" in only_problem('{"id": "a"}\n{"id": "b"}', ".json")[1]


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_one_oversized_task_does_not_affect_the_others(suffix: str) -> None:
    good, bad, last = read(json.dumps(["a", {"id": "b", "meta": {"x": "y" * 1024 * 1024}}, "c"]), suffix)
    assert (good.value, last.value) == ("a", "c")
    assert "at most 262144" in (bad.problem or "")


class Poison(bytes):
    """Raises an error that no code expects."""

    def startswith(self, *_: Any) -> bool:
        raise ZeroDivisionError


@pytest.mark.parametrize("suffix", FORMS)
def test_a_file_that_crashes_the_parser_is_one_problem(suffix: str) -> None:
    assert only_problem(Poison(b"a"), suffix)[1] == "it could not be read (ZeroDivisionError)"


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


def test_a_syntax_error_in_a_json_list_has_its_column() -> None:
    assert only_problem('["a", , "b"]', ".json") == (1, "not JSON: a comma without a task next to it (column 7)")
    assert only_problem('["é"] x', ".json") == (1, "text after the list (column 6)")


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


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"<html>\n<b>502</b></html>", "it looks like HTML: did the create call fail?"),
        (b"upstream connect error", "did the create call fail?"),
        (b"[abc]", '"abc" must be in double quotes'),
        (b"['abc']", "must be in double quotes"),
    ],
)
def test_text_unlike_json_is_refused_with_the_likely_cause(text: bytes, cause: str) -> None:
    (entry,) = read_tasks(text, ".json")
    assert entry.problem is not None
    assert cause in entry.problem
