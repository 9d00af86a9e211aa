"""Expected finish times that commands compute from the store, without a daemon."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

import pytest

from bridge.clock import SystemClock
from bridge.control.estimates import Estimates
from bridge.domain.durations.table import DurationKey, Table
from bridge.domain.filters import EVERY_WATCH
from bridge.http.page.running_rows import BarState, running_row
from tests.cli.shell import Shell
from tests.factories import make_wish

VIDEO = DurationKey("kling", "videos/text2video")


def seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp() - SystemClock().now()


@pytest.fixture
def learned(shell: Shell) -> Shell:
    """Two tasks have just been added. For one of them, it is known how long similar tasks take."""
    shell.settings()
    table = Table()
    for _ in range(30):
        for duration_s in (80.0, 100.0, 120.0):
            table.seen(0.0, duration_s)
            table.ended([duration_s], succeeded=True)
    for _ in range(30):
        table.seen(0.0, 4000.0)  # these still run
    with_store = shell.store()
    with_store.learn({VIDEO: table})
    with_store.close()
    assert shell("add", "a").code == 0
    assert shell("add", "b", "--action", "images/generations").code == 0
    return shell


def test_list_and_show_have_the_expected_finish_and_its_range(learned: Shell) -> None:
    other, one = learned("list", "--json").json
    assert (one["id"], other["id"]) == ("a", "b")
    low, middle, high = (seconds(one[key]) for key in ("eta_low_at", "eta_at", "eta_high_at"))
    assert 55 < low < 95 < middle + 10
    assert middle < 115 < high < 160
    assert (other["eta_low_at"], other["eta_at"], other["eta_high_at"]) == (None, None, None)
    shown = learned("show", "a", "--json").json
    assert shown["eta_at"] is not None
    table = learned("list").out
    assert "ETA" in table
    assert "in 1m" in table


def test_explain_and_wait_say_it_too(learned: Shell) -> None:
    assert "80 % of similar tasks would finish in " in learned("explain", "a").out
    assert "80 %" not in learned("explain", "b").out
    waited = learned("wait", "a", "b", "--timeout", "0.1s")
    assert "kling/a: submitted, done in " in waited.err
    assert "kling/b: submitted\n" in waited.err


def test_every_command_and_the_page_call_the_same_task_late(learned: Shell) -> None:
    now = SystemClock().now()
    with closing(learned.store()) as store:
        for age_s in (100, 180):
            wish = make_wish(task_id=f"age-{age_s}", action=VIDEO.action)
            store.add([wish], source="cli", now=now - age_s)
        views, known = store.list_watches(EVERY_WATCH), Estimates(store.durations(), {"kling": "kling"})
        late = {view.task_id: running_row(view, {}, known, now).bar.state is BarState.LATE for view in views}
    assert late == {"age-180": True, "age-100": False, "a": False, "b": False}
    rows = {row.split()[1]: row for row in learned("list").out.splitlines()}
    assert "longer than usual" in rows["age-180"]
    assert " in " in rows["age-100"]
    assert "it runs longer than usual" in learned("explain", "age-180").out
    assert "80 % of similar tasks would finish in " in learned("explain", "age-100").out
    waited = learned("wait", "age-180", "age-100", "--timeout", "0.1s").err
    assert "kling/age-180: submitted, longer than usual\n" in waited
    assert "kling/age-100: submitted" in waited


def test_finished_tasks_have_no_forecast(learned: Shell) -> None:
    assert learned("withdraw", "a").code == 0
    shown = learned("show", "a", "--json").json
    assert shown["eta_at"] is None
