from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.ids import clean_task_id
from bridge.providers.catalogue import BUILT_IN, load_descriptions
from bridge.providers.task_requests import locate, task_request

KLING = BUILT_IN["kling"]
BASE = "https://api.example.com"


def _url(task_id: str, *, base_url: str = BASE, action: str | None = "videos/text2video") -> str:
    return task_request(KLING, base_url=base_url, task_id=task_id, action=action).url


@pytest.mark.parametrize(
    ("task_id", "sent"),
    [
        ("CjMT7Wd+/=", "CjMT7Wd%2B%2F%3D"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("a?b#c", "a%3Fb%23c"),
        ("%2f", "%252f"),
        ("号 1", "%E5%8F%B7%201"),
        ("{id}{action}", "%7Bid%7D%7Baction%7D"),
    ],
)
def test_an_id_is_sent_percent_encoded_whole(task_id: str, sent: str) -> None:
    assert _url(task_id) == f"{BASE}/kling/v1/videos/text2video/{sent}"


def test_an_action_keeps_its_slashes() -> None:
    assert _url("1", action="videos/avatar/image2video") == f"{BASE}/kling/v1/videos/avatar/image2video/1"


@pytest.mark.parametrize("action", [None, "", "videos", "videos/../x", "a/b/c/d", "videos/%2e", "videos/x?y", "A/b"])
def test_an_action_that_cannot_be_one_is_refused(action: str | None) -> None:
    assert KLING.task_rules.action_problem(action)
    with pytest.raises(ValueError, match="action"):
        _url("1", action=action)


@pytest.mark.parametrize(
    "name", [name for name, description in load_descriptions({}).items() if description.action is not None]
)
def test_every_provider_with_actions_compares_the_whole_action(name: str) -> None:
    description = load_descriptions({})[name]
    assert description.action is not None
    example = description.action.example
    assert description.task_rules.action_problem(example) is None
    for wrong in (f"{example}?", f"?{example}"):
        assert "is not a valid action" in (description.task_rules.action_problem(wrong) or ""), wrong


def test_a_stored_task_with_a_wrong_action_of_batches_is_polled() -> None:
    suno = load_descriptions({})["suno"]

    assert "is not a valid action" in (suno.task_rules.action_problem("music2") or "")
    assert task_request(suno, base_url=BASE, task_id="1", action="music2").url == f"{BASE}/suno/fetch/1"


def test_the_vendors_own_hosts_answer_without_the_aggregators_prefix() -> None:
    base = "https://api-singapore.klingai.com/"

    assert _url("1", base_url=base) == "https://api-singapore.klingai.com/v1/videos/text2video/1"
    assert locate(KLING, base, _url("1", base_url=base)) == ("1", "videos/text2video")


def test_a_form_without_actions_needs_none() -> None:
    plain = load_descriptions({"plain": {"extends": "kling", "ask": {"path": "/tasks/{id}"}, "action": None}})["plain"]

    assert plain.task_rules.action_problem(None) is None
    assert task_request(plain, base_url=BASE, task_id="a/b", action=None).url == f"{BASE}/tasks/a%2Fb"
    assert locate(plain, BASE, f"{BASE}/tasks/a%2Fb") == ("a/b", None)


def test_a_base_url_may_have_a_path_of_its_own() -> None:
    assert _url("1", base_url=f"{BASE}/gw/") == f"{BASE}/gw/kling/v1/videos/text2video/1"


@given(task_id=st.text(min_size=1, max_size=60), action=st.sampled_from(["videos/text2video", "videos/a/b-c", "i/g"]))
def test_a_query_url_is_located_as_what_it_was_made_of(task_id: str, action: str) -> None:
    try:
        task_id = clean_task_id(task_id)
    except ValueError:
        return

    url = _url(task_id, action=action)

    assert url.isascii()
    assert urlsplit(url).path.count("/") == 3 + action.count("/") + 1
    assert locate(KLING, BASE, url) == (task_id, action)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("HTTPS://API.example.com:443/kling/v1/images/generations/a%2Fb/?x=1", ("a/b", "images/generations")),
        ("http://api.example.com/kling/v1/images/generations/a", None),
        ("https://api.example.com.evil/kling/v1/images/generations/a", None),
        ("https://api.example.com:8443/kling/v1/images/generations/a", None),
        ("https://api.example.com/kling/v1/images/a", None),
        ("https://api.example.com/suno/fetch/a", None),
        ("https://api.example.com:x/kling/v1/images/generations/a", None),
        ("https://[", None),
        ("just-an-id", None),
    ],
)
def test_only_query_urls_of_this_account_are_located(url: str, found: tuple[str, str] | None) -> None:
    assert locate(KLING, BASE, url) == found
