"""The form that adds tasks: it asks for missing fields, adds all or nothing, and keeps the typed text."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.http.page.browsing import Browser, forms
from tests.http.site import Site, running_site
from tests.world import until

CLOSED = "http://127.0.0.1:9"  # no provider answers there: these tests only add tasks


def account(provider: str, path: str = "", **more: str) -> dict[str, str]:
    return {"provider": provider, "base_url": CLOSED + path, "api_key": "k", **more}


ACCOUNTS = {
    "film": account("kling", "/film", action="videos/text2video"),
    "music": account("suno", "/music"),
    "bare": account("kling", "/bare"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("add"), accounts=ACCOUNTS) as running:
        yield running


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    with closing(Browser(site)) as opened:
        yield opened


def watched(site: Site, task_id: str) -> str | None:
    """The account of the watched task."""
    found = site.client.get("/api/v1/tasks", params={"q": task_id}).json()["tasks"]
    return next((one["account"] for one in found if one["id"] == task_id), None)


def typed(answer: httpx.Response) -> str:
    """The text in the field."""
    [found] = re.findall(r"<textarea[^>]*>\n?(.*?)</textarea>", answer.text, re.DOTALL)
    return html.unescape(found)


def mistakes(answer: httpx.Response) -> list[str]:
    found = re.search(r'<div class="banner bad" role="alert".*?</ul>', answer.text, re.DOTALL)
    items = re.findall(r"<li>(.*?)</li>", found[0], re.DOTALL) if found else []
    return [html.unescape(re.sub(r"<[^>]+>", "", item)).strip() for item in items]


def chooser(answer: httpx.Response) -> str:
    """The tag of the field that chooses an account."""
    return str(re.findall(r'<select name="account"[^>]*>', answer.text)[0])


def test_bare_ids_are_added_after_their_account_is_chosen(site: Site, browser: Browser) -> None:
    text = "ask-1\nask-2\n"
    asked = browser.does("add", tasks=text, back="/tasks?phase=running")
    assert asked.status_code == 422
    assert "Which account do they belong to?" in asked.text
    assert "2 tasks do not name one. Nothing was added yet." in asked.text
    assert mistakes(asked) == []
    assert "required" in chooser(asked)
    assert typed(asked) == text
    assert watched(site, "ask-1") is None
    [form] = forms(asked.text, "add")
    answer = browser.send("add", {**form, "tasks": text, "account": "film"})
    assert browser.said(answer) == "2 tasks are watched now."
    assert answer.headers["location"].startswith("/tasks?phase=running&done=")
    assert (watched(site, "ask-1"), watched(site, "ask-2")) == ("film", "film")


def test_only_those_that_do_not_say_their_account_get_the_chosen_one(site: Site, browser: Browser) -> None:
    made = json.dumps({"code": 0, "request_id": "r", "data": {"task_id": "made-1", "task_status": "submitted"}})
    lines = [
        "mixed-1",
        f"{CLOSED}/film/kling/v1/videos/image2video/mixed-2",
        '{"id": "mixed-3", "account": "film"}',
        made,
    ]
    asked = browser.does("add", tasks="\n".join(lines))
    assert "2 tasks do not name one." in asked.text, mistakes(asked)
    answer = browser.does("add", tasks="\n".join(lines), account="music")
    [mistake] = mistakes(answer)
    assert mistake.startswith("line 4: the answer may belong to several accounts (film, bare)")
    answer = browser.does("add", tasks="\n".join(lines[:3]), account="music")
    assert browser.said(answer) == "3 tasks are watched now."
    assert [watched(site, f"mixed-{n}") for n in (1, 2, 3)] == ["music", "film", "film"]
    answer = browser.does("add", tasks=made, account="film")
    assert browser.said(answer) == "1 task is watched now."
    assert watched(site, "made-1") == "film"


def test_an_account_without_an_action_requires_one(site: Site, browser: Browser) -> None:
    asked = browser.does("add", tasks="acts-1", account="bare")
    assert (asked.status_code, mistakes(asked)) == (422, [])
    assert "Which action do they have?" in asked.text
    assert re.search(r'<input name="action"[^>]* required', asked.text)
    assert re.search(r"<option selected>bare</option>", asked.text)
    [form] = forms(asked.text, "add")
    answer = browser.send("add", {**form, "tasks": "acts-1", "account": "bare", "action": "videos/text2video"})
    assert browser.said(answer) == "1 task is watched now."


def test_every_mistake_is_named_with_its_line_and_nothing_is_added(site: Site, browser: Browser) -> None:
    lines = [
        "fine-1",
        '{"id": "x", "account": "flim"}',
        f"{CLOSED}/elsewhere/v1/x",
        "two words",
        '{"id": "y", "lable": "z"}',
        "{broken",
        "</textarea><script>alert(1)</script>",
    ]
    answer = browser.does("add", tasks="\r\n".join(lines), account="film", again="true")
    found = mistakes(answer)
    assert answer.status_code == 422
    assert [one.partition(":")[0] for one in found] == [f"line {n}" for n in range(2, 8)]
    assert 'did you mean "film"?' in found[0]
    assert "is not a query URL of a configured account" in found[1]
    assert 'did you mean "label"?' in found[3]
    assert "<script>alert" not in answer.text
    assert typed(answer).splitlines() == lines
    assert '<input type="checkbox" name="again" value="true" checked>' in answer.text
    assert "<option selected>film</option>" in answer.text
    assert watched(site, "fine-1") is None


def test_many_mistakes_are_cut_and_counted(browser: Browser) -> None:
    answer = browser.does("add", tasks="\n".join(f"bad id {n}" for n in range(80)), account="film")
    assert len(mistakes(answer)) == 50
    assert "30 more mistakes" in answer.text


def test_many_lines_are_added_at_once(site: Site, browser: Browser) -> None:
    answer = browser.does("add", tasks="".join(f"bulk-{n}\n" for n in range(5_000)), account="film")
    assert browser.said(answer) == "5,000 tasks are watched now."
    assert watched(site, "bulk-4999") == "film"


def test_typed_text_is_kept_while_the_store_cannot_be_written(site: Site, browser: Browser) -> None:
    fields = {"form": browser.field(), "back": "/", "tasks": "later-1", "account": "film"}
    with closing(sqlite3.connect(site.folder / "state.db", timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = browser.send("add", fields)
        other.execute("ROLLBACK")
    assert refused.status_code == 503, refused.text
    [form] = forms(refused.text, "add")
    assert (form["tasks"], form["account"]) == ("later-1", "film")
    until(lambda: browser.send("add", form).status_code == 303, seconds=20, what="a store that can be written")
    assert watched(site, "later-1") == "film"


def test_a_form_without_tasks_shows_an_error(browser: Browser) -> None:
    answer = browser.does("add", tasks=" \n# only a comment\n", account="film")
    assert (answer.status_code, mistakes(answer)) == (422, ["the body contains no task; give at least one id or task"])


def test_the_list_of_tasks_and_the_page_have_the_same_form(browser: Browser) -> None:
    def fields(path: str) -> list[str]:
        form = re.findall(r'<form[^>]*action="/actions/add".*?</form>', browser.get(path).text, re.DOTALL)[0]
        return re.findall(r'name="([^"]+)"', form)

    assert fields("/add") == fields("/tasks") == ["form", "back", "tasks", "account", "again"]
    assert re.search("<option selected>music</option>", browser.get("/add?account=music").text)
