"""`/metrics` of a real daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.http.api_route import ApiCall
from bridge.http.exposition import OPENMETRICS, TEXT
from bridge.http.status_routes import healthz
from tests.http.monitoring_programs import promtool
from tests.http.site import Site, running_site
from tests.world import REFUSED, until

KLING = {"account": "kling"}
HOOK = {"endpoint": "hook"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


def value(client: httpx.Client, name: str, **labels: str) -> float | None:
    """The value of a sample in a scrape now. None if there is no such sample."""
    text = client.get("/metrics").text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


def reach(client: httpx.Client, wanted: float, name: str, **labels: str) -> None:
    """Wait until a sample has this value."""
    until(lambda: value(client, name, **labels) == wanted, seconds=10, what=f"{name} {labels} {wanted}")


def test_the_read_token_is_enough_and_requests_without_it_are_refused(site: Site) -> None:
    assert site.reader.get("/metrics").status_code == 200
    assert site.stranger.get("/metrics").status_code == 401


@pytest.mark.parametrize(
    ("accept", "content_type"), [("text/plain", TEXT), ("application/openmetrics-text;version=1.0.0", OPENMETRICS)]
)
def test_the_format_is_the_requested_one(site: Site, accept: str, content_type: str) -> None:
    answer = site.reader.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"] == content_type
    assert answer.text.endswith("# EOF\n") == (content_type == OPENMETRICS)


def test_a_task_that_finished_and_its_webhook_are_counted(site: Site) -> None:
    before = value(site.reader, "genbridge_polls_total", **KLING, outcome="succeeded")
    assert before is not None
    site.add("counted", seconds=0)
    reach(site.reader, before + 1, "genbridge_polls_total", **KLING, outcome="succeeded")
    reach(site.reader, before + 1, "genbridge_delivery_attempts_total", **HOOK, outcome="accepted")
    reach(site.reader, before + 1, "genbridge_watches", **KLING, phase="succeeded")
    assert value(site.reader, "genbridge_events_total", topic="task_succeeded") == before + 1
    assert value(site.reader, "genbridge_detection_seconds_count") == before + 1
    assert value(site.reader, "genbridge_delivery_seconds_count", **HOOK) == before + 1
    assert value(site.reader, "genbridge_deliveries", **HOOK, state="waiting") == 0
    commits = value(site.reader, "genbridge_store_commit_seconds_count")
    assert commits is not None
    assert commits >= 2
    until(lambda: bool(value(site.reader, "genbridge_loop_lag_seconds_count")), seconds=5, what="a measured lag")


@pytest.mark.real
def test_promtool_accepts_what_a_daemon_serves(site: Site) -> None:
    assert promtool("check", "metrics", text=site.reader.get("/metrics").content) == ""


def test_a_reload_adds_accounts_and_endpoints_with_0_and_removes_them_again(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        path = tmp_path / "genbridge.yaml"
        settings = json.loads(path.read_text())
        accounts, endpoints = settings["accounts"], settings["endpoints"]
        more = {
            **settings,
            "accounts": {**accounts, "second": accounts["kling"]},
            "endpoints": {**endpoints, "other": endpoints["hook"]},
        }
        path.write_text(json.dumps(more))
        reach(site.reader, 0, "genbridge_polls_total", account="second", outcome="running")
        assert value(site.reader, "genbridge_delivery_attempts_total", endpoint="other", outcome="accepted") == 0
        assert value(site.reader, "genbridge_account_blocked", account="second") == 0
        path.write_text(json.dumps(settings))
        until(lambda: '"second"' not in site.reader.get("/metrics").text, seconds=10, what="the account is gone")
        assert '"other"' not in site.reader.get("/metrics").text


def test_a_blocked_account_is_1(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        assert value(site.reader, "genbridge_account_blocked", **KLING) == 0
        site.world.fault = lambda task_id: REFUSED
        site.add("refused")
        reach(site.reader, 1, "genbridge_account_blocked", **KLING)
        assert value(site.reader, "genbridge_polls_total", **KLING, outcome="auth_error") == 1


@pytest.mark.parametrize(("is_alive", "status"), [(True, 200), (False, 503)])
async def test_healthz_fails_exactly_when_the_watchdog_would_restart_the_daemon(is_alive: bool, status: int) -> None:
    services: Any = SimpleNamespace(is_alive=lambda: is_alive)
    found = await healthz.handle(cast(ApiCall, SimpleNamespace(services=services)))
    assert getattr(found, "status_code", 200) == status
