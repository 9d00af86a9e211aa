"""`pause` and `resume`, and the commands that show a pause."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest

from tests.cli.shell import Shell

INSTANT = r"\d{4}-\d\d-\d\dT\S+Z"


def test_a_pause_is_shown_with_its_start_or_end_time(shell: Shell) -> None:
    shell("add", "task-one-1")
    shell("pause", "kling")
    shell("pause", "hook", "--for", "2h")
    said = shell("status").out
    account = rf"account kling since {INSTANT} \(\S+s ago\); `genbridge resume kling` ends the pause\n"
    assert re.search(rf"^paused +{account}", said, re.M)
    endpoint = rf"endpoint hook until {INSTANT} \(in .+\); `genbridge resume hook` ends the pause\n"
    assert re.search(rf"^paused +{endpoint}", said, re.M)
    assert re.search(
        rf"^next poll: after the pause of account kling: paused since {INSTANT}",
        shell("explain", "task-one-1").out,
        re.M,
    )


def test_resume_takes_a_name_of_both_as_the_one_that_is_paused(shell: Shell) -> None:
    settings = json.loads((shell.folder / "genbridge.yaml").read_text())
    shell.settings({"endpoints": {**settings["endpoints"], "kling": settings["endpoints"]["hook"]}})
    shell("add", "task-one-1")
    assert shell("resume", "kling").code == 2, "neither is paused"
    shell("pause", "endpoints.kling")
    assert shell("resume", "kling").out == "endpoint kling: resumed\n"
    shell("pause", "endpoints.kling")
    shell("pause", "accounts.kling")
    assert "write accounts.kling or endpoints.kling" in shell("resume", "kling").err


@pytest.mark.parametrize("instant", ["1e12", "9e999"])
def test_instants_after_the_year_9999_are_shown_as_its_end(instant: str, shell: Shell) -> None:
    shell("add", "task-one-1")
    shell("pause", "hook", "--for", "2h")
    store = sqlite3.connect(shell.folder / "state.db")
    store.execute(f"UPDATE pauses SET until_at = {instant}")
    store.commit()
    store.close()
    said = shell("status")
    assert (said.code, said.err) == (0, "")
    assert "until 9999-12-31T23:59:59.000Z (in " in said.out
    assert shell("status", "--json").json["paused_endpoints"] == {"hook": "9999-12-31T23:59:59.000Z"}
    assert shell("explain", "task-one-1").code == 0
