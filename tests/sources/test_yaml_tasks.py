"""Tasks in YAML: lists, anchors, merge keys, and text that stays text."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.task_file_reading import only_problem, read, values


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


def test_an_alias_bomb_is_refused() -> None:
    bomb = "- &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"- &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
    )
    assert "alias" in only_problem(bomb, ".yaml")[1]


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
def test_a_task_may_merge_the_keys_of_another(text: str) -> None:
    for suffix in (".yaml", ".yml"):
        assert values(text, suffix) == [{"id": each, "account": "k", "meta": {"n": 1}} for each in "ab"]


def test_a_merge_key_without_a_mapping_is_reported_with_its_line() -> None:
    line, problem = only_problem("- id: a\n  <<: 5\n", ".yaml")

    assert (line, problem[:23]) == (2, "<< needs a mapping or a")
