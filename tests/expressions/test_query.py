"""JMESPath expressions of the settings: their results and their budget."""

from __future__ import annotations

import sys
import time
from typing import Final

import jmespath
import orjson
import pytest
from jmespath.exceptions import JMESPathError

from bridge.domain.task import Json
from bridge.expressions.answer_budget import ExpressionLimit, answer_budget
from bridge.expressions.query import ExpressionError, Query
from tests import garbage

ITEMS: Final[Json] = {
    "items": [
        {"id": str(at), "status": "done", "url": f"https://x.example/{'y' * 100}", "n": at} for at in range(5000)
    ],
    "numbers": list(range(400_000)),
    "floats": [at * 1.1234567 for at in range(100_000)],
    "text": "x" * 1_000_000,
    "texts": ["x" * 1000] * 1000,
    "deep": orjson.loads("[" * 800 + "1" + "]" * 800),
}
SMALL: Final[Json] = {
    "a": [3, 1, 2],
    "b": {"c": [{"d": "x", "e": 1}, {"d": "y", "e": 2}], "f": None},
    "t": ["b", "a"],
    "mixed": [1, [2, [3]], "x", None],
    "s": "text",
}


@pytest.mark.parametrize(
    "expression",
    [
        "a[0]",
        "a[-1:]",
        "a[::-1]",
        "b.c[*].d",
        "b.c[?e > `1`].d | [0]",
        "b.*",
        "mixed[]",
        "[a, b.f, s]",
        "{x: a, y: b.c[0]}",
        "sort(a)",
        "sort(t)",
        "sort_by(b.c, &e)[0].d",
        "sort_by(b.c, &d)[-1].e",
        "max_by(b.c, &e).d",
        "min_by(b.c, &e).d",
        "map(&d, b.c)",
        "max(a)",
        "min(t)",
        "sum(a)",
        "avg(a)",
        "join('-', t)",
        "contains(a, `2`)",
        "contains(s, 'ex')",
        "to_string(b)",
        "to_number('12.5')",
        "to_array(s)",
        "merge(b, {g: s})",
        "keys(b)",
        "values(b)",
        "reverse(t)",
        "reverse(s)",
        "length(@)",
        "type(a) == 'array' && s || null",
        "!(b.f) && a",
        "not_null(b.f, s)",
        "starts_with(s, 'te')",
        "ceil(`1.2`)",
        "a == `[3, 1, 2]`",
        "b.c[?d == 'y' || e == `1`].e",
        "sort_by(a, &@)",
        "max(`[]`)",
        "sort_by(`[]`, &x)",
        "max_by(`[]`, &x)",
    ],
)
def test_an_expression_gives_what_jmespath_gives(expression: str) -> None:
    assert Query(expression).search(SMALL) == jmespath.search(expression, SMALL)


@pytest.mark.parametrize(
    "expression", ["starts_with(b, 'x')", "sort_by(mixed, &@)", "sum(t)", "b.c[?d < `1`].d", "s < `1`"]
)
def test_a_function_that_does_not_accept_the_value_has_its_own_error(expression: str) -> None:
    with pytest.raises((JMESPathError, TypeError)):
        jmespath.search(expression, SMALL)

    with pytest.raises(ExpressionError):
        Query(expression).search(SMALL)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    "expression",
    [
        "items[*].[{a: @, b: @}, {a: @, b: @}] | [][] | [*].[@, @, @, @]",
        "[@, @]" + " | [@, @]" * 40,
        "[@, @][]" + " | [@, @][]" * 40,
        "length([@, @][]" + " | [@, @][]" * 40 + ")",
        "to_string([@, @]" + " | [@, @]" * 40 + ")",
        "{a: @, b: @}" + " | {a: @, b: @}" * 40,
        "map(&[@, @, @], items)",
        "items[*].{a: @, b: @, c: @}",
        "numbers[*].[@, @]",
        "numbers[?@ > `5`]",
        "sort(numbers)",
        "sort_by(numbers, &@)",
        "max_by(numbers, &to_string(@))",
        "to_string(floats)",
        "to_string(@)",
        "join(text, [text, text])",
        "join('', [text, text]) | join('', [@, @]) | join('', [@, @])",
        "map(&join('', [@, @, @]), texts)",
        "[text, text, text, text]",
        "numbers[:] == numbers[:]",
        "[numbers[:], numbers[:]] | [?@ == @]",
        "contains(numbers, `[1]`)",
        "sort([texts, texts, texts, texts, texts, texts, texts, texts, texts][])",
        "merge(" + ", ".join(["items[0]"] * 300) + ")" + " | [@, @]" * 40,
        "map(&map(&map(&[@, @], numbers), numbers), numbers)",
        "numbers[].[numbers, @]",
    ],
)
def test_an_expression_over_its_budget_fails_within_50_ms(expression: str) -> None:
    query = Query(expression, where="providers.mine.forms.plain.message")
    took_s = []
    for _ in range(3):  # the minimum, because a busy machine also increases the process time
        began = time.thread_time()
        with pytest.raises(ExpressionLimit) as caught:
            query.search(ITEMS)
        took_s.append(time.thread_time() - began)

    assert str(caught.value).startswith('providers.mine.forms.plain.message: "')
    if sys.gettrace() is None:  # measuring coverage costs several times as much as the expression
        assert min(took_s) < 0.15  # 50 ms on a machine with nothing else to do


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("length(items[?status == 'done'].url)", 5000),
        ("length(sort(items[*].url))", 5000),
        ("sort_by(items, &n)[-1].id", "4999"),
        ("length(join('', texts))", 1_000_000),
        ("contains(text, 'y')", False),
        ("length(items[].url)", 5000),
        ("items[?id == '4321'] | [0].n", 4321),
    ],
)
def test_ordinary_work_on_a_large_answer_is_within_the_budget(expression: str, found: Json) -> None:
    assert Query(expression).search(ITEMS) == found


def test_a_deeply_nested_answer_is_past_the_budget_and_not_a_crash() -> None:
    with pytest.raises(ExpressionLimit, match="nests too deeply"):
        Query("to_string(deep)").search({"deep": _nested(50_000)})


@pytest.mark.parametrize(
    ("expression", "value", "found"),
    [
        ("to_number(@)", "nan", None),
        ("to_number(@)", "inf", None),
        ("to_number(@)", "9" * 30, 1e30),
        ("ceil(@)", 1e300, 1e300),
        ("sum(@)", [2**63, 2**63], float(2**64)),
        ("abs(@)", -5, 5),
    ],
)
def test_an_expression_never_returns_a_number_that_json_cannot_hold(expression: str, value: Json, found: Json) -> None:
    result = Query(expression).search(value)

    assert result == found
    orjson.dumps(result)


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("", "JMESPath expression: it is empty"),
        ("$.data.status", "character 1: this is JSONPath; leave out the $ and write data.status"),
        ("task-id", 'character 5: unexpected -; write a key with a hyphen in quotes: "task-id"'),
        ("foo(", "JMESPath expression: it is incomplete"),
        ("a.", "JMESPath expression: it is incomplete"),
        ("a b", 'JMESPath expression: character 3: unexpected "b"'),
        (
            "code == 0",
            "character 9: unexpected 0; a number to compare with is `0`, an index is [0],",
        ),
        ("code = `0`", "character 6: a single =; write == to compare"),
        ("code == `0", "character 9: unclosed ` delimiter"),
        ("nope(@)", "there is no function nope()"),
        ("sum(a, b)", "sum() takes 1 argument, not 2"),
        ("sort_by(a, b)", "sort_by() takes an expression with & before it as argument 2"),
        ("not_null(&a)", "not_null() takes a value"),
        ("[&a]", "& is only allowed"),
        ("`NaN`", "a literal is not JSON"),
        ("`[123456789012345678901234567890]`", "a literal is not JSON"),
        ("(" * 900 + "a" + ")" * 900, "nests too deeply"),
        ("`" + "[" * 1900 + "]" * 1900 + "`", "nests too deeply"),
        ("a" + "||a" * 500, "nests more than 120 levels deep"),
        ("a." * 3000 + "a", "at most 4000 characters"),
    ],
)
def test_an_expression_that_cannot_be_evaluated_is_refused_when_it_is_compiled(expression: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="JMESPath") as caught:
        Query(expression)

    assert complaint in str(caught.value)
    assert not str(caught.value).endswith(":")
    assert len(str(caught.value)) < 500


def test_expressions_on_one_answer_share_a_budget_and_the_costliest_is_named() -> None:
    cheap = Query("items[0].id | @", where="cheap")
    dear = Query("length(items[?status == 'done'].url)", where="dear")

    def search_often() -> None:
        with answer_budget():
            for _ in range(100):
                cheap.search(ITEMS)
                dear.search(ITEMS)

    with pytest.raises(ExpressionLimit, match=r"^dear: "):
        search_often()
    with answer_budget():
        assert dear.search(ITEMS) == 5000


def _nested(depth: int) -> Json:
    value: Json = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.usefixtures("unmeasured")
def test_a_search_leaves_nothing_to_the_garbage_collector() -> None:
    query = Query("sort_by(b.c, &d)[?e > `1`].d")
    assert query.search(SMALL) == ["y"]
    assert garbage.left_by(lambda: query.search(SMALL)) == 0
