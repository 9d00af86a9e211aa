"""Requests in a description: placeholders, ways to send a key, actions derived from ids."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.providers.auth import shown
from bridge.providers.catalogue import DescriptionsRefused, load_descriptions
from bridge.providers.description import Description
from bridge.providers.new_tasks import created
from bridge.providers.task_requests import call_request, locate, task_request

BASE = "https://api.example.com"
FORM = {"task": "@", "id": "id", "status": "s", "words": {"running": ["r"]}, "results": [{"url": "u"}]}
Tree = dict[str, Any]


def described(ask: Tree, **keys: Any) -> Description:
    tree = {"title": "T", "ask": ask, "forms": {"f": FORM}, **keys}
    return load_descriptions({"own": tree})["own"]


ACTION = {"pattern": r"(?P<app>[a-z]+/[a-z]+)(/[a-z]+)?", "example": "a/b/c"}


def test_placeholders_in_every_part_of_a_request_are_filled() -> None:
    own = described(
        {
            "method": "POST",
            "path": "/{app}/jobs/{id}",
            "query": {"of-{id}": "{action}", "x": "1"},
            "body": {"{id}": ["{action}", {"n": "{id}!"}], "query": "{ task { id } }"},
            "headers": {"X-Task": "{id};{app}", "X-Plain": "p"},
        },
        action=ACTION,
    )

    asked = task_request(own, base_url=BASE, task_id="ü 1", action="a/b/c")

    assert asked.url == f"{BASE}/a/b/jobs/%C3%BC%201?of-%C3%BC%201=a/b/c&x=1"
    assert orjson.loads(asked.body or b"") == {"ü 1": ["a/b/c", {"n": "ü 1!"}], "query": "{ task { id } }"}
    assert asked.headers == {"X-Task": "%C3%BC 1;a/b"}


def test_an_id_that_looks_like_a_placeholder_is_sent_unchanged() -> None:
    own = described({"path": "/jobs/{id}", "body": {"id": "{id}", "a": "{action}"}}, action=ACTION)

    asked = task_request(own, base_url=BASE, task_id="{action}", action="a/b")

    assert asked.url == f"{BASE}/jobs/%7Baction%7D"
    assert orjson.loads(asked.body or b"") == {"id": "{action}", "a": "a/b"}


def test_placeholders_in_batch_and_second_requests_are_filled() -> None:
    own = described(
        {
            "path": "/jobs/{id}",
            "headers": {"X-Action": "{action}", "X-Id": "{id}"},
            "batch": {
                "method": "POST",
                "path": "/{app}/list",
                "query": {"n": "{ids}"},
                "body": {"ids": "{ids}", "text": "of {ids}", "a": "{action}"},
                "headers": {"X-Id": "{ids}"},
            },
            "second": {
                "path": "/{app}/files/{value}",
                "query": {"task": "{id}", "a": "{action}"},
                "headers": {"X-File": "{value}"},
            },
        },
        forms={"f": {**FORM, "second_value": "file"}},
        action=ACTION,
    )

    assert own.ask.batch is not None
    assert own.ask.second is not None
    many = call_request(own, own.ask.batch, base_url=BASE, action="a/b/c", given={"ids": ["1/2", "3"]})
    second = call_request(own, own.ask.second, base_url=BASE, action="a/b/c", given={"value": "f/1", "id": "1/2"})

    assert many.url == f"{BASE}/a/b/list?n=1%2F2,3"
    assert orjson.loads(many.body or b"") == {"ids": ["1/2", "3"], "text": "of 1/2,3", "a": "a/b/c"}
    assert many.headers == {"X-Action": "a/b/c", "X-Id": "1/2,3"}
    assert second.url == f"{BASE}/a/b/files/f%2F1?task=1%2F2&a=a/b/c"
    assert second.headers == {"X-Action": "a/b/c", "X-Id": "1/2", "X-File": "f/1"}


@pytest.mark.parametrize(
    ("change", "path", "place"),
    [
        ({"path": "/{id}/{task_id}"}, ("ask", "path"), "{task_id}"),
        ({"path": "/{id}", "query": {"a": "{value}"}}, ("ask", "query"), "{value}"),
        ({"path": "/{id}", "body": {"a": [{"b": "{ids}"}]}}, ("ask", "body"), "{ids}"),
        ({"path": "/{id}", "body": {"{nobody}": 1}}, ("ask", "body"), "{nobody}"),
        ({"path": "/{id}", "headers": {"X": "{key}"}}, ("ask", "headers"), "{key}"),
        ({"path": "/{id}", "batch": {"path": "/l/{ids}/{id}"}}, ("ask", "batch", "path"), "{id}"),
        ({"path": "/{id}", "second": {"path": "/l/{value}/{ids}"}}, ("ask", "second", "path"), "{ids}"),
        ({"path": "/{id}", "second": {"path": "/l/{value}", "query": {"a": "{x}"}}}, ("ask", "second", "query"), "{x}"),
    ],
)
def test_a_placeholder_without_a_source_is_refused(change: Tree, path: tuple[str, ...], place: str) -> None:
    with pytest.raises(DescriptionsRefused) as refused:
        described(change)

    (problem,) = refused.value.found
    assert problem.path == ("own", *path)
    assert f"{place} is not available here; you can use " in problem.message


def test_a_placeholder_without_a_source_is_refused_in_a_body_too() -> None:
    form = {**FORM, "results": [{"content": {"videos": "/v/{file}"}}]}
    with pytest.raises(DescriptionsRefused, match=r"\{file\} is not available here"):
        described({"path": "/{id}"}, forms={"f": form})


def test_a_header_with_the_id_needs_another_one_in_the_batch() -> None:
    with pytest.raises(
        DescriptionsRefused, match=r"the header X contains \{id\}: write its value for many tasks under batch"
    ):
        described({"path": "/{id}", "headers": {"X": "{id}"}, "batch": {"path": "/l/{ids}"}})


@pytest.mark.parametrize(
    ("auth", "headers", "parameter"),
    [
        ({"header": "Authorization", "prefix": "Key "}, {"Authorization": "Key k"}, None),
        ({"header": "X-Key"}, {"X-Key": "k"}, None),
        ({"query": "api_key"}, {}, ("api_key", "k")),
        ("header X-Key", {"X-Key": "k"}, None),
        ("none", {}, None),
    ],
)
def test_a_key_is_shown_where_the_description_says(auth: Any, headers: Tree, parameter: Any) -> None:
    assert shown(described({"path": "/{id}", "auth": auth}).ask.auth, "k") == (headers, parameter)


@pytest.mark.parametrize(
    "auth", [{}, {"header": "A", "query": "b"}, {"header": "A\nB"}, {"header": "A", "prefix": "\n"}, "key"]
)
def test_a_key_that_can_be_shown_nowhere_is_refused(auth: Any) -> None:
    with pytest.raises(DescriptionsRefused):
        described({"path": "/{id}", "auth": auth})


def test_a_mistake_in_one_way_to_write_a_setting_is_reported_once() -> None:
    form = {**FORM, "results": [{"content": {"videos": {"each": "a[]", "path": "v/{x}"}}}]}
    with pytest.raises(DescriptionsRefused) as refused:
        described({"path": "/{id}", "auth": {"header": "A", "prefx": "Key "}}, forms={"f": form})

    assert [(each.path[1:], each.message.partition(" (")[0]) for each in refused.value.found] == [
        (("ask", "auth", "prefx"), 'unknown key "prefx"; did you mean "prefix"?'),
        (("forms", "f", "results", 0, "content", "videos", "path"), "a path begins with /"),
    ]


def test_another_way_to_show_the_key_replaces_the_inherited_one() -> None:
    ask = {"path": "/{id}", "auth": {"header": "Authorization", "prefix": "Key "}}
    parent = {
        "title": "T",
        "ask": ask,
        "direct": {"hosts": ["h.example.com"], "auth": {"query": "k"}},
        "forms": {"f": FORM},
    }
    known = load_descriptions({"own": parent, "child": {"extends": "own", "ask": {"auth": {"query": "key"}}}})

    assert shown(known["own"].route("https://h.example.com").auth, "k") == ({}, ("k", "k"))
    assert shown(known["child"].ask.auth, "k") == ({}, ("key", "k"))


VERTEX = {
    "ask": {"method": "POST", "path": "/v1/{action}:fetchPredictOperation", "body": {"operationName": "{id}"}},
    "action": {
        "pattern": "projects/[^/]+/locations/[^/]+/publishers/google/models/[^/]+",
        "example": "projects/p/locations/us-central1/publishers/google/models/veo-3.0",
        "by_id": {"(?P<model>projects/.+/models/[^/]+)/operations/.+": "{model}"},
    },
}


def test_the_action_can_follow_from_the_id() -> None:
    own = described(VERTEX["ask"], action=VERTEX["action"])
    model = "projects/p/locations/l/publishers/google/models/veo-3.0"

    asked = task_request(own, base_url=BASE, task_id=f"{model}/operations/7", action=None)

    assert (asked.method, asked.url) == ("POST", f"{BASE}/v1/{model}:fetchPredictOperation")
    assert orjson.loads(asked.body or b"") == {"operationName": f"{model}/operations/7"}
    assert own.task_rules.action_problem(None) is None
    with pytest.raises(ValueError, match="neither the task nor its account has an action"):
        task_request(own, base_url=BASE, task_id="7", action=None)


def test_an_own_action_takes_precedence_over_the_one_in_the_id() -> None:
    action = {"pattern": "a|b", "example": "a", "default": "a", "by_id": {"b-.+": "b"}}
    own = described({"path": "/{action}/{id}"}, action=action)

    urls = [
        task_request(own, base_url="", task_id=task_id, action=given).url
        for task_id, given in [("1", None), ("b-1", None), ("b-1", "a")]
    ]

    assert urls == ["/a/1", "/b/b-1", "/a/b-1"]


def test_by_id_names_only_groups_it_has() -> None:
    with pytest.raises(DescriptionsRefused, match="is not a group"):
        described({"path": "/{action}/{id}"}, action={"pattern": ".+", "example": "a", "by_id": {"b-.+": "{model}"}})


def test_an_address_names_the_part_of_the_action_that_it_holds() -> None:
    own = described(
        {"path": ["/{app}/jobs/{id}/status", "/{app}/jobs/{id}"]}, action=ACTION, created={"when": "u", "url": "u"}
    )

    assert locate(own, BASE, f"{BASE}/a/b/jobs/7/status") == ("7", "a/b")
    assert locate(own, BASE, f"{BASE}/a/b/jobs/7") == ("7", "a/b")
    assert locate(own, BASE, f"{BASE}/a/jobs/7") is None
    assert created(own, {"u": "https://queue.example.net/a/b/jobs/7/status"}) == ("7", "a/b")
