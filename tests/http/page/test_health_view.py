"""The health view: what is not well comes first, and what must stay secret is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.config.endpoint_settings import Apprise, Webhook
from bridge.config.model import Account
from bridge.control.health_facts import EndpointFacts, FactState
from bridge.control.rings import Point
from bridge.domain.page_views import BoundedCount
from bridge.http.page.health_view import MOST_ROWS, Rows, _lags, place_of_account
from tests.fork_server import completed
from tests.http.page.browsing import Browser, forms, heading
from tests.http.site import READ_TOKEN, Site, running_site
from tests.world import HOOK_KEY, KEY, no_fault, until


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("health")
    with running_site(folder, delivery={"retries": ["0.1s"]}, webhooks=("good", "gone", "bad")) as running:
        yield running


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    with closing(Browser(site)) as opened:
        yield opened


def states(page: str, kind: str) -> list[tuple[str, str]]:
    """The name and the state of each account or endpoint, in the order of the page."""
    return re.findall(rf'<tr data-part="{kind} (\S+)">.*?<span class="st [^"]*"><svg.*?</svg>([^<]+)<', page, re.DOTALL)


def finish(site: Site, *ids: str) -> None:
    site.add(*ids, seconds=0.0)
    until(
        lambda: all(site.client.get("/api/v1/task", params={"id": one}).json()["phase"] == "succeeded" for one in ids),
        seconds=20,
        what="finished tasks",
    )


def test_at_first_everything_is_healthy_and_no_chart_is_drawn(site: Site, browser: Browser) -> None:
    page = browser.get("/health").text
    assert heading(page) == "All is well"
    assert "The daemon runs, and the store answers. 1 of 1 accounts can be polled." in page
    assert states(page, "account") == [("kling", "Well")]
    assert states(page, "endpoint") == [("good", "Well"), ("gone", "Well"), ("bad", "Well")]
    for alternative in (
        "Nothing finished in the last day",
        r"Nothing was delivered since [\d:]+",
        "No task has finished yet",
    ):
        assert re.search(f'role="img" aria-label="{alternative}"', page)
    assert (
        page.count("not known yet") >= 1 + 1 + 3
    )  # how long tasks take, how fast a provider and three receivers answer
    assert "style=" not in page
    assert [form["endpoint"] for form in forms(page, "test")] == ["good", "gone", "bad"]


def test_problems_come_first_with_their_buttons(site: Site, browser: Browser) -> None:
    site.world.hooks = {"/gone": (410, b"<b>moved</b>", {}), "/bad": (500, b"", {})}
    finish(site, "one", "two")
    wanted = re.compile(r"\d dead deliveries to bad, gone is disabled")  # two finishes, and that gone is disabled

    def is_told() -> bool:
        page = browser.get("/health").text
        return bool(wanted.fullmatch(heading(page))) and "Failing and retried automatically: bad." in page

    until(is_told, seconds=20, what="dead deliveries")
    page = browser.get("/health").text
    assert heading(browser.get("/").text) == "Two things need you"  # a retry needs no person
    assert "Failing and retried automatically: bad." in page
    assert [name for name, _ in states(page, "endpoint")] == ["gone", "bad", "good"]
    assert [state for _, state in states(page, "endpoint")] == ["Disabled", "Failing", "Well"]
    assert [form["endpoint"] for form in forms(page, "enable")] == ["gone"]
    assert "&lt;b&gt;moved" in page
    assert 'href="/deliveries?state=dead&amp;endpoint=bad"' in page
    drawn = "Finished per hour over a day: most 2 at "  # read at most once a second
    until(lambda: drawn in browser.get("/health").text, seconds=10, what="a chart of both tasks")
    assert re.search(r'aria-label="Polls per task: kling [\d.]+"', page)
    assert re.search(r"From finish to delivery since [\d:]+: now [\d.]+ (?:ms|s) in the median", page)
    answers = re.findall(r'<td class="opt nw">\s*([^<]+)<small>95 of 100: ([^<]+)</small></td>', page)
    assert len(answers) == 4  # the account and three endpoints
    assert all(re.fullmatch(r"\d+ ms|\d.*? s", span) for pair in answers for span in pair)
    assert re.search(r"<dt>Memory</dt><dd>\d+(\.\d)? MB</dd>", page)


def test_a_chart_shows_no_data_before_the_daemon_started(site: Site, browser: Browser) -> None:
    page = browser.get("/health").text
    began = re.search(r"<dt>Running since</dt><dd><time [^>]*>([\d:]+)</time>", page)
    assert began is not None
    assert f"<small>no data before {began[1]}</small>" in page
    assert re.search(r'<rect class="unknown" width="[34]\d\d\.\d" ', page)
    most = re.search(r"<small>most ([^,]+), at ([\d:]+)</small>", page)
    assert most is not None
    assert most[1] != "0 s"
    assert most[2] >= began[1]


def test_the_chart_of_a_daemon_that_runs_for_days_is_whole() -> None:
    day = [Point(at=300.0 * place, value=None) for place in range(288)]
    high = [*day[:-1], Point(at=day[-1].at, value=2.5)]
    old = _lags(day, high, began_at=-1e6, ahead=1000.0)
    assert (old.unknown, old.since_at, old.most_at) == (0.0, 1000.0, 300.0 * 287 + 1000)
    half = _lags(day, high, began_at=300.0 * 144, ahead=0.0)
    assert half.unknown == pytest.approx(50, abs=0.3)
    assert half.since_at == 300.0 * 144
    young = _lags(day, high, began_at=300.0 * 287 + 200, ahead=0.0)
    assert (young.unknown, young.most_at, young.most_s) == (100.0, 300.0 * 287 + 200, 2.5)
    assert _lags(day, day, began_at=0.0, ahead=0.0).most_at is None


def test_the_gone_endpoint_is_enabled_again(site: Site, browser: Browser) -> None:
    page = browser.get("/health").text
    site.world.hooks = {}
    answer = browser.send("enable", forms(page, "enable")[0])
    assert answer.headers["location"].startswith("/health?done=")
    assert "gone is enabled." in browser.said(answer)
    until(lambda: ("gone", "Well") in states(browser.get("/health").text, "endpoint"), seconds=20, what="a good one")


def test_a_provider_that_fails_for_a_single_task_is_shown(site: Site, browser: Browser) -> None:
    """A circuit breaker needs more tasks."""
    site.world.fault = lambda _: (500, b"down for maintenance", {})
    site.add("alone")
    until(
        lambda: states(browser.get("/health").text, "account") == [("kling", "Failing")],
        seconds=20,
        what="a failing account",
    )
    page = browser.get("/health").text
    assert re.search(r"Failing and retried automatically: kling\b", page)
    assert "HTTP 500" in page
    site.world.fault = no_fault
    assert site.client.post("/api/v1/task/withdraw", json={"id": "alone"}).status_code == 200
    until(
        lambda: states(browser.get("/health").text, "account") == [("kling", "Well")],
        seconds=20,
        what="an account without tasks",
    )


def test_a_pause_is_shown_and_is_not_a_problem(site: Site, browser: Browser) -> None:
    """It is no problem because a person has asked for it."""
    assert completed("pause", "accounts.kling", "-c", site.folder / "genbridge.yaml").returncode == 0
    page = browser.get("/health").text
    assert states(page, "account") == [("kling", "Paused")]
    assert "kling is" not in heading(page)
    assert "0 of 1 accounts can be polled." in page
    [form] = forms(page, "resume")
    assert {name: form[name] for name in ("of", "name", "back")} == {
        "of": "account",
        "name": "kling",
        "back": "/health",
    }
    assert browser.said(browser.send("resume", form)) == "kling is polled again."
    page = browser.get("/health").text
    assert states(page, "account") == [("kling", "Well")]
    late = browser.does("resume", of="account", name="kling")
    assert (late.status_code, heading(late.text)) == (409, "Nothing was done")
    assert "kling is not paused." in late.text


def test_a_paused_endpoint_is_resumed(site: Site, browser: Browser) -> None:
    command = [
        sys.executable,
        "-m",
        "bridge",
        "pause",
        "good",
        "--for",
        "1h",
        "-c",
        str(site.folder / "genbridge.yaml"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    page = browser.get("/health").text
    assert ("good", "Paused") in states(page, "endpoint")
    assert re.search(r"since <time [^>]*>[\d:]+</time>, until <time", page)
    assert '<a href="/health">Paused: good</a>.' in browser.get("/").text
    [form] = forms(page, "resume")
    assert browser.said(browser.send("resume", form)) == "Deliveries to good are sent again."
    assert ("good", "Well") in states(browser.get("/health").text, "endpoint")
    assert browser.does("resume", of="endpoint", name="nowhere").status_code == 409
    assert browser.does("resume", of="source", name="good").status_code == 422


def test_a_pause_beside_a_worse_state_is_shown_and_can_be_ended(tmp_path: Path) -> None:
    with running_site(tmp_path) as site, closing(Browser(site)) as browser:
        site.world.receive = lambda event_id, times: 410
        finish(site, "one")
        until(lambda: ("hook", "Disabled") in states(browser.get("/health").text, "endpoint"), seconds=20, what="a 410")
        assert completed("pause", "hook", "-c", tmp_path / "genbridge.yaml").returncode == 0
        page = browser.get("/health").text
        assert ("hook", "Disabled") in states(page, "endpoint")
        assert "<small>also paused</small>" in page
        assert [form["endpoint"] for form in forms(page, "enable")] == ["hook"]
        [form] = forms(page, "resume")
        assert browser.said(browser.send("resume", form)) == "Deliveries to hook are sent again."
        assert "also paused" not in browser.get("/health").text


def test_of_many_endpoints_those_that_are_well_are_counted(tmp_path: Path) -> None:
    names = [f"hook-{number:02}" for number in range(12)]
    with running_site(tmp_path, webhooks=names) as site, closing(Browser(site)) as browser:
        page = browser.get("/health").text
        assert [name for name, _ in states(page, "endpoint")] == names[:8]
        assert '<a class="more" href="/health?all=yes">4 more, all well</a>' in page
        assert [name for name, _ in states(browser.get("/health", all="yes").text, "endpoint")] == names


def test_problems_are_never_left_out() -> None:
    def made(*states: FactState) -> list[EndpointFacts]:
        return [
            EndpointFacts(
                endpoint="x", state=state, reason="", since_at=None, until_at=None, waiting=0, dead=0,
                accepted=BoundedCount(0, False), accepted_at=None, error="", pause=None,
            )
            for state in states
        ]  # fmt: skip

    bad, well = FactState.FAILING, FactState.WELL
    assert Rows.of(made(*[bad] * 20, *[well] * 5), shows_all=False).more == 5
    assert Rows.of(made(*[well] * (MOST_ROWS + 1)), shows_all=False).more == 0
    assert Rows.of(made(*[well] * (MOST_ROWS + 2)), shows_all=False).more == 2
    assert Rows.of(made(*[well] * (MOST_ROWS + 2)), shows_all=True).more == 0


def test_no_key_and_no_path_is_shown(site: Site, browser: Browser) -> None:
    page = browser.get("/health").text
    for secret in (KEY, HOOK_KEY, "Bearer", f":{site.world.receiver_port}", f":{site.world.provider_port}", "/good"):
        assert secret not in page.replace("endpoint=good", "")


def test_a_reader_without_write_rights_gets_no_buttons(site: Site) -> None:
    with closing(Browser(site, READ_TOKEN)) as reader:
        page = reader.get("/health").text
        assert "/actions/" not in page.replace("/actions/signout", "")
        assert len(states(page, "endpoint")) == 3


def test_only_the_host_of_an_address_is_shown() -> None:
    secret = "https://user:pw@hooks.example.com:8443/T0/B0/secret?token=x"
    hook = Webhook.model_validate({"type": "webhook", "url": secret.replace("user:pw@", "")})
    assert hook.place() == "webhook · hooks.example.com"
    telegram = {
        "type": "webhook",
        "format": "telegram",
        "chat_id": "-100123",
        "url": "https://api.telegram.org/bot1:x/",
    }
    assert Webhook.model_validate(telegram).place() == "telegram · api.telegram.org"
    chat = Apprise.model_validate({"type": "apprise", "urls": ["tgram://1:token/-100123", "json://user:pw@host/x"]})
    assert chat.place() == "apprise · json, tgram"
    account = {"provider": "kling", "base_url": "https://api.example.com/v1", "api_key": "k", "action": "videos/x"}
    assert place_of_account(Account.model_validate(account)) == "kling · api.example.com"
