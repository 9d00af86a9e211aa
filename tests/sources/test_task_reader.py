"""One task, as people and programs write it, becomes a wish."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from bridge.domain.id_rule import TASK_KEYS
from bridge.domain.watch import Wish
from bridge.sources.task_reader import DoubtfulId, TaskProblem
from tests.sources.rig import BASE, make_reader

TWO = {"kling": "videos/text2video", "other": None}


def problem_of(value: Any, **settings: Any) -> str:
    with pytest.raises(TaskProblem) as caught:
        make_reader(**settings).read(value)
    text = str(caught.value)
    assert text.isprintable(), "one clear line"
    assert len(text) < 400
    return text


def test_a_bare_id_takes_the_only_account_and_its_action() -> None:
    assert make_reader().read(" 0123 ") == Wish(account="kling", task_id="0123", action="videos/text2video")


def test_a_task_may_have_every_key() -> None:
    task = {
        "id": "t1",
        "account": "other",
        "action": "videos/avatar/image2video",
        "label": "the cat",
        "meta": {"order": 7, "tags": ["a", None, True, 1.5]},
        "endpoints": ["chat", "chat"],
        "give_up_after": "2h",
    }
    assert task.keys() == set(TASK_KEYS)
    wish = make_reader(accounts=TWO).read(task)
    assert all(getattr(wish, field.name) is not None for field in fields(Wish))
    assert wish == Wish(
        account="other",
        task_id="t1",
        action="videos/avatar/image2video",
        label="the cat",
        meta={"order": 7, "tags": ["a", None, True, 1.5]},
        endpoints=("chat",),
        give_up_after_s=7200.0,
    )


def test_an_invalid_id_without_an_account_is_refused_for_its_id() -> None:
    assert "did the create call fail?" in problem_of("<html>502</html>", accounts=TWO)
    assert "account is missing" in problem_of("t1", accounts=TWO)

    def only_blanks(account: str, task_id: str) -> str | None:
        return None if account == "other" and " " in task_id else "no"

    assert "account is missing" in problem_of("a b", accounts=TWO, id_problem=only_blanks)


def test_null_means_that_a_key_is_not_set() -> None:
    assert make_reader().read({**dict.fromkeys(TASK_KEYS), "id": "t"}) == make_reader().read("t")


@pytest.mark.parametrize("value", [857000000000000001, {"id": 857000000000000001}, 0, 10**40])
def test_an_integer_is_an_id_by_its_decimal_text(value: Any) -> None:
    number = value["id"] if isinstance(value, dict) else value
    assert make_reader().read(value).task_id == str(number)


@pytest.mark.parametrize("task_id", ["../up", "a%2fb", "a?b", "a#b", "🎬", "12:30:00", "no", "a,b", "x" * 512])
def test_ids_are_opaque(task_id: str) -> None:
    assert make_reader().read(task_id).task_id == task_id


@pytest.mark.parametrize(
    "value",
    ["", "  ", ".", "..", "a\nb", "a\0b", "x" * 513, "x" * 10_000, "\ud800", 1.5, True, None, [], ["a"]],
)
def test_an_invalid_id_is_refused(value: Any) -> None:
    assert problem_of(value).startswith("id: ")
    assert problem_of({"id": value}).startswith("id: ")


@pytest.mark.parametrize("value", ["a b", "<html>", '"x"', "x,", "tasks.yaml", f"{BASE}videos/text2video/a%20b"])
def test_a_doubtful_id_is_refused_with_the_key_of_its_watch(value: str) -> None:
    with pytest.raises(DoubtfulId) as caught:
        make_reader().read(value)
    assert str(caught.value).startswith("id: ")
    assert caught.value.key.account == "kling"


def test_a_number_beyond_printing_is_refused() -> None:
    assert problem_of(10**5000) == "id: the number is too long"


def test_a_query_url_names_account_action_and_id() -> None:
    wish = make_reader(accounts=TWO).read(f"{BASE}images/generations/a%2Fb")
    assert (wish.account, wish.action, wish.task_id) == ("kling", "images/generations", "a/b")
    assert make_reader().read({"id": f"{BASE}images/generations/x", "label": "l"}).label == "l"


def test_a_url_that_is_nobodys_is_refused_with_a_hint() -> None:
    assert "only the id" in problem_of("https://elsewhere.example/x")
    assert "only the id" in problem_of("HTTP://elsewhere.example/x")


def test_a_malformed_url_is_refused_like_a_foreign_one() -> None:
    def locate(url: str, named: str | None) -> None:
        raise ValueError(url)

    assert "only the id" in problem_of("http://[", locate=locate)


def test_a_url_and_the_task_must_not_contradict_each_other() -> None:
    url = f"{BASE}images/generations/x"
    assert '"other"' in problem_of({"id": url, "account": "other"}, accounts=TWO)
    assert "videos/effects" in problem_of({"id": url, "action": "videos/effects"})
    assert make_reader().read({"id": url, "account": "kling", "action": "images/generations"}).task_id == "x"


def test_with_several_accounts_one_must_be_named() -> None:
    assert problem_of("t", accounts=TWO) == "account is missing; accounts: kling, other"
    assert "no accounts" in problem_of("t", accounts={})


def test_an_unknown_account_or_endpoint_comes_with_a_suggestion() -> None:
    assert 'did you mean "kling"?' in problem_of({"id": "t", "account": "klign"})
    assert 'did you mean "automation"?' in problem_of({"id": "t", "endpoints": ["automaton"]})
    assert "there are: automation, chat" in problem_of({"id": "t", "endpoints": ["zzz"]})


def test_a_task_without_any_action_is_refused() -> None:
    assert problem_of({"id": "t", "account": "other"}, accounts=TWO).startswith(
        "action: neither the task nor its account has an action"
    )


@pytest.mark.parametrize(
    "action", ["text2video", "Videos/x", "videos/../x", "/videos/x", "a/b/c/d", "videos/x y", "ä/b"]
)
def test_an_action_has_the_documented_form(action: str) -> None:
    assert problem_of({"id": "t", "action": action}).startswith("action: ")


@pytest.mark.parametrize(
    ("key", "hint"),
    [("lable", "label"), ("task_id", "id"), ("give_up_afer", "give_up_after"), ("zzz", "there are: account, action")],
)
def test_an_unknown_key_comes_with_a_suggestion(key: str, hint: str) -> None:
    assert hint in problem_of({"id": "t", key: "x"})


@pytest.mark.parametrize("key", ["webhook", "url", "callback_url", "notify_hook", "notifyHook", "webhook_url", "hooks"])
def test_an_address_inside_a_task_is_refused(key: str) -> None:
    assert "name an endpoint of the settings" in problem_of({"id": "t", key: "https://evil.example"})


def test_an_address_among_the_endpoints_is_refused() -> None:
    assert "an endpoint from the settings" in problem_of({"id": "t", "endpoints": ["https://evil.example/x"]})


@pytest.mark.parametrize("endpoints", [[], "chat", [1], {"chat": 1}, 5])
def test_endpoints_are_a_list_of_names(endpoints: Any) -> None:
    assert problem_of({"id": "t", "endpoints": endpoints}).startswith("endpoints: ")


@pytest.mark.parametrize("label", ["x" * 501, "a\nb", "a\u2028b", "\ud800", 5, ["x"]])
def test_a_label_is_one_line_of_text(label: Any) -> None:
    assert problem_of({"id": "t", "label": label}).startswith("label: ")


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "meta", ["x", [], 1, {"a": float("nan")}, {"a": float("inf")}, {"a": "\ud800"}, {"a": 2**70}, {1: 2}, deep(600)]
)
def test_meta_is_an_object_that_json_can_hold(meta: Any) -> None:
    assert problem_of({"id": "t", "meta": meta}).startswith("meta: ")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (2**70, "a number is out of range; put it in quotes"),
        (float("inf"), "a number is out of range; put it in quotes"),
        (deep(300), "it is nested too deeply"),
    ],
)
def test_the_reason_why_meta_cannot_be_sent_is_in_plain_words(value: Any, why: str) -> None:
    assert problem_of({"id": "t", "meta": {"a": value}}) == f"meta: cannot be sent as JSON: {why}"


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        ({"meta": "x"}, "meta: must be an object, not text"),
        ({"give_up_after": "x"}, 'give_up_after: "x" is not a duration'),
        ({"give_up_after": -1}, 'give_up_after: "-1" is negative'),
        ({"give_up_after": -0.5}, 'give_up_after: "-0.500000" is negative'),
    ],
)
def test_a_wrong_value_is_named_as_it_was_written(task: dict[str, Any], problem: str) -> None:
    assert problem_of({"id": "t", **task}).startswith(problem)


def test_meta_is_bounded() -> None:
    assert "at most 65536" in problem_of({"id": "t", "meta": {"a": "x" * 70_000}})


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("2h", 7200), ("90", 90), (90, 90), (1.5, 1.5)])
def test_give_up_after_is_a_duration(written: Any, seconds: float) -> None:
    assert make_reader().read({"id": "t", "give_up_after": written}).give_up_after_s == seconds


@pytest.mark.parametrize(
    "written", ["-1s", "0", 0, -5, "soon", True, [], float("nan"), float("inf"), 10**400, "999999d"]
)
def test_give_up_after_must_be_a_positive_duration(written: Any) -> None:
    assert problem_of({"id": "t", "give_up_after": written}).startswith("give_up_after: ")


@pytest.mark.parametrize("char", ["\n", "\t", "\u2028", "\ud800", "\ufeff"])
def test_a_problem_stays_one_line_whatever_is_quoted(char: str) -> None:
    assert problem_of({"id": "t1", "action": f"videos{char}x"}, action_problem=lambda *_: f'"videos{char}x" is bad')
