"""The values of cards, rows, notification states and needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.control.estimates import Estimates
from bridge.control.health_facts import FactState
from bridge.control.needs import Need, NeedCounts, NeedKind
from bridge.control.now_figures import FinishedSince
from bridge.domain.account_state import AccountState, RouteWait
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.page_views import DeliveryGroup
from bridge.domain.pause import Pause, PauseOf
from bridge.domain.task import Phase, Snapshot
from bridge.domain.views import DeliveryView, WatchView
from bridge.http.access import Right
from bridge.http.page.cards import FinishedTask, NotificationState, cards, notification_states
from bridge.http.page.now_view import BUSY_PER_MINUTE, MOST_CARDS, is_busy
from bridge.http.page.page_routes import NAVIGATION
from bridge.http.page.rendering import environment, render
from bridge.http.page.result_boxes import ResultBox, result_boxes
from bridge.http.page.running_rows import running_row
from bridge.http.page.view import Badges
from bridge.http.page.visitor import Visitor
from bridge.http.page.wording import Wording
from tests.factories import NOW, make_delivery_view, make_view

_TAGS = re.compile(r"<[^>]+>")
_BUTTONS = re.compile(r'<a class="button[^"]*"[^>]*>([^<]+)<')
CDN = "https://cdn.example.com"


def view(name: str = "task-1", **fields: Any) -> WatchView:
    return make_view(task_id=name, **fields)


def delivery(endpoint: str, state: DeliveryState = DeliveryState.ACCEPTED, **fields: Any) -> DeliveryView:
    return make_delivery_view(endpoint=endpoint, state=state, **fields)


def video(url: str) -> Snapshot:
    return Snapshot(result={"videos": [{"url": url}]}, urls=(url,))


def with_results(task: FinishedTask) -> tuple[FinishedTask, Sequence[ResultBox]]:
    return task, result_boxes(task.snapshot, [CDN], began_at=NOW - 10, now=NOW)


def test_only_six_videos_load_their_beginning() -> None:
    elsewhere = FinishedTask(view("other"), video("https://other.example/v.mp4"), ())
    tasks = [elsewhere, *(FinishedTask(view(f"v{n}"), video(f"{CDN}/{n}.mp4"), ()) for n in range(8)), elsewhere]
    made = cards(map(with_results, tasks), ())
    assert [one.preload for one in made if one.look == "video"] == ["metadata"] * 6 + ["none"] * 2


def test_results_that_can_be_shown_come_first() -> None:
    urls = ["https://other.example/1.png", f"{CDN}/2.png"]
    snapshot = Snapshot(result={"images": [{"url": url} for url in urls]}, urls=tuple(urls))
    [made] = cards([with_results(FinishedTask(view(), snapshot, ()))], ())
    assert (made.look, [one.url for one in made.pictures], made.others) == ("image", urls[1:], 1)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.SUCCEEDED])
def test_a_task_that_did_not_succeed_shows_no_result(phase: Phase) -> None:
    task = FinishedTask(view(phase=phase), video(f"{CDN}/v.mp4"), ())
    [made] = cards([with_results(task)], ())
    assert made.look == ("failed" if phase is Phase.FAILED else "other")


def test_only_the_worst_state_of_the_last_finish_counts_per_endpoint() -> None:
    found = [
        delivery("chat", DeliveryState.DEAD, created_at=NOW - 50),
        delivery("chat", target="0"),
        delivery("chat", DeliveryState.WAITING, target="1", next_attempt_at=NOW + 5),
        delivery("hook", DeliveryState.WAITING, topic="task_progress"),
        delivery("hook"),
        delivery("crm", DeliveryState.WAITING),
        delivery("mail", DeliveryState.DEAD),
    ]
    assert notification_states(found, off={"crm", "hook"}) == [
        NotificationState("chat", DeliveryGroup.WAITING, NOW + 5),
        NotificationState("hook", DeliveryGroup.ACCEPTED),
        NotificationState("crm", DeliveryGroup.OFF),
        NotificationState("mail", DeliveryGroup.DEAD),
    ]
    assert notification_states([]) == []


@pytest.mark.parametrize(
    ("state", "held", "since"),
    [
        (AccountState(account="kling"), None, None),
        (AccountState(account="kling", blocked_at=NOW - 9), FactState.BLOCKED, NOW - 9),
        (AccountState(account="kling", wait_until_at=NOW + 30), FactState.HELD, NOW),
        (AccountState(account="kling", wait_until_at=NOW + 2), None, None),
        (AccountState(account="kling", wait_until_at=NOW - 9), None, None),
        (
            AccountState(account="kling", route_waits=(RouteWait(route="images", until_at=NOW + 90, reason="429"),)),
            None,
            None,
        ),
    ],
)
def test_a_row_says_why_its_task_is_not_polled(
    state: AccountState, held: FactState | None, since: float | None
) -> None:
    made = running_row(view(phase=Phase.RUNNING, ended_at=None), {"kling": state}, Estimates({}, {}), NOW)
    assert (made.held, made.bar.held_at) == (held, since)


def test_a_row_of_a_paused_account_is_held_since_then() -> None:
    pause = Pause(of=PauseOf.ACCOUNT, name="kling", since_at=NOW - 30, until_at=None)
    state = AccountState(account="kling", pause=pause)
    made = running_row(view(phase=Phase.RUNNING, ended_at=None), {"kling": state}, Estimates({}, {}), NOW)
    assert (made.held, made.bar.held_at) == (FactState.PAUSED, NOW - 30)


@pytest.mark.parametrize(("spread_s", "expected"), [(20.0, True), (40.0, False)])
def test_many_finishes_in_a_short_time_are_busy(spread_s: float, expected: bool) -> None:
    tasks = [
        FinishedTask(view(f"{n}", ended_at=NOW - spread_s * n / (MOST_CARDS - 1)), None, ()) for n in range(MOST_CARDS)
    ]
    assert MOST_CARDS / 20.0 > BUSY_PER_MINUTE / 60 > MOST_CARDS / 40.0
    assert is_busy(tasks, NOW) is expected
    assert not is_busy(tasks[:-1], NOW)


@pytest.mark.parametrize(
    ("need", "title", "detail", "buttons"),
    [
        (Need(kind=NeedKind.STORE_SLOW, seconds=2.5), "The store is slow", "takes longer than 2.5 s", ["Health"]),
        (
            Need(kind=NeedKind.DISK_FULL, count=123_456_789),
            "The disk of the store is nearly full: 123 MB left",
            "When it is full, genbridge stops polling and sending",
            ["Health"],
        ),
        (
            Need(
                kind=NeedKind.RESULT_EXPIRES,
                subject="hook",
                count=2,
                until_at=NOW + 240,
                task=WatchKey("kling", "a/b"),
                next_at=NOW + 600,
            ),
            "2 results expire before hook gets them",
            "The first is gone in 4 min. The next attempt is in 10 min.",
            ["See the task", "2 deliveries"],
        ),
        (
            Need(kind=NeedKind.FILES_REJECTED, subject="queue", count=3, since_at=NOW, detail="/q"),
            "3 queue files were rejected",
            "Each file is in /q/rejected, with the reason beside it.",
            ["Sources"],
        ),
        (
            Need(kind=NeedKind.ACCOUNT_BLOCKED, subject="kling", since_at=NOW, detail="HTTP 402"),
            "Account kling blocked since ",
            "The provider answered: HTTP 402.",
            ["Account"],
        ),
    ],
)
def test_each_problem_has_a_line_and_a_main_button(need: Need, title: str, detail: str, buttons: list[str]) -> None:
    drawn = rendered('{% import "needs.html" as about with context %}{{ about.lines([need]) }}', need=need)
    text = " ".join(unescape(_TAGS.sub("", drawn)).split())
    assert text.startswith(title)
    assert detail in text
    assert _BUTTONS.findall(drawn) == buttons
    assert drawn.count('class="button"') == 1


def rendered(source: str, **values: Any) -> str:
    words = Wording("en", UTC, NOW)
    template = environment().from_string(source)
    visitor = SimpleNamespace(may_act=True)
    return template.render(t=words.text, counted=words.counted, words=words, now=NOW, visitor=visitor, **values)


def first_view(**values: Any) -> str:
    """The view as a person reads it, without its frame."""
    page = framed(**values)
    return " ".join(unescape(_TAGS.sub(" ", page[page.index("<main") :])).split())


def framed(**values: Any) -> str:
    """The whole page."""
    visitor = Visitor(
        language="en", zone=UTC, is_utc=True, theme=None, right=Right.FULL, is_signed_in=False, base_path=""
    )
    frame = {"view": "now", "path": "/", "query": {}, "kept": [], "form_field": "x", "badges": Badges()}
    shown: dict[str, Any] = {
        "navigation": NAVIGATION,
        "notice": None,
        "needs": [],
        "no_daemon": None,
        "counts": SimpleNamespace(live=2, waiting=0, oldest_waiting_at=None),
        "today": FinishedSince(NOW, finished=1284, failed=61),
        "median_lag_s": None,
        "is_new": False,
        "queue": None,
        "kept_dead": 0,
        "paused": [],
    }
    more = {"runs": [], "cards": [], "is_busy": False, "answered_at": None, "is_starting": False, "is_failing": False}
    return render("now.html", visitor, Wording("en", UTC, NOW), {**frame, **shown, **more, **values})


def test_a_starting_daemon_is_shown() -> None:
    assert "genbridge is starting It reads its sources" in first_view(is_starting=True)


def test_a_healthy_state_shows_recent_activity() -> None:
    assert "All is well Last provider answer: 3 s ago" in first_view(answered_at=NOW - 3)
    assert "All is well No provider has answered since the start." in first_view()
    assert "Finished today 1,284 61 failed" in first_view()


def test_a_store_without_a_daemon_shows_only_that() -> None:
    need = Need(kind=NeedKind.NO_DAEMON, since_at=NOW - 60)
    other = Need(kind=NeedKind.STORE_SLOW, seconds=2.5)
    page = first_view(needs=[need, other], no_daemon=need)
    assert "No daemon works on this store since " in page
    assert "Nothing is polled and nothing is delivered until one runs." in page
    assert "The store is slow" not in page


def test_numbers_that_could_not_be_read_again_come_with_their_time() -> None:
    old = Badges(NeedCounts(dead=3, needs=2), as_of=NOW - 60)
    page = framed(badges=old)
    assert ' title="Numbers as of ' in page
    assert '<span class="vh">dead: </span>3</span>' in page
    assert "Numbers as of" not in framed(badges=Badges(NeedCounts(dead=3, needs=2)))


def test_a_busy_list_says_that_it_counts_new_ones() -> None:
    assert "Many tasks finish now." in first_view(is_busy=True)


def test_only_the_worst_of_many_problems_are_listed() -> None:
    needs = [Need(kind=NeedKind.ENDPOINT_DISABLED, subject=f"hook-{n}", since_at=NOW, detail="410") for n in range(20)]
    page = first_view(needs=needs)
    assert "20 things need you" in page
    assert page.count("disabled since") == 8
    assert "12 more things Health" in page


@pytest.mark.parametrize(
    ("action", "kind"),
    [("videos/text2video", "text2video"), ("images/generations", "images"), ("fal-ai/flux/dev", "dev"), (None, "")],
)
def test_a_running_row_says_in_a_word_what_is_generated(action: str | None, kind: str) -> None:
    running = view(phase=Phase.RUNNING, ended_at=None, action=action)
    assert running_row(running, {}, Estimates({}, {}), NOW).kind == kind


@pytest.mark.parametrize(
    ("said", "watched_s", "took_s"),
    [
        (Snapshot(created_ms=0, updated_ms=40_000), 0.01, 40.0),
        (Snapshot(created_ms=0, updated_ms=40_000), 300.0, 40.0),
        (Snapshot(), 300.0, 300.0),
        (Snapshot(), 0.01, None),
        (None, 0.01, None),
    ],
)
def test_a_card_says_how_long_the_provider_worked(said: Snapshot | None, watched_s: float, took_s: float) -> None:
    task = FinishedTask(view("one", added_at=NOW, ended_at=NOW + watched_s), said, ())
    assert cards([(task, ())], ())[0].took_s == took_s
