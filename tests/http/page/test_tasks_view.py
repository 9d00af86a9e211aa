"""The list of tasks: filters, tabs, pages, the text when it is empty, and hostile texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from bridge.domain.task import Phase
from bridge.http.page import tasks_view
from bridge.http.page.tasks_view import TasksQuery, bounded, command, tabs
from tests.http.page.test_page_frame import signed_in
from tests.http.page.watching import (
    HOSTILE_IDS,
    HOSTILE_LABEL,
    add,
    is_delivered,
    just_finished,
    live,
    read,
    write_tasks,
)
from tests.http.site import READ_TOKEN, Site, running_site
from tests.world import Answer, kling, until


def with_cover(task_id: str) -> Answer | None:
    if not task_id.startswith("covered"):
        return None
    host = "cdn.example.test" if task_id == "covered" else "other.example"
    answer = kling(task_id, "succeed", urls=["https://other.example/v.mp4"])
    answer["data"]["task_result"]["videos"][0]["cover_url"] = f"https://{host}/cover.jpg?a=1&b=2"
    return just_finished(answer)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("tasks"), http={"previews": ["https://cdn.example.test"]}) as running:
        running.world.fault = with_cover
        add(running, {"id": "covered", "label": "covers"}, {"id": "covered-elsewhere", "label": "covers"})
        write_tasks(running, *HOSTILE_IDS, label="odd ids")
        add(running, {"id": "hostile-label", "label": HOSTILE_LABEL})
        add(running, {"id": "broken", "label": "Dragon in the rain"}, fails=True)
        add(running, *({"id": f"many-{number:03d}", "label": "many"} for number in range(110)))
        add(running, {"id": "still-runs", "label": "Slow jazz"}, seconds=3600.0)
        until(lambda: len(live(running)) == 1, seconds=60, what="tasks that have finished")
        until(lambda: is_delivered(running), seconds=60, what="results that are delivered")
        yield running


@pytest.fixture(scope="module")
def empty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("empty")) as running:
        yield running


def shown(page: str) -> list[str]:
    """The ids of the rows, in order."""
    return [unescape(one).partition(" ")[2] for one in re.findall(r'<tr data-task="([^"]*)"', page)]


def current_tab(page: str) -> str:
    [found] = re.findall(r'<a href="[^"]*" aria-current="true">([^<]*)(?:<span>[^<]*</span>)?</a>', tabs_of(page))
    return str(found).strip()


def tabs_of(page: str) -> str:
    return page[page.index('class="tabs"') : page.index("</div>", page.index('class="tabs"'))]


def test_the_last_added_task_comes_first_fifty_on_a_page(site: Site) -> None:
    first = read(site, "/tasks")
    assert shown(first)[:2] == ["still-runs", "many-109"]
    assert len(shown(first)) == 50
    seen = shown(first)
    page = first
    for _ in range(2):
        [older] = re.findall(r'rel="next" href="([^"]*)"', page)
        page = read(site, unescape(older))
        assert 'rel="prev" href="/tasks"' in page
        seen += shown(page)
    assert 'rel="next"' not in page
    assert len(seen) == len(set(seen)) == 110 + len(HOSTILE_IDS) + 5


def test_filters_stay_while_the_reader_turns_pages_and_changes_tabs(site: Site) -> None:
    page = read(site, "/tasks?label=many&since=24h")
    [older] = re.findall(r'rel="next" href="([^"]*)"', page)
    assert parse_qs(urlsplit(unescape(older)).query).keys() == {"label", "since", "after"}
    assert set(shown(read(site, unescape(older)))) <= {f"many-{number:03d}" for number in range(110)}
    [failed] = re.findall(r'<a href="([^"]*)">Not succeeded', tabs_of(read(site, unescape(older))))
    wanted = parse_qs(urlsplit(unescape(failed)).query)
    assert wanted == {
        "label": ["many"],
        "since": ["24h"],
        "phase": ["canceled", "failed", "not_found", "timed_out"],
    }


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("phase=failed", ["broken"]),
        ("phase=failed&phase=timed_out", ["broken"]),
        ("phase=running&phase=submitted", ["still-runs"]),
        ("q=many-10", [f"many-{number}" for number in range(109, 99, -1)]),
        ("q=dragon", ["broken"]),
        ("q=" + quote("任务"), ["任务/一号"]),
        ("q=" + quote("50% &"), ["50% & more"]),
        ("label=Slow+jazz", ["still-runs"]),
        ("label=slow+jazz", []),
        ("account=kling&phase=running", ["still-runs"]),
        ("account=other", []),
        ("since=1h&phase=failed", ["broken"]),
        ("unknown=1&phase=failed&q=", ["broken"]),
    ],
)
def test_filters_narrow_the_list(site: Site, query: str, ids: list[str]) -> None:
    assert shown(read(site, f"/tasks?{query}")) == ids


@pytest.mark.parametrize(
    ("query", "tab"),
    [
        ("", "All"),
        ("phase=submitted&phase=running", "Running"),
        ("phase=succeeded", "Succeeded"),
        ("phase=failed&phase=timed_out&phase=not_found&phase=canceled", "Not succeeded"),
        ("phase=failed", "Failed"),
        ("phase=failed&phase=timed_out", "Failed, Timed out"),
    ],
)
def test_the_chosen_phases_are_the_current_tab(site: Site, query: str, tab: str) -> None:
    assert current_tab(read(site, f"/tasks?{query}")) == tab


def test_tabs_count_tasks_unless_another_filter_makes_that_slow(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_view, "COUNTS_WITHIN_S", 20.0)  # counts are also left out while the cores are busy

    def counts(query: str) -> list[str]:
        return re.findall(r"<span>([^<]*)</span>", tabs_of(read(site, f"/tasks?{query}")))

    wanted = ["121", "1", "119", "1", "0"]
    until(lambda: counts("") == wanted, seconds=20, what="fresh counts")
    assert counts("account=kling") == wanted
    assert counts("account=other") == ["0", "0", "0", "0", "0"]
    assert counts("q=many") == counts("label=covers") == counts("since=1h") == []


def test_a_row_shows_the_state_of_a_task_and_its_notified_endpoints(site: Site) -> None:
    rows = re.findall(r"<tr data-task=.*?</tr>", read(site, "/tasks?q=many-10"), re.DOTALL)
    assert "Succeeded" in rows[0]
    assert "1 of 1" in rows[0]
    assert 'href="/task?account=kling&amp;id=many-109"' in rows[0]
    [row] = re.findall(r"<tr data-task=.*?</tr>", read(site, "/tasks?label=Slow+jazz"), re.DOTALL)
    assert "Running" in row or "Submitted" in row
    assert "no estimate yet" in row or 'class="when' in row


def test_a_thumbnail_is_shown_only_from_an_allowed_origin(site: Site) -> None:
    page = read(site, "/tasks?label=covers")
    assert shown(page) == ["covered-elsewhere", "covered"]
    assert re.findall(r'<img class="thumb" src="([^"]*)"', page) == ["https://cdn.example.test/cover.jpg?a=1&amp;b=2"]
    assert page.count('<span class="thumb none"><svg') == 1


def test_a_delivery_shows_a_thumbnail_only_from_an_allowed_origin(site: Site) -> None:
    page = read(site, "/deliveries?state=all&q=covered")
    rows = re.findall(r"<tr data-delivery=.*?</tr>", page, re.DOTALL)
    images = {name: re.findall(r"<img[^>]*>", row) for row in rows for name in re.findall('id=(covered[^"]*)', row)}
    source = "https://cdn.example.test/cover.jpg?a=1&amp;b=2"
    size, lazily = 'width="56" height="32"', 'loading="lazy" decoding="async" referrerpolicy="no-referrer"'
    assert images == {
        "covered": [f'<img class="thumb" src="{source}" alt="" {size} {lazily}>'],
        "covered-elsewhere": [],
    }
    assert page.count('<span class="thumb none"><svg') == 1  # rows with and without a picture are aligned
    assert 'class="thumb' not in read(site, "/deliveries?state=all&q=broken")


def test_ids_and_labels_are_escaped(site: Site) -> None:
    page = read(site, "/tasks?label=odd+ids")
    assert shown(page) == list(reversed(HOSTILE_IDS))
    for one in HOSTILE_IDS:
        assert f'href="/task?account=kling&amp;id={quote(one, safe="/")}"' in page.replace("%2F", "/")
    page = read(site, "/tasks?label=" + quote(HOSTILE_LABEL))
    assert shown(page) == ["hostile-label"]
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert 'dir="auto"' in page


def test_the_page_and_the_api_find_the_same_tasks_by_a_text(site: Site) -> None:
    event_id = site.reader.get("/api/v1/deliveries", params={"task": "kling/broken"}).json()["deliveries"][0][
        "event_id"
    ]
    wanted = {"kling/many-10": 10, "dragon": 1, "in the RAIN": 1, "any-109": 1, event_id: 1, "zebra": 0}
    for text, number in wanted.items():
        found = site.reader.get("/api/v1/tasks", params={"q": text}).json()
        assert len(found["tasks"]) == number, text
        assert [one["id"] for one in found["tasks"]] == shown(read(site, "/tasks?q=" + quote(text))), text


def test_an_empty_list_names_the_filters_and_the_one_that_hides_all(site: Site) -> None:
    page = read(site, "/tasks?phase=failed&q=many")
    assert "No task matches all of these filters" in page
    assert "Remove the marked filter to see tasks." in page
    assert re.search(r'<li class="care">Phase: Failed <a href="/tasks\?q=many">', page)
    assert '<a class="button" href="/tasks">Clear filters</a>' in page
    alone = read(site, "/tasks?phase=withdrawn")
    assert "Without the marked filter" not in alone
    assert re.search(r'<li>Phase: Withdrawn <a href="/tasks">remove</a>', alone)


def test_a_page_number_after_the_last_has_a_link_back(site: Site) -> None:
    page = read(site, "/tasks?after=t1&account=kling")
    assert "There are no older tasks" in page
    assert '<a href="/tasks?account=kling">Newest</a>' in page


@pytest.mark.parametrize("query", ["phase=flying", "since=yesterday", "after=x", "after=d5", "q=" + "x" * 513])
def test_a_wrong_parameter_is_one_sentence(site: Site, query: str) -> None:
    answer = site.stranger.get(f"/tasks?{query}", headers=signed_in(site))
    assert answer.status_code == 422
    assert "That did not work" in answer.text
    assert ("q: has more than 512 characters" in answer.text) is query.startswith("q=")
    assert ("phase: " in answer.text, "phase[0]" in answer.text) == (query.startswith("phase="), False)


def test_an_empty_parameter_is_no_filter(site: Site) -> None:
    assert shown(read(site, "/tasks?phase=&account=&since=")) == shown(read(site, "/tasks"))


def test_an_empty_store_shows_how_to_add_a_task(empty_site: Site) -> None:
    page = read(empty_site, "/tasks")
    assert "Nothing is watched yet" in page
    assert "<code>genbridge add TASK_ID</code>" in page
    assert re.search(r'<form[^>]* action="/actions/add">', page)
    assert "No task matches" in read(empty_site, "/tasks?phase=failed")


def test_a_reader_without_write_rights_gets_no_add_form(site: Site, empty_site: Site) -> None:
    assert 'action="/actions/add"' in read(site, "/tasks")
    for one in (site, empty_site):
        assert 'action="/actions/add"' not in read(one, "/tasks", READ_TOKEN)


def test_a_page_fits_its_budget(site: Site) -> None:
    headers = {**signed_in(site), "Accept-Encoding": "gzip"}
    with site.stranger.stream("GET", "/tasks", headers=headers) as answer:
        assert sum(map(len, answer.iter_raw())) < 12_000


def test_the_same_list_at_the_command_line() -> None:
    def of(**fields: Any) -> str:
        return command(TasksQuery.model_validate(fields))

    assert of() == "genbridge list --limit 50"
    assert of(phase=["failed"], account="kling", since="24h") == (
        "genbridge list --phase failed --account kling --since 24h --limit 50"
    )
    assert of(phase=["running", "submitted"], label="it's; rm -rf /") == (
        "genbridge list --live --label 'it'\"'\"'s; rm -rf /' --limit 50"
    )
    assert of(q="x") == of(phase=["failed", "timed_out"]) == ""


@pytest.mark.parametrize(
    ("number", "shown_number", "is_more"), [(10_000, 10_000, False), (10_001, 10_000, True), (98_112, 98_000, True)]
)
def test_counts_are_exact_up_to_ten_thousand(number: int, shown_number: int, is_more: bool) -> None:
    assert bounded(number) == (shown_number, is_more)


def test_a_tab_sums_its_phases() -> None:
    counts = {**dict.fromkeys(Phase, 0), Phase.SUBMITTED: 2, Phase.RUNNING: 40}
    found = {tab.name: tab.counted.number for tab in tabs((), counts) if tab.counted}
    assert found == {"all": 42, "running": 42, "succeeded": 0, "not_succeeded": 0, "withdrawn": 0}
    assert all(tab.counted is None for tab in tabs((), None))
