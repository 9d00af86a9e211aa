"""Which settings a command uses, and what it says about mistakes in them."""

from __future__ import annotations

import os
import re

import pytest

from tests.cli.shell import ONE_ACCOUNT, Shell


def test_settings_are_named_before_or_after_the_command(shell: Shell) -> None:
    elsewhere = shell.settings({"store": "other.db"}, name="other.yaml")
    (shell.folder / "genbridge.yaml").unlink()
    shell("--config", str(elsewhere), "add", "a")
    assert [one["id"] for one in shell("list", "--json", "--config", str(elsewhere)).json] == ["a"]
    assert [one["id"] for one in shell("-c", str(elsewhere), "list", "--json").json] == ["a"]
    wrong_first = shell("--config", "nowhere.yaml", "list", "--json", "--config", str(elsewhere))
    assert wrong_first.code == 0, "the one after the name is nearer"
    assert (shell.folder / "other.db").exists()


@pytest.mark.parametrize("words", [["list"], ["add", "a"], ["run"], ["once"], ["check"], ["test", "hook"], ["status"]])
def test_without_settings_each_command_says_where_it_looked(words: list[str], shell: Shell) -> None:
    (shell.folder / "genbridge.yaml").unlink()
    said = shell(*words)
    assert said.code == 78
    assert "no settings found" in said.err
    assert str(shell.folder / "config/genbridge/genbridge.yaml") in said.err


@pytest.mark.parametrize("command", ["check", "run", "list", "status"])
def test_settings_in_a_folder_whose_name_is_not_utf_8_are_refused(command: str, shell: Shell) -> None:
    folder = shell.folder / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (shell.folder / "genbridge.yaml").rename(folder / "genbridge.yaml")
    said = shell(command, "--config", str(folder / "genbridge.yaml"))
    assert said.code == 78
    expected = (
        f"genbridge: {shell.folder}/caf\\udce9/genbridge.yaml: the path is not UTF-8; rename the file or its folder\n"
    )
    assert said.err == expected


def test_all_mistakes_of_the_settings_are_reported_together_with_their_places(shell: Shell) -> None:
    shell.settings({"accounts": {"kling": {**ONE_ACCOUNT["kling"], "base_ulr": "x"}}, "polllling": {}})
    for words in (["check"], ["run"], ["once"]):
        said = shell(*words)
        assert said.code == 78
        lines = said.err.splitlines()
        assert len(lines) == 3
        assert all(re.match(r"genbridge\.yaml:\d+:\d+: ", line) for line in lines)
        assert "accounts.kling.api_key: not set in the environment: KLING_KEY\n" in said.err, "the secret, too"


def test_quick_commands_check_only_what_they_use(shell: Shell) -> None:
    shell.settings({"accounts": ONE_ACCOUNT, "polling": {"timeout": "soon"}, "endpoints": {"x": {"typ": "hook"}}})
    for words in (["add", "a1"], ["list"], ["status"], ["withdraw", "a1"]):
        assert shell(*words).code == 0, words
    said = shell("check")
    assert said.code == 78
    assert [line.split(": ")[1] for line in said.err.splitlines()] == [
        "accounts.kling.api_key",
        "endpoints.x.typ",
        "endpoints.x.type",  # its value is wrong, too
        "polling.timeout",
    ]


def test_no_task_is_added_to_another_store_because_of_a_misspelled_key(shell: Shell) -> None:
    shell.settings({"store": None, "accounts": ONE_ACCOUNT, "stroe": "state.db"})
    for words in (["add", "a1"], ["list"], ["pause", "kling"]):
        said = shell(*words)
        assert said.code == 78, words
        assert 'stroe: unknown key "stroe"; did you mean "store"?' in said.err
    assert not (shell.folder / ".genbridge").exists()
    shell.settings({"store": None, "accounts": ONE_ACCOUNT, "routs": []})
    assert shell("add", "a1").code == 0, "that cannot be the store"


def test_a_quick_command_that_cannot_use_the_settings_names_every_mistake(shell: Shell) -> None:
    account = {**ONE_ACCOUNT["kling"], "provider": "klng"}
    shell.settings(
        {"accounts": {"kling": account}, "polling": {"timeout": "soon"}, "endpoints": {"x": {"typ": "hook"}}}
    )
    said = shell("add", "a1")
    assert said.code == 78
    assert [line.split(": ")[1] for line in said.err.splitlines()] == [
        "accounts.kling.provider",
        "endpoints.x.typ",
        "endpoints.x.type",  # its value is wrong, too
        "polling.timeout",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("log: {}\n", "1:1: accounts: is missing"),
        ("accounts: {}\n", "1:11: accounts: is empty; name at least one"),
        ("accounts:\n", "1:10: accounts: is empty"),
        ("accounts: [a]\n", "1:11: accounts: must be a mapping of keys"),
        (
            "accounts: {kling: 5}\n",
            "1:19: accounts.kling: must be a mapping of keys, such as provider, base_url, api_key",
        ),
        ("accounts: {kling: {api_key: k}}\n", "1:12: accounts.kling.provider: is missing"),
        (
            "accounts: {kling: {provider: klng, base_url: http://a, api_key: k}}\n",
            '1:30: accounts.kling.provider: unknown provider "klng"; did you mean "kling"?',
        ),
        (
            "accounts: {kling: {provider: kling, base_url: ftp://a, api_key: k}}\n",
            '1:47: accounts.kling.base_url: scheme "ftp" is not supported; use http or https',
        ),
        (
            "accounts: {kling: {provider: kling, base_url: http://a, api_key: k, action: [a]}}\n",
            "1:77: accounts.kling.action: must be text",
        ),
    ],
)
def test_quick_commands_and_check_report_a_mistake_in_the_same_words(shell: Shell, text: str, line: str) -> None:
    (shell.folder / "genbridge.yaml").write_text(text)
    for words in ("add", "a1"), ("check",):
        said = shell(*words)
        assert said.code == 78, words
        assert f"genbridge.yaml:{line}" in said.err.splitlines(), words


def test_quick_commands_work_without_secrets_and_others_name_the_missing_ones(shell: Shell) -> None:
    assert shell("add", "a").code == 0
    for words in (["list"], ["show", "a"], ["explain", "a"]):
        assert shell(*words).code == 0, words
    for words in (["check"], ["run"], ["once"], ["test", "hook"]):
        said = shell(*words)
        assert said.code == 78, words
        assert "KLING_KEY" in said.err
