"""Tasks for tests of the page, in a real daemon."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Any

from bridge.store import open_command_store
from tests.factories import make_wish
from tests.http.page.test_page_frame import signed_in
from tests.http.site import Site
from tests.world import Answer

HOSTILE_LABEL = '<script>alert(1)</script> "quoted" \u202egpj.exe'
HOSTILE_IDS = ("a/b?c=1#d", "50% & more", "任务/一号", "x'y\"z", "plus+minus", "<b>..a")


def just_finished(answer: dict[str, Any]) -> Answer:
    """An answer of the provider about a task that has just finished, so that its result is still there."""
    now_ms = round(time.time() * 1000)
    return (
        200,
        json.dumps({**answer, "data": {**answer["data"], "created_at": now_ms, "updated_at": now_ms}}).encode(),
        {},
    )


def add(site: Site, *tasks: dict[str, Any], seconds: float = 0.0, fails: bool = False) -> None:
    """Watch tasks that finish after this many seconds."""
    for task in tasks:
        site.world.ends_at[task["id"]] = time.monotonic() + seconds
        if fails:
            site.world.fails.add(task["id"])
    answer = site.client.post("/api/v1/tasks", json=list(tasks))
    assert answer.status_code == 201, answer.text


def write_tasks(site: Site, *ids: str, label: str, account: str = "kling") -> None:
    """Add tasks like `genbridge add`, but also with ids that it refuses. Older stores and providers' lists have such
    ids."""
    site.world.ends_at.update(dict.fromkeys(ids, time.monotonic()))
    with closing(open_command_store(site.folder / "state.db", create=False, group_access=False)) as store:
        wishes = [make_wish(account=account, task_id=one, label=label, action="videos/text2video") for one in ids]
        store.add(wishes, source="cli", now=time.time())


def live(site: Site) -> list[Any]:
    """The tasks that have not finished."""
    pages = [site.client.get(f"/api/v1/tasks?phase={phase}&limit=1000").json() for phase in ("submitted", "running")]
    return [task for page in pages for task in page["tasks"]]


def is_delivered(site: Site) -> bool:
    """Whether no delivery waits anymore."""
    found = site.client.get("/api/v1/deliveries?state=waiting").json()
    return not found["deliveries"] and bool(site.world.received)


def read(site: Site, path: str, token: str | None = None) -> str:
    """The text of a page for a signed-in reader."""
    headers = signed_in(site, token) if token else signed_in(site)
    answer = site.stranger.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.text
