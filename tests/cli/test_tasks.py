"""`add`, `withdraw`, `poll`: tasks as people type and pipe them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.shell import ONE_ACCOUNT, SETTINGS, Shell
from tests.disks import small_disk
from tests.fork_server import completed

TWO_ACCOUNTS = {"accounts": {**ONE_ACCOUNT, "other": {**ONE_ACCOUNT["kling"], "base_url": "https://other.example.com"}}}
URL = "https://api.example.com/kling/v1/images/generations/abc%2Fd?x=1"
NOBODY = 65534


def ids(shell: Shell) -> list[str]:
    """The ids of the watched tasks, in the order in which they were added."""
    return [one["id"] for one in reversed(shell("list", "--json").json)]


def test_add_reports_each_task_and_that_no_daemon_is_running(shell: Shell) -> None:
    said = shell("add", " a ", "b", "a")
    assert said.code == 0
    assert said.out == "kling/a: watching\nkling/b: watching\nkling/a: already watched, unchanged\n"
    assert "no daemon is running" in said.err
    assert shell("add", "b", "--json").json == [{"account": "kling", "id": "b", "result": "known"}]


def test_options_apply_to_every_task_unless_it_has_its_own_value(shell: Shell) -> None:
    tasks = b'[{"id": "a", "label": "own", "action": null}, "b"]'
    words = ("--label", "shared", "--action", "images/generations", "--meta", "k=v=w", "--meta", "n=1")
    assert shell("add", "-", *words, "--endpoint", "chat", stdin=tasks).code == 0
    b, a = shell("list", "--json").json
    assert (a["label"], b["label"]) == ("own", "shared")
    assert a["action"] == b["action"] == "images/generations"
    assert a["meta"] == {"k": "v=w", "n": "1"}


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [
        (b"a\n\n# no\n b \r\n0123", ["a", "b", "0123"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        (b'"a"\n"b"', ["a", "b"]),
        (b'["a", {"id": "b"}, 7]', ["a", "b", "7"]),
        (b'{"tasks": ["a"]}', ["a"]),
        (b'\n{\n "id": "a",\n "meta": {}\n}\n', ["a"]),
        (b'{"id": "a"}\n{"id": "b"}\nc\n', ["a", "b", "c"]),
        (b'a\n{"id": "b"}\n', ["a", "b"]),
        (b'{"id": "a"}\n"b"\n7\n', ["a", "b", "7"]),
        (b"tasks:\n- a\n- {id: 0123}\n", ["a", "0123"]),
        (b"# mine\n\n- a\n- b\n", ["a", "b"]),
        (b"---\nid: a\nlabel: x\n---\nid: b\n", ["a", "b"]),
        (b"-a\ntasks:x\n", ["-a", "tasks:x"]),
        (b'id,label\na,x\nb,"y, z"\n', ["a", "b"]),
        (b"Label;ID\r\nx;a\r\n", ["a"]),
        (URL.encode(), ["abc/d"]),
    ],
)
def test_stdin_may_hold_tasks_in_every_form(stdin: bytes, expected: list[str], shell: Shell) -> None:
    assert shell("add", "-", stdin=stdin).code == 0
    assert ids(shell) == expected


@pytest.mark.parametrize(
    ("stdin", "hint"),
    [
        (None, "stdin is closed"),
        (b"", "has no task"),
        (b"\n# nothing\n", "has no task"),
        (b"[]", "has no task"),
        (b"a\n..\nb\n.\n", 'stdin:2: id: ".." cannot be an id: it is a path segment (and 1 more)'),
        (b"a\nb\xff\n", "stdin:2: not UTF-8"),
        (b'["a", {"id": }]', "stdin:1: task 2: not JSON"),
        (b'["a", "b c", ".."]', 'stdin:1: task 2: id: "b c": blanks are not allowed'),
        (b'{"tasks": ["a", {"id": "b", "acount": "x"}]}', 'stdin:1: task 2: unknown key "acount"'),
        (b'{"id": "a"', "stdin:1: not JSON"),
        (b'{"id": "a"}\n{"id": "b"\n', "stdin:2: not JSON"),
        (b'[\n"a",\n{"task_id": "b"}]', "stdin:3: unknown key"),
        (b"- a\n- {id: [}\n", "stdin:"),
        (b"<html>502</html>\n", 'stdin:1: id: "<html>502</html>": < is not allowed'),
        (b"a cat surfing\n", "Write each id on its own line; nothing was added"),
        (b"1. x\n", "a numbered list"),
        (b'"x",\n', "remove the comma at the end"),
        (b"csv-1;Shot 1\n", "a CSV row"),
        (b'{"id": "x", "lable": "y"}', 'unknown key "lable"; did you mean "label"? Nothing was added'),
        (b'{"id": "x", "acount": "kling"}', 'unknown key "acount"; did you mean "account"?'),
        (b"x" * (16 * 1024 * 1024 + 1), "more than 16 MiB"),
    ],
)
def test_one_bad_task_on_stdin_adds_none(stdin: bytes | None, hint: str, shell: Shell) -> None:
    said = shell("add", "-", stdin=stdin)
    assert said.code == 2
    assert hint in said.err
    assert len(said.err.splitlines()) == 1
    assert not (shell.folder / "state.db").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["a", ".."], "path segment"),
        (["b c", "a", "..", "b c"], "Write each id on its own line (and 1 more)"),
        (["a", "b", "--account", "klng"], 'unknown account "klng"; did you mean "kling"?\n'),
        (["a", "-"], "give no other ids"),
        (["--", "-", "-x"], "give no other ids"),
        (["a", "x" * 513], "at most 512"),
        (["a", ""], "empty"),
        (["a", "tasks.yaml"], "a file name: use `genbridge add - < tasks.yaml`"),
        (["a", "a cat"], "did the create call fail?"),
        (["a\x1b[2J"], "control character"),
        (["\udcff"], "the id is not valid UTF-8"),
        (["a", "--label", "x\x1b[31m"], "control characters"),
        (["a", "--meta", "novalue"], "KEY=VALUE"),
        (["a", "--meta", "=x"], "KEY=VALUE"),
        (["a", "--meta", "order=1", "--meta", "order=2"], '--meta: the key "order" is there twice; give it once'),
        (["a", "--endpoint", "nix"], 'unknown endpoint "nix"; there are: chat, hook'),
        (["a", "--endpoint", "https://evil.example.com"], "an endpoint from the settings"),
        (["a", "--account", "klink"], 'did you mean "kling"'),
        (["a", "--action", "../x"], "is not a valid action"),
        (["https://elsewhere.example.com/v1/x/y/z"], "not a query URL of a configured account"),
    ],
)
def test_a_bad_task_on_the_command_line_adds_none(words: list[str], hint: str, shell: Shell) -> None:
    said = shell("add", *words)
    assert said.code == 2
    assert hint in said.err
    assert "\x1b" not in said.err
    assert len(said.err.splitlines()) == 1
    assert not (shell.folder / "state.db").exists()


def test_ids_of_every_shape_are_found_again_as_they_were_added(shell: Shell) -> None:
    shapes = ["-x7", "--help", "0123", "1e9", "a/b?c#d%2F", "--DROP-TABLE-watches", "日本語", "x" * 512, "é"]
    assert shell("add", "--", *shapes).code == 0
    assert ids(shell) == shapes
    for shape in shapes:
        assert shell("show", "--json", "--", shape).json["id"] == shape
    said = shell("list")
    assert all(shape in said.out for shape in shapes), "nothing is cut"


def test_printed_account_and_id_are_added_as_an_id_with_a_note(shell: Shell) -> None:
    said = shell("add", "kling/a", "veo/a")
    assert (said.code, said.out) == (0, "kling/kling/a: watching\nkling/veo/a: watching\n")
    notes = [line for line in said.err.splitlines() if "without the account" in line]
    assert notes == ["note: the id kling/a includes kling/; `add` takes ids without the account"]


def test_a_query_url_works_as_an_id_in_every_command(shell: Shell) -> None:
    assert shell("add", URL).out == "kling/abc/d: watching\n"
    assert shell("show", URL, "--json").json["action"] == "images/generations"
    assert shell("explain", URL).code == 0
    assert shell("poll", URL).code == 0
    assert shell("withdraw", URL).code == 0
    assert shell("show", "https://elsewhere.example.com/v1/x/y/z").code == 2


def test_an_id_of_two_accounts_requires_the_account(shell: Shell) -> None:
    shell.settings(TWO_ACCOUNTS)
    assert "account is missing; accounts: kling, other; give it with --account" in shell("add", "a").err
    for account in ("kling", "other"):
        assert shell("add", "a", "--account", account).code == 0
    for command in ("show", "explain", "poll", "withdraw", "wait"):
        said = shell(command, "a")
        assert said.code == 2
        assert "several accounts watch a (kling, other): write ACCOUNT/ID" in said.err
    assert "write ACCOUNT/ID" in shell("deliveries", "--task", "a").err, "it has no --account"
    assert shell("deliveries", "--task", "other/a").code == 0
    assert shell("withdraw", "a", "--account", "other").out == "other/a: withdrawn\n"
    assert shell("show", "kling/a", "--json").json["account"] == "kling", "as it is printed everywhere"
    assert shell("show", "kling/a", "--account", "kling").code == 1
    assert shell("add", "other/a", "--account", "kling").code == 0
    assert shell("show", "other/a", "--json").json["account"] == "kling", "an id may look like that"
    assert [one["account"] for one in shell("list", "--json", "--phase", "withdrawn").json] == ["other"]


def test_a_missing_action_is_asked_for_with_its_option(shell: Shell) -> None:
    shell.settings(
        {"accounts": {"kling": {key: ONE_ACCOUNT["kling"][key] for key in ("provider", "base_url", "api_key")}}}
    )
    said = shell("add", "a")
    assert said.code == 2
    assert "(e.g. videos/text2video); give it with --action" in said.err


def test_withdrawing_and_polling_are_all_or_nothing_and_say_what_failed(shell: Shell) -> None:
    shell("add", "a", "b")
    for command in ("withdraw", "poll"):
        said = shell(command, "a", "nobo\x1bdy")
        assert said.code == 1
        assert "nobo\\x1bdy is not watched" in said.err
    assert {one["phase"] for one in shell("list", "--json").json} == {"submitted"}
    assert shell("withdraw", "a", "a").out == "kling/a: withdrawn\n"
    assert shell("withdraw", "a").out == "kling/a: already withdrawn, nothing to do\n"
    said = shell("poll", "a")
    assert (said.code, said.out, said.err) == (0, "kling/a: already withdrawn, nothing to do\n", "")
    assert shell("poll", "b").out == "kling/b: polling as soon as the account's limits allow\n"
    assert shell("show", "b", "--json").json["next_poll_at"] is not None
    assert shell("add", "a").out == "kling/a: watching again\n"
    assert shell("show", "a", "--account", "\udcff").code == 2


def test_a_poll_waits_until_a_removed_account_is_in_the_settings_again(shell: Shell) -> None:
    shell("add", "a")
    shell.settings({"accounts": {"other": ONE_ACCOUNT["kling"]}, "endpoints": {}})
    assert shell("poll", "a").out == "kling/a: polling once its account is in the settings again\n"


@pytest.mark.parametrize(("queue", "is_suggested"), [("disk/queue", False), ("queue", True)])
def test_the_queue_folder_is_suggested_if_its_disk_has_room(shell: Shell, queue: str, is_suggested: bool) -> None:
    with small_disk(shell.folder / "disk", size="64k"):
        shell.settings({"store": "disk/state.db", "sources": {"queue": queue}})
        said = shell("add", "a")
    assert said.code == 69
    assert "the disk is full; free some space" in said.err
    assert ("or drop a file with the tasks into" in said.err) == is_suggested


@pytest.fixture
def commons(shell: Shell) -> Shell:
    """The same shell in a folder that other users can read, with a queue."""
    if os.geteuid() != 0:
        pytest.skip("cannot become another user (run as root)")
    folder = Path("/tmp") / f"genbridge-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    shell.folder = folder
    shell.settings({"sources": {"queue": "queue"}}).chmod(0o644)
    return shell


@pytest.mark.long
def test_another_user_may_look_and_learns_how_to_add(commons: Shell) -> None:
    try:
        os.chdir(commons.folder)
        assert commons("add", "a").code == 0
        store = commons.folder / "state.db"
        hidden = _as_nobody("list")
        assert hidden.returncode == 69
        assert "no permission to open it; run this as user root" in hidden.stderr
        store.chmod(0o644)
        assert "a" in _as_nobody("list").stdout
        assert _as_nobody("explain", "a").returncode == 0
        added = _as_nobody("add", "b")
        assert added.returncode == 69
        assert "run this as user root" in added.stderr
        assert f"or drop a file with the tasks into {commons.folder}/queue" in added.stderr
        for words in (["withdraw", "a"], ["poll", "a"], ["redeliver", "--dead"], ["enable", "hook"]):
            refused = _as_nobody(*words)
            assert refused.returncode == 69, words
            assert len(refused.stderr.splitlines()) == 1
        (commons.folder / "genbridge.yaml").chmod(0o600)
        assert _as_nobody("list").returncode == 78
        commons.folder.chmod(0o700)
        unseen = _as_nobody("list", "--config", str(commons.folder / "genbridge.yaml"), folder=Path("/"))
        assert unseen.returncode == 78
        assert "Permission denied" in unseen.stderr
        assert len(unseen.stderr.splitlines()) == 1
    finally:
        os.chdir("/")
        shutil.rmtree(commons.folder)


@pytest.mark.long
def test_settings_that_only_root_may_read_are_faulty_settings_also_when_named(commons: Shell) -> None:
    """The exit code is not that of wrong usage, so that the operator of a service that does not start looks at its
    settings."""
    try:
        (commons.folder / "genbridge.yaml").chmod(0o600)
        said = _as_nobody("--config", str(commons.folder / "genbridge.yaml"), "status")
        assert (said.returncode, said.stderr) == (
            78,
            f"genbridge: {commons.folder}/genbridge.yaml: cannot be read: Permission denied\n",
        )
    finally:
        shutil.rmtree(commons.folder)


def _as_nobody(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return completed(*words, folder=folder, env={"HOME": "/", "XDG_CONFIG_HOME": "/.config"}, user=NOBODY)


def test_the_queue_is_suggested_only_if_it_can_be_used(shell: Shell) -> None:
    shell.settings({"store": "missing/state.db"})
    (shell.folder / "missing").write_text("no folder")
    assert "drop a file" not in shell("add", "a").err
    shell.settings({**SETTINGS, "sources": {"queue": "queue"}})
    (shell.folder / "state.db").write_bytes(b"no database" * 500)
    said = shell("add", "a")
    assert said.code == 1
    assert "drop a file" not in said.err


def test_the_name_of_an_existing_file_is_not_an_id(shell: Shell) -> None:
    (path := shell.folder / "ids.list").write_text("a\n")
    said = shell("add", str(path))
    assert (said.code, said.out) == (2, "")
    assert f"is a file name: use `genbridge add - < {path}`" in said.err
