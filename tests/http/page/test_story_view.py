"""The story of a task: its result in every state, who was notified, what happened, and hostile texts."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from bridge.domain.delivery_state import DeliveryState
from tests.http.page.still_sites import still_sites
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

CDN = "https://cdn.example.test"
SIGNED = f"{CDN}/works/{'long/' * 20}video.mp4?signature=s3cr3t&expires=1"
EVIL_REASON = '<img src=x onerror="alert(1)">'
STORIES = {
    "failed-evil": kling("failed-evil", "failed", message=EVIL_REASON),
    "signed": kling("signed", "succeed", urls=[SIGNED]),
    "several": kling("several", "succeed", urls=[f"{CDN}/a.mp4", "https://other.example/b.mp4", f"{CDN}/c.mp4"]),
    "plain": kling("plain", "succeed", urls=[f"{CDN}/plain.mp4?x=1"]),
    "late": kling("late", "succeed", urls=[f"{CDN}/late.mp4"]),
    "unsafe": kling("unsafe", "succeed", urls=["javascript:alert(1)", "http://10.0.0.1/x.mp4", f"{CDN}/safe.mp4"]),
}
STORIES["odd"] = kling("odd", "moderating")
STORIES["song"] = kling("song", "succeed")
STORIES["song"]["data"]["task_result"] = {
    "audios": [
        {"id": "1", "url": f"{CDN}/1.mp3", "duration": 151, "title": "Harbor <song>", "cover_url": f"{CDN}/1.jpg"},
        {"id": "2", "url": f"{CDN}/2.mp3"},
    ]
}


def told_by(task_id: str) -> Answer | None:
    return just_finished(STORIES[task_id]) if task_id in STORIES else None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("story")
    with running_site(folder, http={"previews": [CDN]}, retention={"ended": "3d"}) as running:
        running.world.fault = told_by
        write_tasks(running, *HOSTILE_IDS, label=HOSTILE_LABEL)
        add(running, *({"id": one, "label": one} for one in ("failed-evil", "signed", "several", "song", "unsafe")))
        add(running, {"id": "plain", "label": "Lighthouse", "meta": {"order": 4711, "scene": "<b>"}})
        add(running, {"id": "still-runs", "label": "Slow jazz"}, seconds=3600.0)
        write_tasks(running, "shared", label="Shared")
        write_tasks(running, "shared", label="Shared, too", account="second")
        until(lambda: len(live(running)) == 2, seconds=60, what="tasks that have finished")
        until(lambda: is_delivered(running), seconds=60, what="results that are delivered")
        yield running


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose receiver accepts nothing, and that may show no results."""
    with running_site(tmp_path_factory.mktemp("refusing"), delivery={"retries": ["0.1s", "30m"]}) as running:
        running.world.fault = told_by
        running.world.receive = lambda event_id, times: 503
        add(running, {"id": "late"}, {"id": "odd"})
        until(lambda: len(running.world.received) == 2, seconds=60, what="two attempts")
        yield running


def story(site: Site, task_id: str, account: str | None = "kling", token: str | None = None) -> str:
    named = f"account={quote(account)}&" if account else ""
    return read(site, f"/task?{named}id={quote(task_id, safe='')}", token)


def text_of(page: str) -> str:
    """The text that a person reads."""
    main = page[page.index("<main") : page.index("</main>")]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", main)))


def press(site: Site, page: str, action: str) -> httpx.Response:
    """Send the first form of the page that does this."""
    form = page[page.index(f'action="/actions/{action}"') :]
    form = form[: form.index("</form>")]
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
    headers = {**signed_in(site), "Origin": site.url}
    return site.stranger.post(
        f"/actions/{action}", data={name: unescape(value) for name, value in fields}, headers=headers
    )


def test_a_video_can_be_played_where_its_origin_is_allowed(site: Site) -> None:
    page = story(site, "plain")
    assert f'<video controls playsinline aria-label="Lighthouse" preload="metadata" src="{CDN}/plain.mp4?x=1">' in page
    assert '<a href="/tasks?account=kling">kling</a>' in page
    said = text_of(page)
    for part in ("Lighthouse Succeeded", "5.1 s", "videos/text2video", "over HTTP", "order: 4711", "scene: <b>"):
        assert part in said


def test_a_signed_url_is_shown_shortened_and_copied_completely(site: Site) -> None:
    page = story(site, "signed")
    whole = SIGNED.replace("&", "&amp;")
    assert f'src="{whole}"' in page
    assert f'href="{whole}" target="_blank" rel="noopener noreferrer"' in page
    assert f'data-copy="{whole}"' in page
    assert "s3cr3t" not in text_of(page)


def test_results_at_other_hosts_are_named_and_not_loaded(site: Site) -> None:
    page = story(site, "several")
    assert len(re.findall("<video ", page)) == 2
    assert "https://other.example/b.mp4" not in re.findall(r' src="([^"]*)"', page)
    assert "is at other.example" in text_of(page)
    assert 'preload="none"' in page


def test_without_allowed_origins_nothing_is_loaded(refusing: Site) -> None:
    page = story(refusing, "late")
    assert "<video" not in page
    assert "is at cdn.example.test" in text_of(page)
    assert "Open in a new tab" in page


def test_unsafe_results_are_named_and_never_links(site: Site) -> None:
    page = story(site, "unsafe")
    assert 'href="javascript:' not in page
    assert "Not passed on, because it is not safe: javascript:alert(1)" in text_of(page)
    assert "http://10.0.0.1/x.mp4: points into a private network" in text_of(page)
    assert len(re.findall("<video ", page)) == 1


def test_a_failure_shows_the_providers_words_as_text(site: Site) -> None:
    page = story(site, "failed-evil")
    assert "<img" not in page
    assert EVIL_REASON in text_of(page)
    assert 'class="pic note is-bad"' in page


def test_a_running_task_shows_its_bar_and_its_next_poll(site: Site) -> None:
    page = story(site, "still-runs")
    assert "No result yet" in page
    assert '<svg class="eta' in page
    assert re.search(r"Next poll (now|in \d|as soon as possible)", text_of(page))
    assert "The task at kling continues." in page
    assert 'action="/actions/again"' not in page


@pytest.mark.parametrize("task_id", HOSTILE_IDS)
def test_every_id_has_a_history_page(site: Site, task_id: str) -> None:
    for account in ("kling", None):
        page = story(site, task_id, account)
        assert f'<dt>Task</dt><dd class="id" dir="auto">{task_id}</dd>' in unescape(page)
        assert "<script>alert" not in page
        assert "<b>..a" not in page
        [link] = re.findall(r'data-copy="(/task[^"]*)"', page)
        assert f'dir="auto">{task_id}</dd>' in unescape(read(site, unescape(link)))


def test_an_id_of_several_accounts_is_a_choice(site: Site) -> None:
    page = story(site, "shared", None)
    assert "Several accounts watch this id" in page
    links = re.findall(r'<a class="name" href="([^"]*)"', page)
    assert [unescape(one) for one in links] == ["/task?account=kling&id=shared", "/task?account=second&id=shared"]
    other = read(site, "/task?account=second&id=shared")
    assert "never polled: the settings have no account second" in text_of(other)
    assert "account second" not in text_of(story(site, "shared"))


@pytest.mark.parametrize("query", ["id=nope", "id=plain&account=second", "", "id=https%3A%2F%2Fx.example%2F1"])
def test_an_unknown_task_says_how_long_tasks_are_kept(site: Site, query: str) -> None:
    answer = site.stranger.get(f"/task?{query}", headers=signed_in(site))
    assert answer.status_code == 404
    assert "No task with this id is kept. Results are kept for 3 days." in answer.text


def test_account_and_id_may_be_written_as_one(site: Site) -> None:
    assert "Lighthouse" in story(site, "kling/plain", None)


def test_an_event_of_the_history_links_to_all_its_deliveries(site: Site) -> None:
    [link] = re.findall(r'<a class="id soft" href="(/deliveries[^"]*)"', story(site, "plain"))
    assert 'data-delivery="evt_' in read(site, unescape(link))


def test_the_history_is_shown_in_order(site: Site) -> None:
    page = story(site, "plain")
    happened = text_of(page[: page.index("When it was polled")] + "</main>").rpartition("What happened")[2]
    places = [happened.index(word) for word in ("Added over HTTP", "answers:", "Succeeded", "hook was notified")]
    assert places == sorted(places)


def test_each_attempt_is_listed_with_its_answer(refusing: Site) -> None:
    until(lambda: "attempt 3 of 3" in text_of(story(refusing, "late")), seconds=20, what="the third attempt planned")
    page = story(refusing, "late")
    tries = re.findall(r"<li><time .*?</li>", page[page.index('class="tries"') : page.index("<aside>")], re.DOTALL)
    assert len(tries) == 2
    for number, one in enumerate(tries, 1):
        assert "HTTP 503" in one
        assert f"attempt {number}" in one
    assert "hook did not accept it" in text_of(page)


def test_each_button_does_what_its_label_says(refusing: Site) -> None:
    sent = press(refusing, story(refusing, "late"), "send")
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("/task?account=kling&id=late&done=")
    until(lambda: len(refusing.world.received) == 4, seconds=20, what="a second round of attempts")
    refusing.world.receive = lambda event_id, times: 200
    press(refusing, story(refusing, "late"), "send")
    until(lambda: "/actions/redeliver" in story(refusing, "late"), seconds=20, what="a delivery that was accepted")
    assert press(refusing, story(refusing, "late"), "redeliver").status_code == 303
    until(lambda: len(refusing.world.received) == 6, seconds=20, what="a delivery that was sent again")
    assert press(refusing, story(refusing, "late"), "again").status_code == 303
    add(refusing, {"id": "runs"}, seconds=3600.0)
    assert press(refusing, story(refusing, "runs"), "poll").status_code == 303
    assert "A poll was requested" in story(refusing, "runs")
    assert press(refusing, story(refusing, "runs"), "withdraw").status_code == 303
    assert "No longer watched" in story(refusing, "runs")


def test_a_reader_without_write_rights_sees_no_buttons(site: Site) -> None:
    for task_id in ("plain", "still-runs"):
        assert "/actions/" not in story(site, task_id, token=READ_TOKEN).replace("/actions/signout", "")


def test_a_disabled_endpoint_can_be_enabled_from_a_history_page(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_site(tmp_path_factory.mktemp("gone")) as site:
        site.world.receive = lambda event_id, times: 410
        add(site, {"id": "gone"})
        until(
            lambda: 'action="/actions/enable"' in story(site, "gone"), seconds=60, what="an endpoint that is disabled"
        )
        assert "waiting until it is enabled. It answered: HTTP 410" in text_of(story(site, "gone"))
        site.world.receive = lambda event_id, times: 200
        assert press(site, story(site, "gone"), "enable").status_code == 303
        until(lambda: "hook was notified" in text_of(story(site, "gone")), seconds=20, what="a delivery")


def test_the_strip_is_drawn_without_styles(site: Site) -> None:
    page = story(site, "plain")
    strip = page[page.index('class="sheet strip"') :]
    assert re.search(r'<g class="poll"><rect x="[\d.]+%"', strip)
    assert "style=" not in page
    assert re.search(r"\d+ polls? in", text_of(page))


def test_a_history_page_fits_its_size_budget(site: Site) -> None:
    headers = {**signed_in(site), "Accept-Encoding": "gzip"}
    with site.stranger.stream("GET", "/task?account=kling&id=plain", headers=headers) as answer:
        assert sum(map(len, answer.iter_raw())) < 12_000


def test_genbridges_reasons_are_translated_and_the_providers_are_quoted(site: Site, refusing: Site) -> None:
    page = read(site, "/task?account=kling&id=unsafe&lang=zh")
    assert "指向内网" in page
    assert "points into a private network" not in page
    assert "points into a private network" in story(site, "unsafe")
    assert f'<q dir="auto">{EVIL_REASON}</q>' in unescape(read(site, "/task?account=kling&id=failed-evil&lang=zh"))
    assert "HTTP 503 Service Unavailable" in read(refusing, "/task?account=kling&id=late&lang=zh")


def test_a_song_is_played_below_its_cover_with_its_title_and_length(site: Site) -> None:
    page = story(site, "song")
    first, second = re.findall(r'<figure class="sheet">(.*?)</figure>', page, re.DOTALL)
    assert f'<img src="{CDN}/1.jpg" alt="" loading="lazy"' in first
    assert "Harbor &lt;song&gt;</span>· 2 min 31 s" in first
    assert re.search(rf'<audio controls preload="none"[^>]* src="{CDN}/1.mp3">', first)
    assert "The song" in second
    assert re.search(rf'<audio controls preload="none"[^>]* src="{CDN}/2.mp3">', second)


def test_a_running_task_says_at_once_that_its_answers_cannot_be_read(site: Site, refusing: Site) -> None:
    until(lambda: "Last answer:" in story(refusing, "odd"), seconds=20, what="an answer that cannot be read")
    result = re.search(r'data-part="result">(.*?)<section', story(refusing, "odd"), re.DOTALL)
    assert result is not None
    assert 'Last answer: <span dir="auto">unknown status "moderating"</span>' in unescape(result[1])
    assert "Last answer:" not in story(site, "still-runs")


def test_the_history_gives_the_reason_of_the_finish_once(site: Site) -> None:
    happened = re.search(r'data-part="happened">(.*?)</section>', story(site, "failed-evil"), re.DOTALL)
    assert happened is not None
    assert unescape(happened[1]).count(EVIL_REASON) == 1


def test_a_delivery_whose_attempts_cannot_be_read_is_shown_as_accepted(tmp_path: Path) -> None:
    with still_sites() as made:
        address = made.serve(tmp_path, fill=lambda store: store.finished("a", states={"hook": DeliveryState.ACCEPTED}))
        with closing(sqlite3.connect(tmp_path / "state.db")) as store:
            store.execute("DELETE FROM attempts")
            store.commit()
        answer = httpx.get(f"{address}/task", params={"account": "kling", "id": "a"})
    assert answer.status_code == 200
    assert re.search(r">\s*accepted\s*<", answer.text)
