"""The first view: cards in each state, running tasks, needs, empty states, hostile texts, and its size."""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, timedelta, timezone
from html import unescape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bridge.control import needs
from bridge.control.needs import RECENT_S
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.task import Phase
from bridge.http.page.now_view import MOST_CARDS, midnight_at
from tests.http.page.browsing import forms, heading, question
from tests.http.page.now_store import CDN, ELSEWHERE, Filler, filled, open_site
from tests.http.page.test_page_frame import signed_in
from tests.http.site import READ_TOKEN, TOKEN, Site, running_site
from tests.world import until

HOSTILE = '"><script>alert(1)</script>\ufffdgpj.exe'
LONG = "wide " * 100 + "end of the label"


def videos(*urls: str, **more: str) -> dict[str, list[dict[str, str]]]:
    return {"videos": [{"url": url, "duration": "5.1", **more} for url in urls]}


def images(number: int, origin: str = CDN) -> dict[str, list[dict[str, str]]]:
    return {"images": [{"url": f"{origin}/{number}/{place}.png"} for place in range(number)]}


def fill(store: Filler) -> None:
    """Add one card of each look. The last one is the newest."""
    song = {"id": "c1", "title": "Rain", "image_url": f"{CDN}/rain.jpg", "duration": 154.2}
    rain = {
        "videos": [{**song, "url": f"{CDN}/rain.mp4"}],
        "images": [{**song, "url": f"{CDN}/rain-large.jpg"}],
        "audios": [{**song, "url": f"{CDN}/rain.mp3"}],
    }
    tasks: list[tuple[str, Any, dict[str, Any]]] = [
        ("not-found", {}, {"phase": Phase.NOT_FOUND, "reason": "answered 4 times in a row"}),
        ("without", {}, {}),
        ("embedded", {"images": [{"embedded": True, "media_type": "image/png", "bytes": 9000}]}, {}),
        ("closed", {"videos": [{"url": f"{CDN}/closed", "needs_key": True}]}, {}),
        ("evil-url", {"videos": [{"url": "javascript:alert(1)"}]}, {"label": HOSTILE}),
        ("failed", {}, {"phase": Phase.FAILED, "reason": f"Rejected: {HOSTILE}", "label": LONG}),
        ("gone", images(1), {"expires_in": -60}),
        ("soon", images(1), {"expires_in": 290}),
        ("later", images(1), {"expires_in": 3 * 3600 - 10, "age": 1.0}),
        ("much-later", images(1), {"expires_in": 30 * 86_400}),
        ("file", {"files": [{"url": f"{CDN}/chair.glb"}]}, {}),
        ("text", {"texts": [{"text": "The harbor light " + "is counting boats " * 100}]}, {}),
        ("song", rain, {}),
        ("elsewhere", videos(f"{ELSEWHERE}/v.mp4"), {}),
        ("elsewhere-4", images(4, ELSEWHERE), {}),
        *((f"images-{number}", images(number), {}) for number in (1, 2, 3, 4, 9)),
        ("told", {}, {"states": {"hook": DeliveryState.ACCEPTED, "old": DeliveryState.DEAD}}),
        ("video", videos(f"{CDN}/v.mp4", cover_url=f"{CDN}/v.jpg"), {"label": "Lighthouse at dawn"}),
    ]
    for place, (task_id, result, more) in enumerate(tasks):
        store.finished(task_id, result, **{"age": 600.0 - place, **more})


@pytest.fixture(autouse=True)
def slow_commits_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """While six processes write, a commit may take a second, which would be one more problem on the page."""
    monkeypatch.setattr(needs, "SLOW_S", 1000.0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("now")
    with filled(folder) as store:
        store.takes(100.0, 300.0)
        fill(store)
        store.running("ahead", age=20.0, label="Street musician")
        store.running("within", age=150.0)
        store.running("late", age=4000.0)
        store.running("progress", age=10.0, progress=64.0)
    with open_site(folder) as running:
        running.world.answer_s = 3600.0  # the provider never answers: what runs stays as it is
        yield running


def page_of(site: Site, path: str = "/", **headers: str) -> str:
    answer = site.stranger.get(path, headers={"Accept": "text/html", **headers})
    assert answer.status_code == 200, answer.text
    return answer.text


def card(page: str, task_id: str) -> str:
    [found] = re.findall(rf'<article[^>]* data-task="kling {task_id}".*?</article>', page, re.DOTALL)
    return str(found)


def row(page: str, task_id: str) -> str:
    [found] = re.findall(rf'<li data-task="kling {task_id}".*?</li>', page, re.DOTALL)
    return str(found)


def shown(part: str) -> str:
    """The text that a person reads, without what is hidden until a result cannot be loaded."""
    part = re.sub(r'<div class="lost">.*?</div>', "", part, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", part)).split())


def test_a_video_of_an_allowed_origin_is_played_in_its_card(site: Site) -> None:
    found = card(page_of(site), "video")
    assert f'<video src="{CDN}/v.mp4" controls playsinline preload="metadata" poster="{CDN}/v.jpg"' in found
    assert "autoplay" not in found
    assert shown(found).startswith("5.1 s Lighthouse at dawn kling, took 30 s")
    assert 'href="/task?account=kling&amp;id=video"' in found


@pytest.mark.parametrize(("number", "pictures"), [(1, 1), (2, 2), (3, 3), (4, 4), (9, 4)])
def test_a_card_shows_up_to_four_images_and_counts_the_others(site: Site, number: int, pictures: int) -> None:
    found = card(page_of(site), f"images-{number}")
    assert re.findall(r'<img src="([^"]+)" loading="lazy"', found) == [
        f"{CDN}/{number}/{place}.png" for place in range(pictures)
    ]
    assert f"shows-{pictures}" in found
    assert ("+5" in shown(found)) == (number == 9)


def test_a_songs_cover_and_video_are_not_separate_results(site: Site) -> None:
    found = card(page_of(site), "song")
    assert re.findall(r'src="([^"]+)"', found) == [f"{CDN}/rain.jpg", f"{CDN}/rain.mp3"]
    assert '<audio src="https://cdn.example.com/rain.mp3" controls preload="none"' in found
    assert "2 min 34 s" in shown(found)


@pytest.mark.parametrize(
    ("task_id", "text"),
    [
        ("text", "The harbor light is counting boats"),
        ("failed", "Failed Rejected:"),
        ("gone", "Gone since "),
        ("embedded", "The result was inside the answer."),
        ("closed", "The video is at cdn.example.com Only the account's key opens it."),
        ("without", "Succeeded without a result"),
        ("not-found", "Not found answered 4 times in a row"),
        ("evil-url", "The address of the result cannot be opened."),
    ],
)
def test_a_card_without_a_picture_says_why(site: Site, task_id: str, text: str) -> None:
    found = card(page_of(site), task_id)
    assert text in shown(found)
    assert not re.findall(r"<(?:img|video|audio)|target=", found)


@pytest.mark.parametrize(
    ("task_id", "url", "text"),
    [
        ("elsewhere", f"{ELSEWHERE}/v.mp4", "The video is at files.reseller.example Open in a new tab"),
        ("elsewhere-4", f"{ELSEWHERE}/4/0.png", "4 images are at files.reseller.example Open in a new tab"),
        ("file", f"{CDN}/chair.glb", "The file is at cdn.example.com Open in a new tab"),
    ],
)
def test_a_result_that_may_not_be_shown_has_host_and_link(site: Site, task_id: str, url: str, text: str) -> None:
    found = card(page_of(site), task_id)
    assert text in shown(found)
    assert f'href="{url}" target="_blank" rel="noopener noreferrer"' in found
    assert not re.findall(r"<(?:img|video|audio)", found)


def test_a_result_that_expires_within_a_day_says_when(site: Site) -> None:
    page = page_of(site)
    assert re.search(r'<span class="chip tr soon">.*?gone <time [^>]* data-due>in 4 min', card(page, "soon"))
    assert re.search(r'<span class="chip tr">.*?gone <time [^>]* data-due>in 2 h 59 min', card(page, "later"))
    assert "gone" not in card(page, "much-later")


def test_a_card_shows_the_notified_endpoints(site: Site) -> None:
    assert shown(card(page_of(site), "told")).endswith("hook accepted old dead")


def test_cards_come_newest_first(site: Site) -> None:
    page = page_of(site)
    found = re.findall(r'<article [^>]*data-task="kling ([^"]+)"', page)
    assert found[:4] == ["later", "video", "told", "images-9"]


def test_only_allowed_origins_are_loaded(site: Site) -> None:
    page = page_of(site)
    loaded = {url for url in re.findall(r'(?:src|poster)="([^"]+)"', page) if not url.startswith("/assets/")}
    assert loaded
    assert all(url.startswith(f"{CDN}/") for url in loaded)
    assert f"{CDN}/closed" not in loaded


def test_running_tasks_come_with_bars_the_soonest_first(site: Site) -> None:
    page = page_of(site)
    order = re.findall(r'<li data-task="kling ([^"]+)"', page)
    assert order[0] == "within"
    assert sorted(order) == ["ahead", "late", "progress", "within"]
    assert re.search(r"^Street musician in \d[^·]* to [3-5] min", shown(row(page, "ahead")))
    assert "in up to " in shown(row(page, "within"))
    assert "longer than usual" in shown(row(page, "late"))
    assert "usually under " in shown(row(page, "late"))
    assert "64 %" in shown(row(page, "progress"))
    assert shown(row(page, "ahead")).startswith("Street musician ")
    assert 'class="eta late"' in row(page, "late")
    assert 'class="band"' not in row(page, "progress")


def test_figures_link_to_the_lists_behind_them(site: Site) -> None:
    page = page_of(site, "/?zone=utc")
    figures = re.findall(r'<dt>([^<]+)</dt><dd><a href="([^"]+)"[^>]*>([^<]+)</a>', page)
    assert figures[0] == ("Running", "/tasks?phase=submitted&amp;phase=running", "4")
    assert figures[1][0] == "Finished today"
    assert figures[2][:2] == ("Waiting", "/deliveries")
    assert "Delivered in 0.4 s median" in shown(page)


def test_hostile_texts_are_escaped(site: Site) -> None:
    page = page_of(site)
    assert "<script>alert" not in page
    assert "javascript:" not in page
    assert f"<bdi>{'&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;'}\ufffdgpj.exe</bdi>" in page
    assert LONG in shown(card(page, "failed"))
    assert not re.findall(r"<[^>]+ (?:style|on\w+)=", page)


def test_the_page_is_small(site: Site) -> None:
    page = page_of(site)
    assert len(re.findall("<article", page)) == MOST_CARDS - 2
    assert len(gzip.compress(page.encode(), 5)) < 12_000


def test_the_page_speaks_chinese(site: Site) -> None:
    page = page_of(site, "/?lang=zh")
    assert heading(page) == "一切正常"
    assert "在新标签页中打开" in card(page, "elsewhere")
    assert "比平时久" in row(page, "late")


def test_dead_deliveries_can_be_sent_again_with_one_button(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        for name in "ab":
            store.finished(name, states={"hook": DeliveryState.DEAD})
        store.finished("c", states={"old": DeliveryState.DEAD})
    with running_site(tmp_path) as site:
        page = site.stranger.get("/", headers=signed_in(site)).text
        assert heading(page) == "One thing needs you"
        assert "<title>1 needs you · 0 running · genbridge</title>" in page
        assert 'data-needs="1"' in page
        assert 'data-needs="1"' in site.stranger.get("/tasks", headers=signed_in(site)).text
        assert question(page) == "/redeliver?state=dead&endpoint=hook&back=%2F"
        assert "2 dead deliveries to hook" in shown(page)
        assert "Last answer: HTTP 503." in shown(page)
        reader = site.stranger.get("/", headers=signed_in(site, READ_TOKEN)).text
        assert question(reader) is None
        assert '<a class="button" href="/deliveries?state=dead&amp;endpoint=hook">See them</a>' in reader


def test_old_dead_deliveries_are_an_inconspicuous_line(tmp_path: Path) -> None:
    long_ago = RECENT_S + 3600
    with filled(tmp_path) as store:
        for name in "ab":
            store.finished(name, states={"hook": DeliveryState.DEAD}, age=long_ago)
        store.finished("c", states={"removed": DeliveryState.DEAD})
    with open_site(tmp_path) as site:
        page = page_of(site)
        assert heading(page) == "All is well"
        assert 'data-needs="0"' in page
        assert '<a href="/deliveries?state=dead">3 dead deliveries are kept</a>.' in page
        assert "badge" not in page
        assert heading(page_of(site, "/health")) == "All is well"


def test_a_recent_dead_delivery_is_a_problem_together_with_older_ones(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        store.finished("old", states={"hook": DeliveryState.DEAD}, age=RECENT_S + 3600)
        store.finished("new", states={"hook": DeliveryState.DEAD})
        store.finished("c", states={"removed": DeliveryState.DEAD})
    with open_site(tmp_path) as site:
        page = page_of(site)
        assert heading(page) == "One thing needs you"
        assert "2 dead deliveries to hook" in shown(page)
        assert "1 dead delivery is kept" in shown(page)
        assert heading(page_of(site, "/health")) == "2 dead deliveries to hook"


def test_a_blocked_account_a_disabled_endpoint_and_a_rejected_file_are_problems(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "bad.json").write_text("{")
    with open_site(tmp_path) as site:
        site.world.receive = lambda event_id, times: 410
        site.world.fault = lambda task_id: (401, b'{"code": 1002, "message": "Authorization <b>is invalid"}', {})
        site.add("blocked-1", "blocked-2")

        def page() -> str:
            return page_of(site)

        until(lambda: heading(page()) == "Three things need you", seconds=30, what="three needs")
        found = re.findall(r'<li class="is-care"[^>]*>(.*?)</li>', page(), re.DOTALL)
        account_line, endpoint, files = map(shown, found)
        assert re.match(r"Account kling blocked since [\d:]+ The provider answered: .*<b>is invalid", account_line)
        assert "2 tasks wait and continue by themselves. Next try in " in account_line
        assert 'href="/tasks?account=kling&amp;phase=submitted&amp;phase=running">2 tasks</a>' in found[0]
        assert re.match(r"Endpoint hook disabled since [\d:]+ It answered: HTTP 410", endpoint)
        assert forms(page(), "enable")[0]["endpoint"] == "hook"
        assert files.startswith("1 queue file was rejected Each file is in ")
        assert "held back" in shown(row(page(), "blocked-1"))
        assert "kling · account blocked" in shown(row(page(), "blocked-1"))


@pytest.mark.timeout(300)
def test_a_store_that_cannot_be_written_is_the_only_problem_shown(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        store.finished("a", states={"hook": DeliveryState.DEAD})
    with open_site(tmp_path) as site, closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        assert heading(page_of(site)) == "One thing needs you"
        site.add("runs")
        other.execute("BEGIN IMMEDIATE")

        def page() -> str:
            return page_of(site)

        until(lambda: heading(page()).startswith("No write to the store"), seconds=40, what="a store that fails")
        assert question(page()) is None
        assert '<h1 class="bad">' in page()
        assert heading(page_of(site, "/health")).startswith("No write to the store")
        other.execute("ROLLBACK")
        until(lambda: heading(page()) == "One thing needs you", seconds=40, what="a store that works again")


def test_a_new_store_says_how_to_add_the_first_task(tmp_path: Path) -> None:
    with open_site(tmp_path) as site:
        page = page_of(site)
        assert heading(page) == "All is well"
        assert "There is nothing to poll." in page
        assert "Nothing is watched yet Drop a file with task ids into" in shown(page)
        assert str(tmp_path / "queue") in page
        assert "<code>genbridge add TASK_ID</code>" in page
        assert re.search(r'<a class="button" href="/add">.*?Add tasks</a>', page)
        assert "Nothing has finished yet." in page
        site.add("video-1", seconds=0.2)
        until(lambda: "No task is running." in page_of(site), seconds=20, what="a card")
        assert "<video" not in card(page_of(site), "video-1")
        assert re.search(r"Last provider answer: <time [^>]* data-ago>", page_of(site))


@pytest.mark.parametrize(
    ("zone", "hours"),
    [(UTC, 16.5), (timezone(timedelta(hours=5, minutes=45)), 22.25), (ZoneInfo("America/New_York"), 11.5)],
)
def test_the_day_begins_at_the_readers_midnight(zone: ZoneInfo, hours: float) -> None:
    now = 1_764_433_800.0  # 2025-11-29 16:30 UTC
    assert now - midnight_at(now, zone) == hours * 3600


def test_the_token_is_not_in_the_page(site: Site) -> None:
    assert TOKEN not in page_of(site)
