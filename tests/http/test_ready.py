"""`/readyz` while a source cannot be read, or the store cannot be written."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import orjson
import pytest

from bridge.errors import StoreError
from bridge.http.access import Right
from bridge.http.api_route import ApiCall
from bridge.http.cached_reading import CachedReading
from bridge.http.services import Services
from bridge.http.status_routes import problems, readyz
from tests.fakes import FakeClock
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


def test_the_chinese_page_shows_the_note_of_the_queue_in_chinese(tmp_path: Path) -> None:
    with running_site(tmp_path, sources={"queue": "queue"}) as site:

        def sources() -> str:
            health = site.client.get("/health", headers={"Accept-Language": "zh"}, follow_redirects=True).text
            return health.partition('data-part="sources"')[2]

        until(lambda: "检测仍在写入的文件" in sources(), seconds=20, what="the note about the queue")


def test_a_missing_lines_file_is_ready_and_the_status_says_so(tmp_path: Path) -> None:
    with running_site(tmp_path, sources={"lines": "ids.txt"}) as site:

        def lines() -> Any:
            [one] = site.client.get("/api/v1/status").json()["sources"]
            return one

        until(lambda: lines()["note"] is not None, seconds=20, what="the note about the file")
        missing = lines()
        assert (missing["failing"], missing["last_read_at"]) == (False, None)
        assert missing["note"] == "the file does not exist; genbridge waits for it"
        health = site.client.get("/health", headers={"Accept-Language": "zh"}, follow_redirects=True).text
        assert "genbridge 正在等待它出现" in health
        assert site.client.get("/readyz").json() == {"status": "ready"}
        (tmp_path / "ids.txt").write_text("id-1\n")
        until(lambda: lines()["taken"] == 1, seconds=20, what="the line")
        assert lines()["note"] is None
        (tmp_path / "ids.txt").rename(tmp_path / "ids.txt.1")
        until(lambda: lines()["note"] is not None, seconds=20, what="the note after the rotation")
        assert site.client.get("/readyz").json() == {"status": "ready"}


def test_a_lines_file_in_a_missing_folder_is_not_ready(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with running_site(tmp_path, sources={"lines": "in/ids.txt"}) as site:
        folder.rmdir()
        until(lambda: site.client.get("/readyz").status_code == 503, seconds=20, what="the missing folder")
        [problem] = site.client.get("/readyz").json()["problems"]
        assert problem == f"source lines: No such file or directory: {folder}/ids.txt"


class Overviews:
    """Reads the status of a store without accounts."""

    def __init__(self) -> None:
        self.reads = 0

    async def get(self, within_s: float = 0.0) -> Any:
        self.reads += 1
        return SimpleNamespace(why_not_ready=lambda accounts: [])


def working(shared: object, failure: StoreError | None = None) -> SimpleNamespace:
    """The services of a daemon that works."""

    async def done(*_: object) -> None: ...

    return SimpleNamespace(
        app=lambda: SimpleNamespace(is_working=lambda: True),
        store=SimpleNamespace(revision=None),
        writing=done,
        shared_overview=shared,
        settings=lambda: SimpleNamespace(accounts={}),
        store_failure=lambda: failure,
    )


@pytest.mark.parametrize(
    ("failure", "answer"),
    [
        (None, {"status": "ready"}),
        (StoreError("the disk is full"), {"status": "not ready", "problems": ["store: the disk is full"]}),
        (StoreError("store a.db: no space"), {"status": "not ready", "problems": ["store a.db: no space"]}),
    ],
)
async def test_a_store_that_can_only_be_read_is_not_ready(failure: StoreError | None, answer: object) -> None:
    access = SimpleNamespace(rules=SimpleNamespace(right_of=lambda _: Right.FULL))
    request = SimpleNamespace(headers={}, app=SimpleNamespace(state=SimpleNamespace(access=access)))
    call = cast(ApiCall, SimpleNamespace(services=working(Overviews(), failure), request=request))
    found = await readyz.handle(call)
    assert (found if isinstance(found, dict) else orjson.loads(found.body)) == answer


async def test_many_questions_read_the_store_once() -> None:
    overviews, clock = Overviews(), FakeClock()
    shared = CachedReading(overviews.get, clock)
    call = cast(ApiCall, SimpleNamespace(services=working(shared)))
    async with anyio.create_task_group() as group:
        group.start_soon(shared.run)
        async with anyio.create_task_group() as asking:
            for _ in range(100):
                asking.start_soon(problems, call)
        group.cancel_scope.cancel()
    assert overviews.reads == 1


async def test_a_daemon_that_waits_for_its_store_says_so() -> None:
    services = SimpleNamespace(
        app=lambda: SimpleNamespace(is_working=lambda: False), store_failure=lambda: StoreError("no answer")
    )
    services.why_not_working = partial(Services.why_not_working, cast(Services, services))
    services.working_app = partial(Services.working_app, cast(Services, services))
    said = "the daemon waits for its store: no answer"
    assert await problems(cast(ApiCall, SimpleNamespace(services=services))) == [said]
    with pytest.raises(StoreError, match=said):
        await Services.add(cast(Services, services), [])
