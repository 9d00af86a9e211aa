"""Callbacks at a real daemon: from the provider's POST to the webhook."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.fork_server import completed
from tests.http.site import Site, running_site
from tests.world import KEY, until

SECRET: Final = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
RARELY: Final = {"min_interval": "60s", "max_interval": "60s", "cadence": "fixed"}


def account(**more: Any) -> dict[str, Any]:
    limits = {"rate": 500, "burst": 500, "concurrency": 32}
    return {
        "provider": "kling",
        "base_url": "http://127.0.0.1:1",
        "api_key": KEY,
        "action": "videos/text2video",
        "limits": limits,
        **more,
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that polls tasks when they are added, and after that very rarely."""
    folder = tmp_path_factory.mktemp("site")
    with running_site(folder, http={"public_url": "https://bridge.example.com/gen"}, polling=RARELY) as running:
        yield running


def path_of(site: Site, name: str = "kling") -> str:
    """The path of the account's callback address, as the command prints it."""
    said = completed("callback-url", name, "-c", site.folder / "genbridge.yaml")
    assert said.stdout.startswith("https://bridge.example.com/gen/callbacks/")
    return said.stdout.strip().removeprefix("https://bridge.example.com/gen")


def call(site: Site, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return site.stranger.post(path, content=raw, headers={"Content-Type": "application/json", **(headers or {})})


def callback(task_id: str, status: str = "succeed") -> dict[str, Any]:
    return {"task_id": task_id, "task_status": status, "task_result": {"videos": [{"url": "https://evil.test/x.mp4"}]}}


def polls_of(site: Site, task_id: str) -> int:
    return sum(1 for _, polled in site.world.polls if polled == task_id)


def watched(site: Site, *ids: str) -> None:
    """Watch these tasks, and wait until polls have found them running."""
    site.add(*ids)
    until(lambda: all(polls_of(site, task_id) for task_id in ids), seconds=10, what="the first polls")


def counted(site: Site, outcome: str, name: str = "kling") -> float:
    text = site.client.get("/metrics").text
    prefix = f'genbridge_callbacks_total{{account="{name}",outcome="{outcome}"}} '
    return float(next(line for line in text.splitlines() if line.startswith(prefix)).removeprefix(prefix))


def test_a_callback_causes_a_poll_and_the_webhook_at_once(site: Site) -> None:
    path = path_of(site)
    watched(site, "done-1")
    site.world.ends_at["done-1"] = time.monotonic()
    answer = call(site, path, callback("done-1"))
    assert (answer.status_code, answer.json()) == (200, {"outcome": "polled"})
    until(lambda: "done-1" in site.world.by_task(), seconds=5, what="the webhook")
    [told] = site.world.by_task()["done-1"]
    assert "evil.test" not in told.body.decode()
    story = site.client.get("/api/v1/task", params={"account": "kling", "id": "done-1"}).text
    assert "unsigned: succeed" in story


def test_a_callback_does_not_finish_a_task_that_still_runs(site: Site) -> None:
    path = path_of(site)
    watched(site, "running-1")
    assert call(site, path, callback("running-1")).status_code == 200
    until(lambda: polls_of(site, "running-1") == 2, seconds=5, what="the poll")
    time.sleep(0.3)
    assert "running-1" not in site.world.by_task()


def test_many_callbacks_about_one_task_share_a_poll(site: Site) -> None:
    path = path_of(site)
    watched(site, "many-1")
    outcomes = [call(site, path, callback("many-1", "processing")).json()["outcome"] for _ in range(30)]
    assert "polled" in outcomes
    time.sleep(0.2)
    assert polls_of(site, "many-1") <= 3


@pytest.mark.parametrize(
    ("body", "outcome"),
    [(callback("unknown-1"), "unknown"), (b"not json", "unreadable"), (b"", "unreadable"), ([], "unreadable")],
)
def test_a_callback_about_no_watched_task_is_accepted_and_ignored(site: Site, body: Any, outcome: str) -> None:
    path, before = path_of(site), counted(site, outcome)
    answer = call(site, path, body)
    assert (answer.status_code, answer.json()) == (202, {"outcome": outcome})
    assert counted(site, outcome) == before + 1
    assert polls_of(site, "unknown-1") == 0


def test_only_the_exact_address_exists(site: Site) -> None:
    path = path_of(site)
    for wrong in (
        path[:-1],
        path + "x",
        path.replace("/kling/", "/other/"),
        "/callbacks/kling/",
        "/callbacks/kling/%00",
    ):
        answer = call(site, wrong, callback("x"))
        assert answer.status_code == 404, wrong
        assert answer.headers["content-type"] == "application/problem+json"
    assert site.stranger.get(path).status_code == 405


def test_a_body_over_16_mib_and_a_wrong_secret_are_refused(site: Site) -> None:
    path = path_of(site)
    assert call(site, path, b"x" * ((16 << 20) + 1)).status_code == 413
    assert call(site, path + "x", b"x" * ((16 << 20) + 1)).status_code == 404


def test_a_query_in_the_address_is_ignored(site: Site) -> None:
    assert call(site, path_of(site) + "?order=7&order=8", callback("x")).status_code == 202


def signed(body: bytes, *, at: float, secret: str = SECRET) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    proof = base64.b64encode(hmac.digest(key, b"msg_1.%d." % int(at) + body, "sha256")).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at)), "webhook-signature": f"v1,{proof}"}


@pytest.fixture(scope="module")
def signed_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same kind of site, with a secret for callbacks and an account at MiniMax."""
    accounts = {"kling": account(callback_secret=SECRET), "minimax": account(provider="minimax", action=None)}
    folder, http = tmp_path_factory.mktemp("signed"), {"public_url": "https://bridge.example.com/gen"}
    with running_site(folder, http=http, polling=RARELY, accounts=accounts) as running:
        yield running


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        (lambda body: {}, "missing"),
        (lambda body: signed(body + b" ", at=time.time()), "forged"),
        (lambda body: signed(body, at=time.time() - 600), "stale"),
    ],
)
def test_unsigned_forged_and_replayed_callbacks_are_refused(signed_site: Site, headers: Any, outcome: str) -> None:
    path, body = path_of(signed_site), json.dumps(callback("task")).encode()
    before = counted(signed_site, outcome)
    answer = call(signed_site, path, body, headers(body))
    assert answer.status_code == 403
    assert counted(signed_site, outcome) == before + 1


def test_a_signed_callback_is_accepted(signed_site: Site) -> None:
    body = json.dumps(callback("task")).encode()
    answer = call(signed_site, path_of(signed_site), body, signed(body, at=time.time()))
    assert (answer.status_code, answer.json()) == (202, {"outcome": "unknown"})


def test_the_challenge_of_minimax_is_repeated(signed_site: Site) -> None:
    answer = call(signed_site, path_of(signed_site, "minimax"), {"challenge": "c-1"})
    assert (answer.status_code, answer.json()) == (200, {"challenge": "c-1"})


def outcomes_of(site: Site, path: str, bodies: Sequence[bytes]) -> list[str]:
    return [call(site, path, body).json()["outcome"] for body in bodies]


@pytest.mark.usefixtures("unmeasured_programs")
@pytest.mark.long
def test_a_flood_of_callbacks_changes_only_a_counter(tmp_path: Path) -> None:
    polling = {"min_interval": "1s", "max_interval": "1s", "cadence": "fixed"}
    with running_site(tmp_path, http={"public_url": "https://bridge.example.com/gen"}, polling=polling) as site:
        path = path_of(site)
        watched(site, "a", "b")
        before = counted(site, "unknown") + counted(site, "dropped")
        began, sent = time.monotonic(), 0
        body = json.dumps(callback("nobody-watches-this")).encode()
        polls = len(site.world.polls)
        while time.monotonic() < began + 4:
            outcomes_of(site, path, [body] * 20)
            sent += 20
        assert counted(site, "unknown") + counted(site, "dropped") == before + sent
        assert 5 <= len(site.world.polls) - polls <= 11
