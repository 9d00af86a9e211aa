"""The view of deliveries: what waits and why, each attempt, and nothing that must stay secret."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.http.page.browsing import Browser, forms, heading, question
from tests.http.site import READ_TOKEN, Site, running_site
from tests.world import HOOK_KEY, KEY, until

HOSTILE = '<script>alert("x")</script>\u202egpj.exe </pre><b>'
ENDPOINTS = ("good", "dead", "gone", "slow")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with two finished tasks. Of its endpoints, one accepted them, one failed, one is disabled, and one does
    not answer."""
    folder = tmp_path_factory.mktemp("deliveries")
    with running_site(folder, delivery={"retries": ["0.1s"] * 8}, webhooks=ENDPOINTS) as running:
        fill(running)
        yield running
        running.world.stuck["/slow"].set()


def fill(site: Site) -> None:
    site.world.stuck = {"/slow": threading.Event()}
    site.world.hooks = {
        "/dead": (500, HOSTILE.encode(), {}),
        "/gone": (410, b"gone for good", {}),
    }
    tasks = [{"id": "first-id", "label": f"First {HOSTILE}"}, {"id": "second/id", "label": "Second"}]
    for task in tasks:
        site.world.ends_at[str(task["id"])] = time.monotonic()
        assert site.client.post("/api/v1/tasks", json=[task]).status_code == 201

    def states() -> list[str]:
        found = site.client.get("/api/v1/deliveries").json()["deliveries"]
        return sorted(one["state"] for one in found if one["id"])

    until(lambda: states() == ["accepted"] * 2 + ["dead"] * 2 + ["waiting"] * 4, seconds=20, what="settled deliveries")


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    with closing(Browser(site)) as opened:
        yield opened


def rows(page: str) -> list[tuple[str, str]]:
    """The endpoint and the state of each row."""
    found = re.findall(r'<tr data-delivery="\S+ (\S+) ">.*?</svg>(.*?)</a>', page, re.DOTALL)
    return [(endpoint, state) for endpoint, state in found]


def tabs(page: str) -> dict[str, str]:
    found = re.findall(r'<a href="/deliveries[^"]*"[^>]*>([^<]+?)(?: <span>([^<]*)</span>)?</a>', page)
    return {label: number for label, number in found if number}


def test_unaccepted_deliveries_come_first_in_order_of_severity(browser: Browser) -> None:
    page = browser.get("/deliveries?topic=task_succeeded").text
    assert heading(page) == "2 dead, 2 waiting, 2 for a disabled or paused endpoint"
    states = [state for _, state in rows(page)]
    assert states == ["Dead"] * 2 + ["Waiting"] * 4
    assert tabs(page) == {
        "Not accepted yet": "6",
        "Dead": "2",
        "Disabled or paused": "2",
        "Waiting": "2",
        "Accepted": "2",
    }
    assert "<strong>2 deliveries are dead</strong>" in page
    assert "gone is disabled: HTTP 410 Gone: gone for good" in page
    assert "when enabled" in page


@pytest.mark.parametrize(
    ("query", "endpoints"),
    [
        ("state=dead", {"dead"}),
        ("state=off", {"gone"}),
        ("state=waiting", {"slow"}),
        ("state=accepted&topic=task_succeeded", {"good"}),
        ("state=all&topic=task_succeeded", {"good", "dead", "gone", "slow"}),
        ("endpoint=gone", {"gone"}),
        ("q=first-i", {"dead", "gone", "slow"}),
        ("since=1h&state=dead", {"dead"}),
        ("since=0s&state=dead", set()),
        ("endpoint=nowhere", set()),
        ("q=%25", set()),
        ("topic=task_failed", set()),
        ("state=canceled", set()),
    ],
)
def test_filters_show_only_what_matches(browser: Browser, query: str, endpoints: set[str]) -> None:
    page = browser.get(f"/deliveries?{query}").text
    assert {endpoint for endpoint, _ in rows(page)} == endpoints
    assert ('class="empty"' in page) is (not endpoints)


@pytest.mark.parametrize("query", ["state=given_up", "topic=x", "after=x", "after=sdead_1_2_3", "since=tomorrow"])
def test_a_wrong_filter_shows_an_error(browser: Browser, query: str) -> None:
    answer = browser.get(f"/deliveries?{query}")
    assert answer.status_code == 422
    name = query.partition("=")[0]
    assert ("not a cursor of this list" if name == "after" else f"{name}: ") in answer.text
    assert "cursor:" not in answer.text


def test_an_open_row_shows_attempts_and_the_escaped_body(browser: Browser) -> None:
    page = browser.get("/deliveries?state=dead&q=first-i").text
    [toggle] = re.findall(r'<a class="st bad" href="([^"]+)" data-open aria-expanded="false"', page)
    opened = browser.get(toggle.replace("&amp;", "&")).text
    assert opened.count("<span>attempt ") == 9
    assert "9 of 9" in opened
    assert opened.count('class="bad" aria-hidden="true"><use href="#d-no"/>') == 6
    assert "HTTP 500" in opened
    assert "webhook-id: evt_" in opened
    assert "&#34;task_id&#34;: &#34;first-id&#34;" in opened
    assert "\\u202e" in opened
    for text in ("<script>alert", "</pre><b>", "\u202egpj.exe </pre>"):
        assert text not in opened
    [close] = re.findall(r'<a class="st bad" href="([^"]+)" data-open aria-expanded="true"', opened)
    assert "open=" not in close


def test_an_open_row_is_shown_even_after_it_left_the_list(browser: Browser) -> None:
    page = browser.get("/deliveries?state=dead&q=first-i").text
    event = re.findall(r'data-delivery="(\S+) dead ', page)[0]
    elsewhere = browser.get(f"/deliveries?state=off&open={event},dead").text
    assert rows(elsewhere)[0] == ("dead", "Dead")
    assert "webhook-id:" in elsewhere
    for wrong in ("open=x", "open=,", f"open={event},nowhere", f"open={event},dead,target"):
        assert "webhook-id:" not in browser.get(f"/deliveries?{wrong}").text


def test_no_key_and_no_address_is_shown(site: Site, browser: Browser) -> None:
    page = browser.get("/deliveries?state=all").text
    events = set(re.findall(r'data-delivery="(\S+ \S+) ', page))
    pages = [browser.get("/deliveries", state="all", open=event.replace(" ", ",")).text for event in events]
    assert len(pages) >= 8
    for text in (*pages, page):
        for secret in (KEY, HOOK_KEY, "Bearer", f":{site.world.receiver_port}/", "authorization"):
            assert secret not in text


def test_a_row_has_the_buttons_for_its_state(site: Site, browser: Browser) -> None:
    page = browser.get("/deliveries?q=second").text
    assert [form["delivery"].split(",")[2] for form in forms(page, "redeliver")] == ["dead"]
    assert [form["delivery"].split(",")[2] for form in forms(page, "send")] == ["slow"]
    assert [form["endpoint"] for form in forms(page, "enable")] == ["gone"]
    bulk = question(page)
    assert bulk is not None
    assert bulk == "/redeliver?state=dead&q=second&back=%2Fdeliveries%3Fq%3Dsecond"
    for asked in (browser.get(bulk), browser.get(bulk)):  # going back or reloading asks again
        assert heading(asked.text) == "Redeliver 1 to dead?"
    assert browser.get("/redeliver?q=nothing-has-this-name").status_code == 409
    with closing(Browser(site, READ_TOKEN)) as reader:
        assert reader.get(bulk).status_code == 403
        assert "/actions/" not in reader.get("/deliveries").text.replace("/actions/signout", "")


def test_an_unknown_state_is_refused_with_the_known_ones(browser: Browser) -> None:
    page = browser.get("/deliveries?state=nix")
    assert page.status_code == 422
    assert "there are: accepted, all, canceled, dead, off, waiting" in page.text.replace(" or ", ", ")


def test_all_that_a_search_shows_is_sent_and_nothing_else(site: Site, browser: Browser) -> None:
    """This test is the last one, because it empties the list."""
    page = browser.get("/deliveries?q=second").text
    site.world.hooks.pop("/dead")
    before = len(site.world.received)
    asked = browser.get(question(page) or "")
    [form] = forms(asked.text, "redeliver-all")
    assert browser.said(browser.send("redeliver-all", form)) == "1 delivery is sent again."
    until(
        lambda: (
            any(one.path == "/dead" for one in site.world.received[before:])
            and "1 dead" in heading(browser.get("/deliveries?topic=task_succeeded").text)
        ),
        seconds=10,
        what="an accepted delivery",
    )
    told = [one for one in site.world.received[before:] if one.path == "/dead"]
    assert [one.data["task_id"] for one in told if one.topic == "task_succeeded"] == ["second/id"]
