"""A real Prometheus scrapes a real daemon, and a real Alertmanager reports the problems."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.http.monitoring_programs import program
from tests.http.site import READ_TOKEN, Site, free_port, running_site
from tests.http.test_monitoring import ALERTS, exposed
from tests.programs import ended
from tests.world import REFUSED, until

pytestmark = pytest.mark.usefixtures("unmeasured")


def impatient_rules() -> dict[str, Any]:
    """The shipped alert rules, without their waiting times."""
    rules: dict[str, Any] = yaml.safe_load(ALERTS.read_text())
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["for"] = "0s"
    return rules


@contextmanager
def started(folder: Path, name: str, *options: str) -> Iterator[str]:
    """Run a program on a free port of loopback until the end of the block. Yields its URL when it answers."""
    port = free_port()
    with (folder / f"{name}.log").open("wb") as log:
        command = [program(name), *options, f"--web.listen-address=127.0.0.1:{port}"]
        with ended(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)):
            url = f"http://127.0.0.1:{port}"
            until(lambda: is_up(f"{url}/-/ready"), seconds=10, what=f"{name} is ready")
            yield url


def is_up(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def alertmanager(folder: Path, webhook: str) -> Iterator[str]:
    """Run an Alertmanager that sends every alert to this webhook."""
    receiver = {"name": "people", "webhook_configs": [{"url": webhook}]}
    waits = {"group_wait": "100ms", "group_interval": "1s", "repeat_interval": "1h"}
    path = folder / "alertmanager.yaml"
    path.write_text(json.dumps({"route": {"receiver": "people", **waits}, "receivers": [receiver]}))
    options = [f"--config.file={path}", f"--storage.path={folder / 'alerts'}", "--cluster.listen-address="]
    with started(folder, "prometheus-alertmanager", *options) as url:
        yield url


@contextmanager
def prometheus(folder: Path, site: Site, alerts_to: str) -> Iterator[str]:
    """Run a Prometheus that scrapes the site every second with the read token, as docs/monitoring.md says."""
    (folder / "rules.yaml").write_text(json.dumps(impatient_rules()))
    (folder / "token").write_text(READ_TOKEN)
    job = {
        "job_name": "genbridge",
        "authorization": {"credentials_file": str(folder / "token")},
        "static_configs": [{"targets": [site.url.removeprefix("http://")]}],
    }
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yaml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerts_to.removeprefix("http://")]}]}]},
        "scrape_configs": [job],
    }
    path = folder / "prometheus.yaml"
    path.write_text(json.dumps(settings))
    options = [f"--config.file={path}", f"--storage.tsdb.path={folder / 'series'}"]
    with started(folder, "prometheus", *options) as url:
        yield url


def query(url: str, expression: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": expression}, trust_env=False).json()
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def reported(site: Site) -> dict[str, dict[str, str]]:
    """The alerts that reached the webhook, by name, with their labels."""
    groups = [json.loads(told.body) for told in list(site.world.received) if told.path == "/alerts"]
    alerts = [alert for group in groups for alert in group["alerts"] if alert["status"] == "firing"]
    return {alert["labels"]["alertname"]: alert["labels"] for alert in alerts}


@pytest.mark.real
@pytest.mark.long
def test_prometheus_scrapes_every_metric_and_alerts_fire(
    tmp_path: Path,
) -> None:
    program("prometheus"), program("prometheus-alertmanager")
    with running_site(tmp_path) as site:
        webhook = f"http://127.0.0.1:{site.world.receiver_port}/alerts"
        with alertmanager(tmp_path, webhook) as alerts, prometheus(tmp_path, site, alerts) as url:
            until(lambda: bool(query(url, 'up{job="genbridge"} == 1')), seconds=10, what="a scrape")
            names = {series["metric"]["__name__"] for series in query(url, '{__name__=~"genbridge_.+"}')}
            assert {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in names} == (
                exposed().keys()
            )
            site.world.receive = lambda event_id, times: 503 if event_id else 200
            site.add("told-in-vain", seconds=0)
            until(lambda: bool(site.world.received), seconds=10, what="an attempt")
            site.world.fault = lambda task_id: REFUSED
            site.add("refused")
            until(
                lambda: {"GenbridgeAccountBlocked", "GenbridgeEndpointFails"} <= reported(site).keys(),
                seconds=15,
                what="both alerts at the webhook",
            )
            found = reported(site)
            assert found["GenbridgeAccountBlocked"]["account"] == "kling"
            assert found["GenbridgeEndpointFails"]["endpoint"] == "hook"
