"""The text of `/metrics`, read by the parsers of Prometheus' own libraries and checked by promtool."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from bridge.domain.event import Topic
from bridge.domain.views import Counts
from bridge.http.exposition import OPENMETRICS, TEXT, content_type, exposition
from bridge.metrics import Metrics
from tests.http.monitoring_programs import promtool

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
NOTHING = Counts()
NOW = 1_762_000_000.0
Sample = tuple[str, tuple[tuple[str, str], ...]]


def shown(*, accounts: tuple[str, ...] = ("kling",), endpoints: tuple[str, ...] = ("hook",)) -> Metrics:
    metrics = Metrics()
    metrics.show(accounts=accounts, endpoints=endpoints)
    return metrics


def samples(metrics: Metrics, gauges: Counts | None = NOTHING, *, wanted: str = TEXT) -> dict[Sample, float]:
    """Every sample of a scrape, by name and labels."""
    text = exposition(metrics, gauges, now=NOW, wanted=wanted).decode()
    read: Callable[[str], Iterable[Metric]] = read_openmetrics if wanted == OPENMETRICS else read_text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html, */*;q=0.8", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; version=1.0.0; charset=utf-8", OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.4, text/plain;q=0.5", TEXT),
        ("application/openmetrics-text;q=nan;version", TEXT),
        (",;=,;;q=,", TEXT),
    ],
)
def test_the_accept_header_decides_the_format(accept: str, wanted: str) -> None:
    assert content_type(accept) == wanted


@pytest.mark.parametrize("wanted", [TEXT, OPENMETRICS])
def test_a_scrape_reads_the_counted_values(wanted: str) -> None:
    metrics = shown()
    metrics.account("kling").polls["running"] += 3
    metrics.account("kling").other_rate_limited += 1
    metrics.endpoint("hook").attempts["deferred"] += 2
    metrics.endpoint("hook").delivery_s.observe(0.3)
    metrics.events[Topic.TASK_SUCCEEDED] += 4
    found = samples(metrics, wanted=wanted)
    kling, hook = ("account", "kling"), ("endpoint", "hook")
    assert found["genbridge_polls_total", (kling, ("outcome", "running"))] == 3
    assert found["genbridge_polls_total", (kling, ("outcome", "failed"))] == 0
    assert found["genbridge_rate_limited_total", (kling,)] == 1
    assert found["genbridge_delivery_attempts_total", (hook, ("outcome", "deferred"))] == 2
    assert found["genbridge_events_total", (("topic", "task_succeeded"),)] == 4
    assert found["genbridge_delivery_seconds_bucket", (hook, ("le", "0.25"))] == 0
    assert found["genbridge_delivery_seconds_bucket", (hook, ("le", "0.5"))] == 1
    assert found["genbridge_delivery_seconds_bucket", (hook, ("le", "+Inf"))] == 1
    assert found["genbridge_delivery_seconds_sum", (hook,)] == 0.3


def test_the_store_gauges_cover_exactly_the_accounts_and_endpoints_in_the_settings() -> None:
    gauges = Counts(
        by_account={("kling", "running"): 7, ("removed", "running"): 9},
        waiting_by_endpoint={"hook": 2, "removed": 5},
        dead_by_endpoint={"hook": 1},
        oldest_by_endpoint={"hook": NOW - 90},
        blocked={"kling": "no credit", "removed": "no credit"},
    )
    found = samples(shown(endpoints=("chat", "hook")), gauges)
    assert found["genbridge_watches", (("account", "kling"), ("phase", "running"))] == 7
    assert found["genbridge_watches", (("account", "kling"), ("phase", "succeeded"))] == 0
    assert found["genbridge_account_blocked", (("account", "kling"),)] == 1
    assert found["genbridge_deliveries", (("endpoint", "hook"), ("state", "waiting"))] == 2
    assert found["genbridge_deliveries", (("endpoint", "hook"), ("state", "dead"))] == 1
    assert found["genbridge_outbox_oldest_seconds", (("endpoint", "hook"),)] == 90
    assert found["genbridge_outbox_oldest_seconds", (("endpoint", "chat"),)] == 0
    assert not [labels for _, labels in found if "removed" in dict(labels).values()]


def test_while_the_store_cannot_be_read_only_its_gauges_are_missing() -> None:
    with_store, without = samples(shown()), samples(shown(), None)
    missing = {name for name, _ in with_store} - {name for name, _ in without}
    assert missing == {
        "genbridge_watches",
        "genbridge_account_blocked",
        "genbridge_deliveries",
        "genbridge_outbox_oldest_seconds",
    }


@pytest.mark.parametrize("wanted", [TEXT, OPENMETRICS])
def test_quotes_backslashes_and_other_scripts_in_names_are_escaped(wanted: str) -> None:
    name = 'a "quoted" \\ name\n可灵'
    found = samples(shown(accounts=(name,)), wanted=wanted)
    assert found["genbridge_rate_limited_total", (("account", name),)] == 0


@pytest.mark.real
def test_promtool_reports_no_problem_with_the_metrics() -> None:
    assert promtool("check", "metrics", text=exposition(shown(), NOTHING, now=NOW, wanted=TEXT)) == ""
