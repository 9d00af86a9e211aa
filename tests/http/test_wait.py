"""`GET /api/v1/task?wait=`, from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.http.site import Site, running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


def asked(site: Site, task_id: str, *, wait: float = 300) -> tuple[float, httpx.Response]:
    """Send a request. Returns how long the answer took, and the answer."""
    begun_at = time.monotonic()
    answer = httpx.get(
        f"{site.url}/api/v1/task",
        params={"account": "kling", "id": task_id, "wait": wait},
        headers=site.reader.headers,
        timeout=60,
        trust_env=False,
    )
    return time.monotonic() - begun_at, answer


def test_a_wait_is_answered_when_the_task_has_finished(site: Site) -> None:
    site.add("soon", seconds=2.0)
    took_s, answer = asked(site, "soon")
    assert answer.json()["phase"] == "succeeded"
    assert took_s < 20


def test_a_wait_is_answered_when_its_time_is_over(site: Site) -> None:
    site.add("never")
    took_s, answer = asked(site, "never", wait=0.5)
    assert answer.json()["phase"] in {"submitted", "running"}
    assert 0.5 <= took_s < 10


def test_a_task_that_is_withdrawn_is_answered_at_once(site: Site) -> None:
    site.add("withdrawn")
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(asked, site, "withdrawn", wait=60)
        time.sleep(0.5)
        site.client.post("/api/v1/task/withdraw", json={"account": "kling", "id": "withdrawn"})
        took_s, answer = waiting.result(timeout=30)
    assert answer.json()["phase"] == "withdrawn"
    assert took_s < 20


def test_a_stopping_daemon_answers_waiting_requests(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_site(tmp_path_factory.mktemp("stopping")) as site, ThreadPoolExecutor() as threads:
        site.add("never")
        waiting = threads.submit(asked, site, "never", wait=60)
        time.sleep(0.5)
        site.daemon.process.terminate()
        _, answer = waiting.result(timeout=15)
        assert answer.json()["phase"] in {"submitted", "running"}
        assert site.daemon.process.wait(timeout=15) == 0
