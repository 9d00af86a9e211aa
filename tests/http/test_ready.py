"""`/readyz` while a source cannot be read, or the store cannot be written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from bridge.errors import StoreError
from bridge.http.access import Right
from bridge.http.api_route import ApiCall
from bridge.http.status_routes import readyz
from tests.http.site import running_site
from tests.world import until


def test_a_missing_watchlist_is_not_ready_and_the_answer_names_it(tmp_path: Path) -> None:
    watchlist = tmp_path / "tasks.yaml"
    watchlist.write_text("tasks: []\n")
    with running_site(tmp_path, sources={"watchlist": "tasks.yaml"}) as site:
        watchlist.unlink()
        until(lambda: site.client.get("/readyz").status_code == 503, seconds=20, what="the missing watchlist")
        answer = site.reader.get("/readyz").json()
        assert answer["status"] == "not ready"
        [problem] = answer["problems"]
        assert problem.startswith("source watchlist: ")
        assert str(watchlist) in problem
        stranger = site.stranger.get("/readyz")
        assert stranger.status_code == 503
        assert stranger.json() == {"status": "not ready", "hint": "send http.token or http.read_token for the reasons"}
        watchlist.write_text("tasks: []\n")
        until(lambda: site.stranger.get("/readyz").status_code == 200, seconds=20, what="the watchlist")
        assert site.client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("failure", "answer"),
    [
        (None, {"status": "ready"}),
        (StoreError("the disk is full"), {"status": "not ready", "problems": ["store: the disk is full"]}),
    ],
)
async def test_a_store_that_can_only_be_read_is_not_ready(failure: StoreError | None, answer: object) -> None:
    async def done(*_: object) -> None: ...

    async def overview() -> Any:
        held: dict[str, Any] = {
            "blocked_accounts": {},
            "paused_accounts": {},
            "held_accounts": [],
            "held_endpoints": [],
        }
        return SimpleNamespace(sources=[], json=lambda: held, counts=SimpleNamespace(live_by_account={}))

    services = SimpleNamespace(
        app=lambda: SimpleNamespace(is_working=lambda: True),
        store=SimpleNamespace(revision=None),
        writing=done,
        overview=overview,
        settings=lambda: SimpleNamespace(settings=SimpleNamespace(accounts={})),
        store_failure=lambda: failure,
    )
    access = SimpleNamespace(rules=SimpleNamespace(right_of=lambda _: Right.FULL))
    request = SimpleNamespace(headers={}, app=SimpleNamespace(state=SimpleNamespace(access=access)))
    found = await readyz(cast(ApiCall, SimpleNamespace(services=services, request=request)))
    assert (found if isinstance(found, dict) else orjson.loads(found.body)) == answer
