from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.task import ReadingKind
from bridge.providers import catalogue
from bridge.providers.catalogue import BUILT_IN, DescriptionsRefused, effective, load_descriptions
from bridge.providers.reading import read
from bridge.providers.results import PollContext
from bridge.providers.selector import Selector
from tests.providers.reading_of import answered

Tree = dict[str, Any]
ALL = sorted(file.stem for file in Path(catalogue.__file__).with_name("builtin").glob("*.yaml"))
OWN: Tree = {
    "title": "A studio",
    "ask": {"path": "/jobs/{id}"},
    "forms": {
        "job": {"task": "job", "id": "id", "status": "state", "words": {"running": ["busy"]}, "results": [{"url": "u"}]}
    },
}
FORM: Tree = {"task": "Resp", "status": "s", "words": {"succeeded": [1]}, "results": [{"videos": "u"}]}


def _problems(tree: Tree) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(DescriptionsRefused) as refused:
        load_descriptions(tree)
    return [(each.path, each.message) for each in refused.value.found]


def test_every_built_in_is_named_as_its_file() -> None:
    assert list(BUILT_IN) == ALL
    assert all(name == description.name for name, description in BUILT_IN.items())


def test_the_printed_definition_of_a_built_in_can_be_used_unchanged(subtests: pytest.Subtests) -> None:
    for name in ALL:
        with subtests.test(name):
            shown = effective(BUILT_IN[name])

            again = load_descriptions({"copy": deepcopy(shown)})["copy"]

            assert effective(again) == shown
            assert "extends" not in shown


def test_a_variant_needs_only_what_differs() -> None:
    mine = {"extends": "suno", "ask": {"path": "/suno2/fetch/{id}", "batch": None}}
    loaded = load_descriptions({"mine": mine, "mine_too": {"extends": "mine", "title": "Mine too"}})

    assert list(loaded["mine"].forms) == list(BUILT_IN["suno"].forms)
    assert loaded["mine_too"].ask.path == ("/suno2/fetch/{id}",)
    assert loaded["mine_too"].ask.batch is None
    assert loaded["mine_too"].title == "Mine too"
    assert set(loaded) == {*ALL, "mine", "mine_too"}


def test_a_built_in_may_be_changed_under_its_own_name() -> None:
    loaded = load_descriptions({"suno": {"extends": "suno", "title": "Ours"}})

    assert loaded["suno"].title == "Ours"
    assert BUILT_IN["suno"].title != "Ours"


def test_own_forms_are_tried_before_inherited_ones() -> None:
    loaded = load_descriptions({"mine": {"extends": "newapi", "forms": OWN["forms"]}})

    assert list(loaded["mine"].forms) == ["job", "newapi", "plain"]


@pytest.mark.parametrize(
    ("spoil", "path", "complaint"),
    [
        (lambda tree: tree.update(form={}), ("form",), 'unknown key "form"; did you mean "forms"?'),
        (lambda tree: tree.update(name="x"), ("name",), 'unknown key "name"'),
        (lambda tree: tree["ask"].update(pth="/x"), ("ask", "pth"), 'unknown key "pth"; did you mean "path"?'),
        (
            lambda tree: tree["forms"]["job"].update(progres="p"),
            ("forms", "job", "progres"),
            'unknown key "progres"; did you mean "progress"?',
        ),
        (lambda tree: tree["forms"]["job"]["results"].append({"vidoes": "u"}), ("forms", "job", "results", 1), "vid"),
        (lambda tree: tree["ask"].update(path="jobs/{id}"), ("ask", "path"), "a path begins with /"),
        (lambda tree: tree["ask"].update(path="/jobs/"), ("ask",), "needs {id}"),
        (
            lambda tree: tree["ask"].update(path="/{id}/{other}"),
            ("ask", "path"),
            "{other} is not available here; you can use {+id}, {action}, {id}",
        ),
        (lambda tree: tree["ask"].update(auth="basic"), ("ask", "auth"), "auth is bearer, token, signed, "),
        (lambda tree: tree["ask"].update(batch={"path": "/jobs"}), ("ask", "batch"), "a batch needs {ids}"),
        (
            lambda tree: tree.update(action={"pattern": "(", "example": "x"}),
            ("action", "pattern"),
            "not a regular expression",
        ),
        (
            lambda tree: tree["forms"]["job"].update(status="a..b"),
            ("forms", "job", "status"),
            "is not a JMESPath expression",
        ),
        (
            lambda tree: tree["forms"]["job"].update(status="starts_with(state)"),
            ("forms", "job", "status"),
            "starts_with() takes 2 arguments, not 1",
        ),
        (
            lambda tree: tree["forms"]["job"].update(status=5),
            ("forms", "job", "status"),
            "a JMESPath expression is text",
        ),
        (
            lambda tree: tree["forms"]["job"]["words"].update(failed=[False]),
            ("forms", "job", "words", "failed", 0),
            "must be a word or a whole number",
        ),
        (lambda tree: tree.update(forms=[tree["forms"]["job"]]), ("forms",), "must be a mapping of keys"),
        (
            lambda tree: tree["forms"]["job"]["words"].update(succeded=["x"]),
            ("forms", "job", "words", "succeded"),
            'unknown key "succeded"; did you mean "succeeded"?',
        ),
        (
            lambda tree: tree["forms"]["job"]["words"].update(failed=["Busy "]),
            ("forms", "job"),
            'the status word "Busy " is there twice',
        ),
        (
            lambda tree: tree["forms"]["job"]["words"].update(transient=["x"]),
            ("forms", "job", "words", "transient"),
            'unknown key "transient"; there are: canceled, expired_result, failed, needs_input, not_found, pending, ',
        ),
        (lambda tree: tree.update(times={"zone": "Asia/Peking"}), ("times", "zone"), 'unknown time zone "Asia/Peking"'),
        (
            lambda tree: tree["forms"]["job"].update(progress_as="percentage"),
            ("forms", "job", "progress_as"),
            'unknown progress_as "percentage"; did you mean "percent"?',
        ),
        (
            lambda tree: tree["forms"]["job"].update(results=[{"at_least": 2}]),
            ("forms", "job", "results", 0),
            "say where the results are",
        ),
        (lambda tree: tree.update(result_life={"lasts": "soon"}), ("result_life", "lasts"), "soon"),
        (lambda tree: tree.pop("title"), ("title",), "is missing"),
        (lambda tree: tree.update(extends="sumo"), ("extends",), 'unknown provider "sumo"; did you mean "suno"?'),
        (lambda tree: tree.update(extends="mine"), ("extends",), "extends itself: mine extends mine"),
    ],
)
def test_a_mistake_is_reported_at_its_place(
    spoil: Callable[[Tree], object], path: tuple[Any, ...], complaint: str
) -> None:
    tree = deepcopy(OWN)
    spoil(tree)

    found = _problems({"mine": tree})

    assert any(complaint in message for _, message in found), found
    assert ("mine", *path) in [each[: len(path) + 1] for each, _ in found]


@pytest.mark.parametrize("place", [(), ("ask",), ("forms", "job")])
def test_a_misspelled_key_is_one_mistake_although_the_right_one_is_missing(place: tuple[str, ...]) -> None:
    tree: Tree = deepcopy(OWN)
    inner = tree
    for step in place:
        inner = inner[step]
    right = {"": "title", "ask": "path", "job": "status"}[place[-1] if place else ""]
    inner[f"{right}e"] = inner.pop(right)

    assert _problems({"mine": tree}) == [
        (("mine", *place, f"{right}e"), f'unknown key "{right}e"; did you mean "{right}"?')
    ]


def test_all_mistakes_of_all_descriptions_are_reported_together() -> None:
    first: Tree = deepcopy(OWN)
    second: Tree = deepcopy(OWN)
    first["ask"]["path"] = "jobs"
    first["colour"] = "red"
    second["forms"]["job"]["id"] = "["

    paths = {path for path, _ in _problems({"a": first, "b": second, "c": 3, "d": deepcopy(OWN)})}

    assert paths == {("a", "ask", "path"), ("a", "colour"), ("b", "forms", "job", "id"), ("c",)}


def test_extends_that_form_a_cycle_are_reported() -> None:
    trees = {"a": {"extends": "b"}, "b": {"extends": "c"}, "c": {"extends": "b"}}

    assert {path for path, _ in _problems(trees)} == {("a", "extends"), ("b", "extends"), ("c", "extends")}


@pytest.mark.parametrize(
    "tree", [[], 3, None, {"ask": 3}, {"forms": []}, {"extends": []}, {"extends": {"a": 1}}, {1: 2}]
)
def test_any_invalid_tree_is_refused_with_a_clear_error(tree: Any) -> None:
    assert _problems({"mine": tree})


def test_an_expression_that_does_not_fit_the_value_selects_nothing() -> None:
    assert Selector("starts_with(a, 'x')")({"a": 5}) is None
    assert Selector("starts_with(a, 'x')")([]) is None


@pytest.mark.parametrize("expression", ["@", "a", "a.b", "a.b.c", "items[0].id", "a.b || c"])
@pytest.mark.parametrize(
    "value", [None, 3, "a", [], {"a": {"b": {"c": 1}}}, {"a": [1]}, {"items": [{"id": 2}], "c": 0}]
)
def test_the_short_way_selects_what_jmespath_selects(expression: str, value: object) -> None:
    assert Selector(expression)(value) == Selector(f"({expression})")(value)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("forms.video.task", "nosuch(Resp)", "there is no function nosuch()"),
        ("forms.video.task", "a || [b, not_null(c, odd(@))]", "there is no function odd()"),
        ("codes.means", {"not_found": [0]}, "the code 0 is in both good and means"),
        ("codes.means", {"not_found": [4], "failed": ["4"]}, "the code 4 has two meanings; list it once"),
        ("forms.video.words", {}, "words is empty, so no status would be known"),
        ("forms.video.result_urls", {"url": "video"}, 'unknown url "video"; did you mean "videos"?'),
        ("forms.video.results", [{"content": {"movies": "/v"}}], 'unknown key "movies"; did you mean "videos"?'),
        ("times", {"zone": 8}, 'unknown time zone "8"; write e.g. Asia/Shanghai'),
        ("ask.path", "/v/${id}", "such as {id}, without $"),
        ("ask.path", "/v/{id} x", 'a path cannot contain " "; write %20'),
        ("ask.path", "/v/{id}#x", 'a path cannot contain "#"; write %23'),
        ("direct", {"hosts": ["https://a.example.com"]}, "is not a host name; write for example "),
        ("direct", {"hosts": []}, "is empty; name at least one"),
        ("key_pair", {"sign": "jwt", "region": "x"}, "jwt has the keys early and expired"),
        ("key_pair", {"sign": "volcengine", "region": "x", "service": "y", "expired": [1]}, "jwt has the keys early"),
        ("ask.path", "/{action}/{id}", "describe it under action"),
        ("ask.path", "/v", 'in its path, query, body or headers (there in quotes: "{id}")'),
        ("ask.body", '{"id": "{id}"}', "a body is written as YAML, "),
        ("ask.second", {"path": "/f/{value}"}, "say where it is under second_value of a form"),
        ("forms", FORM, "a form needs a name: write its keys below forms: {NAME: ...}"),
        ("retry_after", 5, "a JMESPath expression is text"),
        ("ask.headers", {"A B": "c"}, '"A B" is not a valid header name'),
        ("ask.headers", {"A": "b\nc"}, "one line of printable characters"),
        ("action", {"pattern": "a|b", "example": "c"}, '"c" does not fit the pattern'),
        ("action", {"pattern": "a|b", "example": "a", "default": "z"}, '"z" does not fit the pattern'),
        ("action", {"pattern": "a|b", "example": "a", "by_id": {"x": "z"}}, 'by_id: "z" does not fit the pattern'),
    ],
)
def test_a_description_that_could_never_work_is_refused(place: str, value: object, said: str) -> None:
    tree: dict[str, Any] = {
        "title": "X",
        "ask": {"path": "/v/{id}"},
        "codes": {"at": "code", "good": [0]},
        "forms": {"video": FORM},
    }
    tree = deepcopy(tree)
    inner, *steps = tree, *place.split(".")
    for step in steps[:-1]:
        inner = inner[step]
    inner[steps[-1]] = value
    ((_, message),) = _problems({"mine": tree})
    assert said in message


def test_a_vendor_without_id_and_envelope_can_be_described() -> None:
    form = {"task": "@", "status": "state", "words": {"succeeded": ["done"]}, "results": [{"videos": "url"}]}
    loaded = load_descriptions({"mine": {**OWN, "forms": {"job": form}}})["mine"]
    asked = PollContext(task_id="1", action=None, base_url="https://api.example.com")

    told = read(loaded, answered(b'{"state": "done", "url": "https://cdn.example.com/a.mp4"}'), asked)
    error = read(loaded, answered(b'{"state": "error", "error": "busy"}'), asked)

    assert (told.kind, error.kind) == (ReadingKind.SUCCEEDED, ReadingKind.AMBIGUOUS)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("method", "PUT", 'unknown method "PUT"; there are: GET, POST'),
        ("quary", {}, 'unknown key "quary"; did you mean "query"?'),
        ("batch", {"path": "/x", "body": {"ids": "all"}}, "a batch needs {ids} in its path, query, body or headers"),
    ],
)
def test_direct_does_not_repeat_a_mistake_that_it_inherits(key: str, value: Any, message: str) -> None:
    own = OWN | {"ask": OWN["ask"] | {key: value}, "direct": {"hosts": ["a.example.com"], "path": "/v2/{id}"}}
    assert _problems({"own": own}) == [(("own", "ask", key), message)]


def test_direct_reports_its_own_mistakes() -> None:
    own = OWN | {"ask": OWN["ask"] | {"method": "PUT"}, "direct": {"hosts": ["a.example.com"], "method": "put"}}
    assert [path for path, _ in _problems({"own": own})] == [("own", "ask", "method"), ("own", "direct", "method")]


@pytest.mark.parametrize("keep", [[{}], [["model"]], [5]])
def test_kept_fields_that_are_no_texts_are_one_mistake(keep: Any) -> None:
    form = OWN["forms"]["job"] | {"keep": keep}
    (found,) = _problems({"own": OWN | {"forms": {"job": form}}})
    assert found == (("own", "forms", "job", "keep"), "must be a list of keys, or a mapping")


def test_an_unknown_key_and_its_value_are_one_mistake() -> None:
    form = OWN["forms"]["job"] | {"words": {"busy": 5}, "keep": ["a b"], "result_urls": [{}]}
    paths = [path[3:] for path, _ in _problems({"own": OWN | {"forms": {"job": form}}})]
    assert paths == [("words", "busy"), ("result_urls",), ("keep",)]


@pytest.mark.parametrize(
    ("action", "at"),
    [
        ({"pattern": "(?P<kind[a-z]+)", "example": "video"}, "pattern"),
        ({"patern": "(?P<kind>[a-z]+)", "example": "video"}, "patern"),
    ],
)
def test_a_mistake_in_the_action_pattern_is_no_mistake_of_its_placeholders(action: Mapping[str, str], at: str) -> None:
    own = OWN | {"action": action, "ask": OWN["ask"] | {"path": "/{kind}/{id}"}}
    assert [path for path, _ in _problems({"own": own})] == [("own", "action", at)]


def test_a_group_of_the_action_pattern_may_have_the_short_form() -> None:
    own = OWN | {
        "action": {"pattern": "(?<kind>[a-z]+)", "example": "video"},
        "ask": OWN["ask"] | {"path": "/{kind}/{id}"},
    }
    rules = load_descriptions({"own": own})["own"].action
    assert rules is not None
    assert rules.parts("video") == {"kind": "video"}
