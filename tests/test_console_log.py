"""The log on a terminal: short lines that a person can read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from bridge import logs
from bridge.console_log import ConsoleLines
from bridge.screen import Screen, cells
from tests.cli.terminal import ESCAPES

AT = 1_762_000_000.0  # a timestamp
DAY_S = 86_400.0


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def line(event: str, level: str = "info", *, width: int = 80, marks: bool = True, **fields: Any) -> str:
    lines = ConsoleLines(lambda: Screen(width, 24, is_terminal=True, marks=marks), is_whole=False)
    return str(lines(None, level, {"event": event, "level": level, "timestamp": AT, **fields}))


def told(event: str, level: str = "info", **fields: Any) -> str:
    """The log line without its time."""
    return ESCAPES.sub("", line(event, level, width=300, **fields)).partition("  ")[2]


TASK: dict[str, Any] = {"account": "kling", "task_id": "t1"}
MOVED: dict[str, Any] = {"name": "a.txt", "kept_as": "a-1.txt", "reason": "odd"}
SENT: dict[str, Any] = {"endpoint": "hook", "task_id": "t1", "topic": "task_failed", "event_id": "evt_x", "attempts": 1}


@pytest.mark.parametrize(
    ("event", "level", "fields", "wanted"),
    [
        ("watch.finished", "info", {**TASK, "phase": "succeeded"}, "✓ kling/t1 succeeded"),
        ("watch.finished", "info", {**TASK, "phase": "failed", "reason": "odd"}, "✗ kling/t1 failed: odd"),
        ("watch.running", "info", {**TASK, "phase": "running"}, "  kling/t1 is running"),
        ("watch.added", "info", {"count": 3, "source": "queue"}, "  3 tasks added: queue"),
        ("discover.started", "info", {"account": "a"}, "  account a: watching new tasks of the provider's list"),
        ("endpoint.failing", "error", {"endpoint": "a", "reason": "odd"}, "✗ endpoint a keeps failing: odd"),
        (
            "watch.withdrawn",
            "info",
            {"count": 3, "source": "watchlist"},
            "  3 tasks withdrawn: no longer in the watchlist",
        ),
        ("delivery.accepted", "info", SENT, "✓ t1 accepted by hook"),
        ("delivery.accepted", "info", {**SENT, "attempts": 2}, "✓ t1 accepted by hook (attempt 2)"),
        ("delivery.accepted", "info", {**SENT, "task_id": ""}, "✓ task_failed accepted by hook"),
        ("delivery.deferred", "warning", {**SENT, "reason": "503"}, "! t1 not accepted by hook: 503 (attempt 1)"),
        (
            "account.blocked",
            "error",
            {"account": "kling", "reason": "401"},
            "✗ account kling blocked by the provider: 401",
        ),
        ("queue.taken", "info", {"files": 1, "tasks": 2, "first": "a.txt"}, "  queue: 2 tasks taken from a.txt"),
        (
            "queue.rejected",
            "warning",
            {**MOVED, "problems": 1, "taken": 0},
            "! queue: a.txt: moved to rejected/a-1.txt: odd",
        ),
        (
            "queue.rejected",
            "warning",
            {**MOVED, "problems": 3, "taken": 1},
            "! queue: a.txt: 1 task taken, the rest moved to rejected/a-1.txt: odd; 2 more mistakes in a-1.txt.reason",
        ),
        (
            "queue.left_alone",
            "warning",
            {"names": ["a.tmp", "b~"]},
            "! queue: ignored because of their names: a.tmp, b~",
        ),
        ("source.failed", "warning", {"source": "lines", "reason": "gone"}, "! lines cannot be read: gone"),
        ("pause.started", "info", {"endpoint": "hook", "seconds": 60.0}, "  endpoint hook paused for 60 s"),
        ("pause.ended", "info", {"account": "kling"}, "  account kling resumed"),
        (
            "account.paused",
            "warning",
            {"account": "k", "seconds": 9.2, "reason": "429"},
            "! account k must wait 9 s: 429",
        ),
        ("once.timed_out", "error", {"seconds": 2.0}, "✗ timed out after 2 s"),
        (
            "once.unfinished",
            "error",
            {"watches": 1, "deliveries": 3},
            "✗ unfinished: 1 live task; deliveries waiting: 3",
        ),
        (
            "discover.failed",
            "warning",
            {"account": "k", "reason": "5xx"},
            "! account k: the list of tasks cannot be read: 5xx",
        ),
        ("member.joined", "info", {}, "  member.joined"),
    ],
)
def test_an_event_is_one_short_sentence(event: str, level: str, fields: dict[str, Any], wanted: str) -> None:
    assert told(event, level, **fields) == wanted


def test_routine_lines_are_cut_and_warnings_are_wrapped() -> None:
    reason = "雨 because " * 30
    routine = line("watch.running", reason=reason, phase="running", **TASK)
    assert "\n" not in routine
    trouble = line("delivery.deferred", "warning", **{**SENT, "reason": reason})
    assert ESCAPES.sub("", trouble).count("because") == 30
    for one in (*routine.split("\n"), *trouble.split("\n")):
        assert cells(ESCAPES.sub("", one)) <= 80


def test_each_mistake_in_a_watchlist_begins_a_line() -> None:
    fields: dict[str, Any] = {
        "bad": 2,
        "problems": ["tasks.yaml:3: label: must be text", "tasks.yaml:4: id is missing"],
    }
    first, *mistakes = ESCAPES.sub("", line("watchlist.invalid", "error", **fields)).split("\n")
    assert first.endswith("watchlist: 2 mistakes, so no task is withdrawn")
    assert [one.strip() for one in mistakes] == fields["problems"]
    piped = ConsoleLines(lambda: Screen(80, 24, is_terminal=False, marks=False), is_whole=False)
    event = {"event": "watchlist.invalid", "level": "error", "timestamp": AT, **fields}
    assert piped(None, "error", event).endswith(
        "withdrawn; tasks.yaml:3: label: must be text; tasks.yaml:4: id is missing"
    )


def test_without_colors_the_level_is_a_word() -> None:
    assert line("delivery.deferred", "warning", marks=False, **SENT).partition("  ")[2].startswith("warning: t1 not")
    assert "\x1b" not in line("watch.finished", marks=False, phase="failed", **TASK)


def test_a_new_day_has_its_own_line() -> None:
    lines = ConsoleLines(lambda: Screen(80, 24, is_terminal=True, marks=False), is_whole=False)
    said = [lines(None, "", {"event": "daemon.ready", "level": "info", "timestamp": AT + at}) for at in (0, 1, DAY_S)]
    assert [one.count("\n") for one in said] == [0, 0, 1]


def test_debug_leaves_nothing_out() -> None:
    stream = io.StringIO()
    logs.set_up(level="debug", syntax="console", stream=stream)
    logs.get_logger().info("delivery.accepted", **SENT)
    assert "t1 accepted by hook topic=task_failed event_id=evt_x" in stream.getvalue()
