"""Forms of the page: each has its effect once, for permitted users only."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.http.sessions import FORM, NOTICE
from tests.daemon_process import DaemonProcess
from tests.http.page.browsing import Browser, forms, heading, notice
from tests.http.page.watching import write_tasks
from tests.http.site import READ_TOKEN, Site, free_port, is_ready, running_site
from tests.world import World, running_world, until


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("actions")
    with running_site(folder, delivery={"retries": ["0.1s"]}) as running:
        yield running


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    opened = Browser(site)
    yield opened
    opened.close()


def store_key(site: Site) -> bytes:
    """The key that signs forms, which only the daemon knows."""
    with sqlite3.connect(f"file:{site.folder}/state.db?mode=ro", uri=True) as store:
        return bytes(store.execute("SELECT key FROM keys WHERE purpose = 'forms'").fetchone()[0])


def deliveries(site: Site, **query: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = site.client.get("/api/v1/deliveries", params=query).json()["deliveries"]
    return found


def dead_letters(site: Site, *ids: str) -> list[dict[str, str]]:
    """The deliveries of tasks that finished while the receiver failed."""
    site.world.receive = lambda event_id, times: 500
    site.add(*ids, seconds=0.0)

    def found() -> list[dict[str, str]]:
        return [one for one in deliveries(site, state="dead") if one["id"] in ids]

    until(lambda: len(found()) == len(ids), seconds=20, what="dead deliveries")
    site.world.receive = lambda event_id, times: 200
    return found()


def named(delivery: dict[str, str], state: str = "dead") -> str:
    """The fields with which a form of the page names it."""
    return f"{state},{delivery['event_id']},hook,"


def sent(site: Site, event_id: str) -> int:
    """How often the receiver accepted it."""
    return sum(told.event_id == event_id and told.answered == 200 for told in list(site.world.received))


def settled(site: Site) -> None:
    until(lambda: not deliveries(site, state="waiting"), seconds=20, what="no delivery that waits")


def test_a_dead_delivery_is_sent_again_once(site: Site, browser: Browser) -> None:
    [dead] = dead_letters(site, "one-dead")
    fields = {"form": browser.field(), "back": "/?x=1", "delivery": named(dead)}
    answer = browser.send("redeliver", fields)
    assert answer.headers["location"].startswith("/?x=1&done=")
    assert browser.said(answer) == "1 delivery is sent again."
    settled(site)
    again = browser.send("redeliver", fields)
    assert again.status_code == 409
    assert "already sent once" in again.text
    assert "carried out" not in again.text, "a crash may have come before"
    [fresh] = forms(again.text, "redeliver")
    assert fresh["delivery"] == named(dead)
    other = browser.send("redeliver", fresh)
    assert other.status_code == 409
    assert "no longer dead" in other.text
    settled(site)
    assert sent(site, dead["event_id"]) == 1


def test_an_accepted_delivery_is_sent_again_once_for_each_form(site: Site, browser: Browser) -> None:
    [dead] = dead_letters(site, "accepted-later")
    browser.does("redeliver", delivery=named(dead))
    settled(site)
    fields = {"form": browser.field(), "delivery": named(dead, "accepted")}
    first = browser.send("redeliver", fields)
    settled(site)
    replayed = browser.send("redeliver", fields)
    assert (first.status_code, replayed.status_code) == (303, 409)
    settled(site)
    assert sent(site, dead["event_id"]) == 2


def test_a_form_works_once_over_a_restart_of_the_daemon(tmp_path: Path) -> None:
    with running_site(tmp_path) as site, closing(Browser(site)) as browser:
        fields = {"form": browser.field(), "back": "/", "endpoint": "hook"}
        assert browser.said(browser.send("test", fields)) == "hook accepted the sample: HTTP 200"
        assert len(site.world.received) == 1
        site.daemon.stop()
        with DaemonProcess(site.daemon.settings):
            until(lambda: is_ready(site.stranger), seconds=30, what="a daemon that is ready")
            again = browser.send("test", fields)
            assert again.status_code == 409
            assert "already sent once" in again.text
            assert len(site.world.received) == 1
            [fresh] = forms(again.text, "test")
            assert browser.send("test", fresh).status_code == 303
            assert len(site.world.received) == 2


@pytest.mark.long
def test_a_form_works_once_at_all_daemons_of_a_shared_store(tmp_path: Path, postgres: PostgresUrl) -> None:
    with running_world(World()) as world, ExitStack() as stack:
        clients = []
        for name in ("first", "second"):
            folder, port = tmp_path / name, free_port()
            folder.mkdir()
            shared = {"store": postgres.reveal(), "sharing": {"name": name}}
            stack.enter_context(DaemonProcess(world.settings(folder, http={"listen": f"127.0.0.1:{port}"}, **shared)))
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20)
            clients.append(stack.enter_context(client))
            until(lambda: is_ready(clients[-1]), seconds=30, what="a daemon that is ready")
        field = re.search(r'name="form" value="([^"]+)"', clients[0].get("/health").text)
        assert field is not None
        fields = {"form": field[1], "back": "/", "endpoint": "hook"}
        origin = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
        answers = [one.post("/actions/test", data=fields, headers=origin).status_code for one in clients * 2]
        assert answers == [303, 409, 409, 409]
        assert len(world.received) == 1


def test_another_endpoint_or_event_is_not_sent(site: Site, browser: Browser) -> None:
    [dead] = dead_letters(site, "stays-dead")
    event_id = dead["event_id"]
    for name in (
        f"dead,{event_id},nowhere,",
        "dead,evt_unknown,hook,",
        f"dead,{event_id},hook,other",
        named(dead, "waiting"),
    ):
        answer = browser.does("redeliver", delivery=name)
        assert answer.status_code in {404, 409}, name
        assert heading(answer.text) == "Nothing was done"
    settled(site)
    assert sent(site, dead["event_id"]) == 0


def test_many_deliveries_are_sent_only_after_their_number_is_confirmed(site: Site, browser: Browser) -> None:
    for _ in dead_letters(site, "left-over"):
        browser.does("redeliver-all", state="dead", number=len(deliveries(site, state="dead")))
    settled(site)
    before = [one["event_id"] for one in dead_letters(site, "many-1", "many-2")]
    fields = {"state": "dead", "endpoint": "hook", "since": "1h", "topic": "task_succeeded"}
    asked = browser.does("redeliver-all", **fields)
    assert (asked.status_code, heading(asked.text)) == (200, "Redeliver 2 to hook?")
    assert "task_succeeded \u00d72" in asked.text
    [form] = forms(asked.text, "redeliver-all")
    assert form["number"] == "2"
    later = dead_letters(site, "many-3")[0]["event_id"]
    asked_again = browser.send("redeliver-all", form)
    assert (asked_again.status_code, heading(asked_again.text)) == (200, "Redeliver 3 to hook?")
    assert "You confirmed 2." in asked_again.text
    settled(site)
    assert [sent(site, one) for one in before] == [0, 0]
    [form] = forms(asked_again.text, "redeliver-all")
    assert browser.said(browser.send("redeliver-all", form)) == "3 deliveries are sent again."
    settled(site)
    assert [sent(site, one) for one in (*before, later)] == [1, 1, 1]
    replayed = browser.send("redeliver-all", form)
    assert replayed.status_code == 409
    nothing = browser.does("redeliver-all", **{**form, "form": browser.field()})
    assert (nothing.status_code, heading(nothing.text)) == (409, "Nothing was done")
    settled(site)
    assert [sent(site, one) for one in (*before, later)] == [1, 1, 1]


def test_a_waiting_delivery_is_sent_now_and_a_disabled_endpoint_enabled(site: Site, browser: Browser) -> None:
    site.world.receive = lambda event_id, times: 410
    site.add("gone", seconds=0.0)
    until(lambda: site.client.get("/api/v1/endpoints").json()["endpoints"][0]["disabled"], seconds=20, what="disabled")
    [waiting] = deliveries(site, state="waiting")
    said = browser.said(browser.does("send", delivery=named(waiting, "waiting")))
    assert said == "1 delivery is sent again. hook: sent when it is enabled, resumed or in the settings again."
    site.world.receive = lambda event_id, times: 200
    assert "is enabled" in browser.said(browser.does("enable", endpoint="hook"))
    settled(site)
    assert sent(site, waiting["event_id"]) == 1
    again = browser.does("enable", endpoint="hook")
    assert (again.status_code, heading(again.text)) == (409, "Nothing was done")
    late = browser.does("send", delivery=named(waiting, "waiting"))
    assert "no longer waiting" in late.text


def test_a_sample_says_what_the_receiver_answered(site: Site, browser: Browser) -> None:
    before = len(site.world.received)
    assert browser.said(browser.does("test", endpoint="hook")) == "hook accepted the sample: HTTP 200"
    site.world.receive = lambda event_id, times: 503
    assert "hook did not accept the sample: HTTP 503" in browser.said(browser.does("test", endpoint="hook"))
    site.world.receive = lambda event_id, times: 200
    assert len(site.world.received) == before + 2
    unknown = browser.does("test", endpoint="<script>")
    assert unknown.status_code == 404
    assert "<script>" not in unknown.text.replace('<script type="module"', "")


def test_tasks_are_added_polled_withdrawn_and_watched_again(site: Site, browser: Browser) -> None:
    ids = ["added-1", "a/b&c=d"]
    site.world.ends_at.update(dict.fromkeys(ids, float("inf")))
    answer = browser.does("add", tasks="\r\n".join(ids), account="kling", back="/tasks")
    assert answer.headers["location"].startswith("/tasks?done=")
    assert browser.said(browser.does("add", tasks="added-1", again="true")) == "1 was watched already."
    for task_id in ids:
        fields = {"account": "kling", "id": task_id}
        assert browser.said(browser.does("poll", **fields)).endswith("is polled as soon as its account allows.")
        assert "is no longer watched" in browser.said(browser.does("withdraw", **fields))
        late = browser.does("poll", **fields)
        assert (late.status_code, heading(late.text)) == (409, "Nothing was done")
        assert browser.does("withdraw", **fields).status_code == 409
        assert "is watched again" in browser.said(browser.does("again", **fields))
        assert browser.does("again", **fields).status_code == 409
    write_tasks(site, "of-a-removed-account", label="", account="removed")
    said = browser.said(browser.does("poll", account="removed", id="of-a-removed-account"))
    assert said.endswith("is polled once its account is in the settings again.")
    assert browser.does("poll", account="kling", id="never-seen").status_code == 409
    assert browser.does("again", account="kling", id="never-seen").status_code == 404


def test_a_list_with_a_mistake_adds_nothing_and_keeps_the_text(site: Site, browser: Browser) -> None:
    text = "good-one\n{broken\n</textarea><script>alert(1)</script>"
    answer = browser.does("add", tasks=text)
    assert answer.status_code == 422
    assert "Nothing was added." in answer.text
    assert "good-one" in answer.text
    assert "<script>alert" not in answer.text
    assert site.client.get("/api/v1/task", params={"id": "good-one"}).status_code == 404
    assert browser.does("add", tasks="").status_code == 422


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "expired", "session"])
def test_a_missing_forged_or_expired_field_only_offers_a_new_form(site: Site, browser: Browser, value: str) -> None:
    key = store_key(site)
    fields = {
        "expired": FORM.sign(key, 1_764_433_876.0 - FORM.life_s),
        "session": NOTICE.sign(key, 4e9, text="x", is_good=True),
    }
    wanted = {"tasks": f"forged-{value}", "back": "/tasks"}
    answer = browser.send("add", {**wanted, "form": fields.get(value, value)} if value else wanted)
    assert (answer.status_code, heading(answer.text)) == (403, "Nothing was done")
    assert site.client.get("/api/v1/task", params={"id": f"forged-{value}"}).status_code == 404
    [fresh] = forms(answer.text, "add")
    assert fresh["back"] == "/tasks"
    assert browser.said(browser.send("add", fresh)) == "1 task is watched now."


ACTIONS = ("redeliver", "send", "redeliver-all", "enable", "test", "poll", "withdraw", "again", "add", "resume")


@pytest.mark.parametrize("action", ACTIONS)
def test_only_full_rights_allow_actions(site: Site, browser: Browser, action: str) -> None:
    field = browser.field()
    told = len(site.world.received)
    fields = {
        "form": field,
        "tasks": "not-added",
        "endpoint": "hook",
        "account": "kling",
        "id": "x",
        "delivery": "dead,x,y,",
    }
    with closing(Browser(site, READ_TOKEN)) as reader:
        assert reader.send(action, fields).status_code == 403
    stranger = site.stranger.post(f"/actions/{action}", data=fields, headers={"Origin": "null"})
    assert (stranger.status_code, stranger.headers["location"]) == (303, "/signin?next=%2F")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert browser.send(action, fields, **headers).status_code == 403
    assert browser.get(f"/actions/{action}").status_code == 405
    assert site.client.get("/api/v1/task", params={"id": "not-added"}).status_code == 404
    assert len(site.world.received) == told


def test_another_site_cannot_put_a_message_on_the_page(site: Site, browser: Browser) -> None:
    for value in ("3 deliveries are sent again.", NOTICE.sign(b"other", 4e9, text="All is lost", is_good=True)):
        page = browser.get("/", done=value).text
        assert notice(page) == ""
        assert "All is lost" not in page


def test_after_a_form_the_browser_stays_on_this_site(site: Site, browser: Browser) -> None:
    answer: httpx.Response = browser.does("test", endpoint="hook", back="https://evil.example/")
    assert answer.headers["location"].startswith("/?done=")


def test_only_the_failed_url_of_a_chat_is_sent_again(tmp_path: Path) -> None:
    with (
        running_site(tmp_path, delivery={"retries": ["0.1s"]}, chats=("one", "two")) as site,
        closing(Browser(site)) as browser,
    ):
        site.world.hooks = {"/one": (500, b"", {}), "/one/": (500, b"", {})}
        site.add("chatted", seconds=0.0)
        until(lambda: [one["state"] for one in deliveries(site)].count("dead") == 1, seconds=30, what="a dead letter")
        until(lambda: not deliveries(site, state="waiting"), seconds=30, what="no delivery that waits")
        site.world.hooks = {}
        before = len(site.world.received)
        [form] = forms(browser.get("/deliveries").text, "redeliver")
        assert ",1:" in form["delivery"]
        assert browser.said(browser.send("redeliver", form)) == "1 delivery is sent again."
        until(lambda: len(deliveries(site, state="accepted")) == 2, seconds=30, what="two accepted deliveries")
        assert [told.path.strip("/") for told in site.world.received[before:]] == ["one"]
