"""The metrics in code, docs, alert rules and dashboard are the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from bridge.domain.views import Counts
from bridge.http.exposition import OPENMETRICS, exposition
from bridge.metrics import ATTEMPT_OUTCOMES, CALLBACK_OUTCOMES, POLL_OUTCOMES, Metrics
from tests.http.monitoring_programs import promtool

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = (DOCS / "monitoring.md").read_text()
ALERTS: Final = DOCS / "monitoring/alerts.yaml"
CASES: Final = Path(__file__).parent / "alerts_test.yaml"
DASHBOARD: Final[dict[str, Any]] = json.loads((DOCS / "monitoring/dashboard.json").read_text())
RULES: Final[list[dict[str, Any]]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES: Final = {"$__rate_interval": "5m", "$account": ".*", "$endpoint": ".*", "$instance": ".*"}
METRIC: Final = re.compile(r"\bgenbridge_\w+")


def exposed() -> dict[str, tuple[str, frozenset[str]]]:
    """Every metric that is served, by the name that queries use: its type and labels."""
    metrics = Metrics()
    metrics.show(accounts=["kling"], endpoints=["hook"])
    nothing = Counts()
    text = exposition(metrics, nothing, now=0.0, wanted=OPENMETRICS).decode()
    found = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]  # so in the library
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = family.type, frozenset(labels - {"le"})
    return found


def queried(expression: str) -> set[str]:
    """The metrics in a query, with the names of `exposed`."""
    return {re.sub(r"_seconds_(bucket|sum|count)$", "_seconds", name) for name in METRIC.findall(expression)}


def expressions() -> list[str]:
    """Every query of the dashboard, with its variables filled in."""
    found = [str(target["expr"]) for panel in PANELS for target in panel["targets"]]
    for name, value in VARIABLES.items():
        found = [text.replace(name, value) for text in found]
    return found


def test_the_docs_have_exactly_one_row_for_each_metric() -> None:
    rows = re.findall(r"^\| `(genbridge_\w+)` \| (\w+) \| [^|]+ \| ([^|]+) \| .+ \|$", PAGE, re.MULTILINE)
    described = {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert described == exposed()


def test_the_page_names_every_outcome() -> None:
    section = PAGE.split("\n## Metrics", 1)[1].split("\n## ", 1)[0]
    assert {f"`{outcome}`" for outcome in (*POLL_OUTCOMES, *CALLBACK_OUTCOMES, *ATTEMPT_OUTCOMES)} <= set(
        re.findall(r"`\w+`", section)
    )


def test_the_docs_have_exactly_one_row_for_each_alert() -> None:
    assert re.findall(r"^\| `(Genbridge\w+)` \|", PAGE, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_the_rules_query_metrics_that_are_served() -> None:
    assert set().union(*(queried(rule["expr"]) for rule in RULES)) <= exposed().keys()


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    assert set().union(*map(queried, expressions())) == exposed().keys()


def test_dashboard_panels_have_unique_ids_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        columns, lines = range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])
        taken = {(x, y) for x in columns for y in lines}
        assert not taken & places, panel["title"]
        assert max(columns) < 24
        places |= taken


def test_every_panel_says_what_it_shows() -> None:
    assert [panel["title"] for panel in PANELS if not panel["description"]] == []


@pytest.mark.real
def test_promtool_accepts_the_rules() -> None:
    assert f"SUCCESS: {len(RULES)} rules found" in promtool("check", "rules", ALERTS)


@pytest.mark.real
def test_every_alert_fires_when_it_should_and_only_then() -> None:
    cases = yaml.safe_load(CASES.read_text())["tests"]
    fired = {case["alertname"] for test in cases for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in RULES}
    assert "SUCCESS" in promtool("test", "rules", CASES)


@pytest.mark.real
def test_prometheus_can_run_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"query:{place}", "expr": expression} for place, expression in enumerate(expressions())]
    path = tmp_path / "queries.yaml"
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", path)
