"""`explain`: the history of a task, what comes next, and why it waits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bridge.control.explanation import ADDED
from bridge.domain.change import AccountAskedToWait
from bridge.domain.event import Event, Parcel
from bridge.domain.source import SourceKind
from bridge.store import DaemonLock, Store
from tests.cli.kept_tasks import DELIVERY_KEYS, FAR, LIVE, RFC3339
from tests.cli.shell import SETTINGS, Shell
from tests.factories import NOW
from tests.store.making import Teller, due, make_block, make_deferred, make_end, make_note


def test_explain_shows_the_history_in_order(shell: Shell, store: Store) -> None:
    story = shell("explain", "done").out
    parts = [
        "kling/done: succeeded (A film)",
        "added from the queue folder",
        "2025-11-01T12:26:40.000Z  added: from the queue folder",
        "2025-11-01T12:27:40.000Z  succeeded",
        "1 x transient, the last",
        "502 \\x1b[2J",
        "https://cdn.example.com/v1.mp4",
        "not delivered: ftp://cdn.example.com/v1.mp4: scheme",
        "task_succeeded to hook: accepted",
        "attempt 1: deferred after 0.1s: 503",
        "attempt 2: accepted after 0.1s: 200",
    ]
    places = [story.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
    assert "next poll" not in story


def test_explain_says_in_words_why_a_task_is_watched_again(shell: Shell) -> None:
    assert shell("add", "mine").code == 0
    assert shell("poll", "mine").code == 0
    assert shell("withdraw", "mine").code == 0
    assert shell("add", "mine").code == 0
    story = shell("explain", "mine").out
    assert "  poll requested: by a person\n" in story
    assert "  watched again: on the command line\n" in story
    assert "poll asked" not in story
    assert "revived" not in story
    assert "revived" in {one["what"] for one in shell("explain", "mine", "--json").json["history"]}


def test_explain_says_where_a_task_came_from(shell: Shell) -> None:
    assert shell("add", "mine").code == 0
    story = shell("explain", "mine").out
    assert "generation 1, added on the command line\n" in story
    assert "  added: on the command line\n" in story
    assert shell("explain", "mine", "--json").json["added_by"] == ["cli"]
    assert shell("withdraw", "mine").code == 0
    assert "  withdrawn: by a person\n" in shell("explain", "mine").out
    assert set(SourceKind) <= ADDED.keys()


def test_explain_has_the_same_for_programs(shell: Shell, store: Store) -> None:
    story = shell("explain", "done", "--json").json
    assert list(story) == [
        *("account", "id", "phase", "generation", "added_by", "history", "answers", "urls_not_delivered"),
        *("next_poll", "deliveries"),
    ]
    assert (story["account"], story["id"], story["phase"]) == ("kling", "done", "succeeded")
    assert story["added_by"] == ["queue"]
    assert [(one["what"], one["detail"]) for one in story["history"]] == [
        ("added", "queue"),
        ("succeeded", None),
    ]
    assert [(one["outcome"], one["count"], one["last_reason"]) for one in story["answers"]] == [
        ("transient", 1, "502 \x1b[2J"),
        ("succeeded", 1, None),
    ]
    assert story["urls_not_delivered"][0].startswith("ftp://")
    assert story["next_poll"] is None
    [delivery] = story["deliveries"]
    assert list(delivery) == [*DELIVERY_KEYS, "summary", "attempts_made"]
    assert delivery["summary"] == "accepted"
    assert [list(one.values()) for one in delivery["attempts_made"]] == [
        ["2025-11-01T12:27:41.000Z", "deferred", "503", 0.1],
        ["2025-11-01T12:27:51.000Z", "accepted", "200", 0.1],
    ]


def test_explain_json_says_the_next_step_and_why_a_delivery_waits(shell: Shell, store: Store) -> None:
    when, *more = shell("explain", "live", "--json").json["next_poll"]
    assert when.startswith("in ")
    assert "no daemon is running on this store: `genbridge run` starts one" in more
    store.commit([make_end(LIVE)], Teller(("hook", "")))
    shell("pause", "hook", "--for", "2h")
    [delivery] = shell("explain", "live", "--json").json["deliveries"]
    assert delivery["summary"].startswith("waiting: the endpoint is paused until ")
    assert delivery["next_attempt_at"] in delivery["summary"]


def test_explain_shows_the_next_step_and_the_reason_for_its_delay(shell: Shell, store: Store) -> None:
    story = shell("explain", "live").out
    assert re.search(r"next poll: in \d+d \d+h; a tenth of its age", story)
    assert "no daemon is running on this store" in story
    store.commit([make_block(), AccountAskedToWait(account="kling", until_at=FAR)], Teller())
    story = shell("explain", "live").out
    assert re.search(r"account kling has been blocked for \d+d \d+h: ", story)
    assert "within 10 s, to see whether the provider accepts its blocked account" in shell("poll", "live").out
    assert "401: key revoked" in story
    assert re.search(r"account kling waits until \S+Z \(in .*\): the provider asked to wait", story)
    shell.settings({"accounts": {"other": SETTINGS["accounts"]["kling"]}})
    assert "next poll: never; the settings have no account kling" in shell("explain", "live").out


def test_explain_says_that_a_delivery_waits_for_an_earlier_one(shell: Shell, store: Store) -> None:
    store.commit([make_end(LIVE)], Teller(("hook", "")))
    [waiting] = due(store, now=FAR, queue=("hook", ""))
    store.commit([make_deferred(waiting, next_attempt_at=FAR)], Teller())
    assert shell("add", "live", "--again").code == 0
    again = make_end(LIVE)
    store.commit([replace(again, note=again.note._replace(generation=2))], Teller(("hook", "")))
    first, second = re.findall(r"task_succeeded to hook: (.*)", shell("explain", "live").out)
    assert re.fullmatch(r"waiting, next attempt in \d+d \d+h", first)
    assert second.startswith(f"{first}: an earlier message is retried at ")


def test_explain_of_an_overdue_poll_names_no_past_wait(shell: Shell, store: Store) -> None:
    why = "similar tasks usually take 8 s to 11 s (12 tasks seen); time between polls: 2 s"
    store.note([make_note(LIVE, next_poll_at=FAR, next_poll_why=why)])
    assert f"; {why}\n" in shell("explain", "live").out
    store.note([make_note(LIVE, next_poll_at=NOW + 3, next_poll_why=why)])
    story = shell("explain", "live").out
    assert re.search(
        r"next poll: as soon as possible \(due .* ago\); similar tasks usually take .* \(12 tasks seen\)\n", story
    )
    [row] = [row for row in shell("list").out.splitlines() if " live " in row]
    assert re.search(r" ago +- +now +", row)
    store.commit([AccountAskedToWait(account="kling", until_at=FAR)], Teller())
    assert re.search(
        r"next poll: in \d+d .*; similar tasks usually take .* \(12 tasks seen\)\n", shell("explain", "live").out
    )


def test_explain_says_why_a_delivery_waits(shell: Shell, store: Store) -> None:
    bad = shell("explain", "bad").out
    assert "risk control" in bad
    assert re.search(r"task_failed to hook: dead; `genbridge redeliver evt_\w+ --endpoint hook` sends it again\n", bad)
    tell = Teller(("hook", ""), ("chat", "1:abc"), ("gone", ""))
    store.commit([make_end(LIVE)], tell)
    [delivery] = store.due("hook", "", now=FAR, limit=9)[0]
    store.commit([make_deferred(delivery, next_attempt_at=FAR, disables=True)], tell)
    story = shell("explain", "live").out
    assert "task_succeeded to hook: waiting: the endpoint is disabled" in story
    assert "task_succeeded to chat[1:abc]: waiting, next attempt" in story
    assert "task_succeeded to gone: waiting: this endpoint is not in the settings" in story


def test_explain_says_that_nobody_was_notified(shell: Shell, store: Store) -> None:
    assert "no notifications" not in shell("explain", "live").out + shell("explain", "done").out
    store.commit([make_end(LIVE)], lambda event: [])
    assert "\nno notifications: no route sends this to an endpoint" in shell("explain", "live").out


def test_a_task_that_was_never_polled_has_a_short_history(shell: Shell) -> None:
    shell("add", "a")
    story = shell("explain", "a").out
    assert "none yet" in story
    assert "next poll: as soon as possible" in story
    assert "due as well" not in story


def test_explain_says_how_many_other_tasks_wait_for_the_limits(shell: Shell) -> None:
    shell.settings({"accounts": {"kling": {**SETTINGS["accounts"]["kling"], "limits": {"rate": 3}}}})
    shell("add", *(f"t{number}" for number in range(5)))
    story = shell("explain", "t0").out
    assert "4 other tasks of account kling are due, too; its limit is 3 requests a second" in story
    assert "a second, and less for a minute after a 429" in story, "it may be halved now"


def test_explain_names_the_limit_of_the_provider_if_the_account_sets_none(shell: Shell) -> None:
    shell.settings({"accounts": {"wan": {"provider": "dashscope", "api_key": "k12345"}}})
    shell("add", *(f"t{number}" for number in range(30)))
    assert "its limit is 20 requests a second" in shell("explain", "t0").out


def test_explain_says_that_copies_are_made_and_what_waits_for_them(shell: Shell, store: Store) -> None:
    def parcels(event: Event) -> Sequence[Parcel]:
        due_at = {"hook": FAR, "@archive": -0.8}
        return [Parcel(endpoint=name, target="", body=b"{}", due_at=at) for name, at in due_at.items()]

    shell.settings({"archive": {"to": "archive/"}})
    store.commit([make_end(LIVE)], parcels)
    with DaemonLock(shell.folder / "state.db"):
        story = shell("explain", "live").out
    assert "task_succeeded to @archive: waiting: its results are being copied, or wait for other copies\n" in story
    assert re.search(r"task_succeeded to hook: waiting for the copies of its results until \S+Z \(in ", story)
    idle = shell("explain", "live").out
    assert "task_succeeded to @archive: waiting, next attempt now\n" in idle, "no daemon makes them"
    [copy] = [one for one in shell("deliveries", "--json").json if one["endpoint"] == "@archive"]
    assert RFC3339.fullmatch(copy["next_attempt_at"])
