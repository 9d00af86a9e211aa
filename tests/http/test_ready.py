"""`/readyz` while a source cannot be read."""

from __future__ import annotations

from pathlib import Path

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
