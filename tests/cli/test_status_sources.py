"""`status` shows the counts of each source that a running daemon has stored."""

from __future__ import annotations

from typing import Any

from tests.cli.shell import Shell, change
from tests.daemon_process import DaemonProcess
from tests.world import World, drop, running_world, until


def sources(shell: Shell) -> dict[str, dict[str, Any]]:
    return {one["source"]: one for one in shell("status", "--json").json["sources"]}


def test_status_shows_accepted_rejected_and_ignored_files_of_sources(shell: Shell) -> None:
    with running_world(World()) as world:
        settings = world.settings(shell.folder)
        change(settings, sources={"queue": "queue/", "watchlist": "tasks.yaml", "lines": "ids.txt"})
        (shell.folder / "ids.txt").write_text("id-lines-1\nid-lines-2\nid <b>\n")
        with DaemonProcess(settings):
            until((shell.folder / "queue").is_dir, seconds=15, what="the queue folder")
            drop(shell.folder / "queue", "good.txt", "id-queue-1\nid-queue-2\n")
            drop(shell.folder / "queue", "bad.json", "{")
            drop(shell.folder / "queue", "notes.docx", "x")
            until(lambda: sources(shell)["queue"]["taken"] == 2, seconds=15, what="the files taken")
            until(lambda: sources(shell)["queue"]["rejected"] == 1, seconds=15, what="the file rejected")
            until(lambda: sources(shell)["lines"]["taken"] == 2, seconds=15, what="the lines")
            found = sources(shell)
            assert found["queue"]["left_alone"] == 1
            assert found["queue"]["path"] == f"{shell.folder}/queue"
            assert found["queue"]["last_read_at"].endswith("Z")
            assert "bad.json" in found["queue"]["last_error"]
            assert (found["queue"]["failing"], found["queue"]["daemon"]) == (False, None)
            assert (found["lines"]["rejected"], "ids.txt:3" in found["lines"]["last_error"]) == (1, True)
            assert found["watchlist"]["failing"]
            assert found["watchlist"]["last_read_at"] is None
            said = shell("status").out
            assert "2 taken, 1 rejected, 1 ignored" in said
            assert "tasks.yaml: cannot be read" in said
            (shell.folder / "tasks.yaml").write_text("- id-listed-1\n")
            until(lambda: sources(shell)["watchlist"]["taken"] == 1, seconds=15, what="the watchlist")
            assert not sources(shell)["watchlist"]["failing"]
        assert sources(shell)["queue"]["taken"] == 2, "also when no daemon runs any more"


def test_status_names_sources_that_no_daemon_has_read_yet(shell: Shell) -> None:
    shell.settings({"sources": {"queue": "queue/"}})
    shell.store().close()
    [queue] = shell("status", "--json").json["sources"]
    assert (queue["source"], queue["last_read_at"], queue["taken"]) == ("queue", None, 0)
    assert f"sources   queue {shell.folder}/queue: not read yet" in shell("status").out
