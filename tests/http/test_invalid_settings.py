"""A running daemon whose settings file became invalid: `status`, the API, the page and the metrics say so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fork_server import completed
from tests.http.page.browsing import Browser, heading
from tests.http.site import Site, running_site
from tests.world import until

MISTAKE = re.compile(r"genbridge\.yaml:\d+:\d+: .*webhook")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path) as running:
        yield running


def status(site: Site) -> str:
    return completed("status", "--config", site.folder / "genbridge.yaml").stdout


def settings_of(site: Site) -> dict[str, Any]:
    [found] = site.client.get("/api/v1/status").json()["settings"]
    return dict(found)


def test_an_invalid_settings_file_shows_everywhere_until_it_is_valid_again(site: Site) -> None:
    path = site.folder / "genbridge.yaml"
    good = path.read_text()
    until(lambda: settings_of(site)["read_at"] is not None, seconds=20, what="the settings in status")
    before = settings_of(site)
    assert before["path"] == str(path)
    assert before["read_at"].endswith("Z")
    assert (before["invalid_since"], before["mistake"], before["mistakes"]) == (None, None, 0)
    assert re.search(r"^settings +\S+genbridge\.yaml, read .* ago$", status(site), re.MULTILINE)
    assert metric(site) == 0

    broken = json.loads(good)
    broken["endpoints"]["hook"] |= {"type": "webhok"}
    broken["polling"] = {"timeuot": "3s"}
    path.write_text(json.dumps(broken, indent=1))
    until(lambda: settings_of(site)["invalid_since"] is not None, seconds=20, what="the invalid file in status")
    found = settings_of(site)
    assert found["read_at"] == before["read_at"]
    assert MISTAKE.search(found["mistake"])
    assert found["mistakes"] == 2
    said = status(site)
    assert re.search(
        r"^invalid +\S+genbridge\.yaml, since 20\S+Z \(.* ago\): the settings read .* stay", said, re.MULTILINE
    )
    assert MISTAKE.search(said)
    assert "; 1 more mistake in the log (settings.invalid)" in said
    assert metric(site) > 0
    with closing(Browser(site)) as browser:
        now, health = browser.get("/").text, browser.get("/health").text
        assert "The settings file has been invalid since " in now
        assert MISTAKE.search(now)
        assert heading(health) == "The settings file is invalid"
        assert "Settings read" in health
        assert MISTAKE.search(health)

        path.write_text(json.dumps(broken))  # another mistake: the time is still that of the first one
        until(lambda: ":1:" in settings_of(site)["mistake"], seconds=20, what="the place in the new file")
        assert settings_of(site)["invalid_since"] == found["invalid_since"]

        path.write_text(good)
        until(lambda: settings_of(site)["invalid_since"] is None, seconds=20, what="valid settings")
        assert settings_of(site)["read_at"] > before["read_at"]
        until(lambda: heading(browser.get("/health").text) == "All is well", seconds=20, what="health")
    assert metric(site) == 0
    assert site.daemon.stop() == 0
    assert not re.search(r"^(settings|invalid) ", status(site), re.MULTILINE), "no daemon, no settings in force"


def metric(site: Site) -> float:
    [line] = re.findall(r"^genbridge_settings_invalid_seconds (.+)$", site.client.get("/metrics").text, re.MULTILINE)
    return float(line)
