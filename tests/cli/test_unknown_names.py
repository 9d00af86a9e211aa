"""Commands refuse a name that the settings do not have, with one line, a similar name and exit code 2."""

from __future__ import annotations

import pytest

from bridge.domain.ids import WatchKey
from tests.cli.shell import ONE_ACCOUNT, Shell
from tests.store.making import Teller, add, make_end

OLD = {
    "old": {"provider": "kling", "base_url": "https://old.example.com", "api_key": "k", "action": "videos/text2video"}
}


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    "words",
    [
        ["list", "--account", "klin"],
        ["list", "--account", "klin", "--json"],
        ["show", "task-one", "--account", "klin"],
        ["explain", "task-one", "--account", "klin"],
        ["withdraw", "task-one", "--account", "klin"],
        ["poll", "task-one", "--account", "klin"],
        ["wait", "--account", "klin"],
        ["wait", "task-one", "--account", "klin"],
        ["add", "task-two", "--account", "klin"],
        ["pause", "klin"],
        ["resume", "klin"],
        ["callback-url", "klin"],
        ["deliveries", "--endpoint", "hok"],
        ["deliveries", "--endpoint", "hok", "--json"],
        ["redeliver", "--dead", "--endpoint", "hok"],
        ["add", "task-two", "--endpoint", "hok"],
        ["enable", "hok"],
        ["test", "hok"],
        ["pause", "hok"],
        ["providers", "klin"],
    ],
    ids=" ".join,
)
def test_an_unknown_name_is_refused_with_the_near_one(shell: Shell, words: list[str]) -> None:
    shell("add", "task-one")
    said = shell(*words)
    wrong, right = ("klin", "kling") if "klin" in words else ("hok", "hook")
    assert (said.code, said.out) == (2, "")
    [line] = said.err.splitlines()
    assert f'"{wrong}"; did you mean "{right}"?' in line


def test_a_removed_account_is_known_while_it_has_tasks(shell: Shell) -> None:
    shell.settings({"accounts": {**ONE_ACCOUNT, **OLD}})
    assert shell("add", "task-one", "--account", "old").code == 0
    shell.settings()
    [found] = shell("list", "--account", "old", "--json").json
    assert found["id"] == "task-one"
    assert shell("show", "task-one", "--account", "old").code == 0
    assert shell("wait", "--account", "old", "--timeout", "0.1s").code == 75
    assert shell("list", "--account", "older").code == 2


def test_a_removed_endpoint_is_known_while_it_has_deliveries(shell: Shell) -> None:
    store = shell.store()
    add(store, "task-one")
    store.commit([make_end(WatchKey("kling", "task-one"))], Teller(("former", "")))
    store.close()
    assert len(shell("deliveries", "--endpoint", "former", "--json").json) == 1
    assert shell("deliveries", "--endpoint", "formerly").code == 2
    assert shell("redeliver", "--dead", "--endpoint", "former").code == 2, "nothing can be sent to it"


def test_the_archive_gets_no_samples(shell: Shell) -> None:
    shell.settings({"archive": {"to": "archive"}})
    said = shell("test", "@archive")
    assert (said.code, said.out) == (2, "")
    assert "genbridge check --online" in said.err
