"""Where the store is without a setting: two projects never share one, and an unused store causes a warning."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.config.settings_file import read_settings
from bridge.store import Store, open_store
from bridge.wiring.store_location import is_service, place_store
from tests.cli.shell import Shell
from tests.daemon_process import DaemonProcess
from tests.factories import NOW, make_wish
from tests.world import World, drop, running_world, until

KLING = {"provider": "kling", "base_url": "https://one.example.com", "api_key": "k", "action": "videos/text2video"}


@pytest.fixture
def state(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of the user."""
    monkeypatch.setenv("XDG_STATE_HOME", str(shell.folder / "state"))
    return shell.folder / "state"


def project(folder: Path, **accounts: dict[str, Any]) -> Path:
    """A settings file without `store`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "genbridge.yaml"
    path.write_text(json.dumps({"accounts": accounts or {"kling": KLING}}))
    path.chmod(0o600)
    return path


def place(shell: Shell, settings: Path) -> str:
    """The store that `check` names."""
    said = shell("check", "-c", str(settings))
    [line] = [line for line in said.out.splitlines() if line.startswith("ok      store: ")]
    return line.split()[2]


@contextmanager
def common_store(state: Path) -> Iterator[Store]:
    """The store that all settings files without `store` shared in earlier versions."""
    store = open_store(state / "genbridge/state.db", create=True, group_access=False)
    yield store
    store.close()


def as_of_version_1(path: Path) -> None:
    """Remove from a store what version 1 did not write."""
    connection = sqlite3.connect(path)
    connection.execute("UPDATE store SET settings = NULL, base_urls = '{}'")
    connection.commit()
    connection.close()


def test_each_settings_file_has_its_own_store_in_the_same_folder(shell: Shell, state: Path) -> None:
    one, other = project(shell.folder / "one"), project(shell.folder / "other")
    assert shell("add", "task-one-1", "-c", str(one)).code == 0
    assert shell("add", "task-two-2", "-c", str(other)).code == 0
    assert [row["id"] for row in shell("list", "--json", "-c", str(one)).json] == ["task-one-1"]
    assert [row["id"] for row in shell("list", "--json", "-c", str(other)).json] == ["task-two-2"]
    folder = one.parent / ".genbridge"
    assert (folder / ".gitignore").read_text() == "*\n"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "state.db").stat().st_mode) == 0o600
    assert not state.exists()


def test_the_folder_of_the_store_is_its_owners_with_any_umask(shell: Shell, state: Path) -> None:
    settings = project(shell.folder)
    before = os.umask(0o777)
    try:
        assert shell("add", "a", "-c", str(settings)).code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((shell.folder / ".genbridge").stat().st_mode) == 0o700


def test_two_projects_with_the_same_account_never_poll_each_others_tasks(shell: Shell, state: Path) -> None:
    with running_world(World()) as one, running_world(World()) as other:
        for world, name in ((one, "one"), (other, "other")):
            settings = world.settings(project(shell.folder / name).parent)
            written = json.loads(settings.read_text())
            del written["store"]
            settings.write_text(json.dumps(written))
        with (
            DaemonProcess(shell.folder / "one/genbridge.yaml"),
            DaemonProcess(shell.folder / "other/genbridge.yaml"),
        ):
            until((shell.folder / "one/queue").is_dir, seconds=15, what="the queue folder")
            until((shell.folder / "other/queue").is_dir, seconds=15, what="the other queue folder")
            drop(shell.folder / "one/queue", "a.txt", "task-of-one\n")
            until(lambda: len(one.polls) >= 2, seconds=15, what="polls")
        assert other.polls == []


@pytest.mark.parametrize("command", ["list", "status", "explain", "show", "deliveries", "withdraw", "wait"])
def test_every_other_command_says_no_store_yet_and_creates_nothing(command: str, shell: Shell, state: Path) -> None:
    settings = project(shell.folder / "one")
    needs_id = command in {"explain", "show", "withdraw"}
    said = shell(command, *(["a-task"] if needs_id else []), "-c", str(settings))
    assert said.code == 69
    assert "no store yet" in said.err
    assert f"{settings.parent}/.genbridge/state.db" in said.err
    assert [entry.name for entry in settings.parent.iterdir()] == ["genbridge.yaml"]


def test_all_spellings_of_one_path_mean_one_store(shell: Shell, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = project(shell.folder / "one")
    (shell.folder / "linked").symlink_to(settings.parent)
    monkeypatch.chdir(settings.parent)
    spellings = [
        "genbridge.yaml",
        "./genbridge.yaml",
        "../one/genbridge.yaml",
        "../linked/genbridge.yaml",
        str(settings),
    ]
    assert {place(shell, Path(one)) for one in spellings} == {f"{settings.parent}/.genbridge/state.db"}


def test_a_linked_settings_file_uses_the_store_beside_the_real_file(shell: Shell, state: Path) -> None:
    settings = project(shell.folder / "one")
    link = shell.folder / "elsewhere/mine.yaml"
    link.parent.mkdir()
    link.symlink_to(settings)
    shell("add", "task-one-1", "-c", str(settings))
    assert place(shell, link) == f"{settings.parent}/.genbridge/state.db"


def test_settings_in_the_config_folder_have_the_state_folder(shell: Shell, state: Path) -> None:
    settings = project(shell.folder / "config/genbridge")
    assert place(shell, settings) == f"{state}/genbridge/state.db"
    assert shell("add", "task-one-1", "-c", str(settings)).code == 0
    assert not (settings.parent / ".genbridge").exists()
    link = shell.folder / "dotfiles.yaml"
    link.symlink_to(settings)
    assert place(shell, link) == f"{state}/genbridge/state.db"


def test_a_moved_folder_takes_its_store_along(shell: Shell, state: Path) -> None:
    settings = project(shell.folder / "one")
    shell("add", "task-one-1", "-c", str(settings))
    moved = shell.folder / "moved"
    settings.parent.rename(moved)
    assert [row["id"] for row in shell("list", "--json", "-c", str(moved / settings.name)).json] == ["task-one-1"]


def test_the_former_common_store_is_adopted_by_the_settings_whose_accounts_match(shell: Shell, state: Path) -> None:
    mine, theirs = (
        project(shell.folder / "mine"),
        project(shell.folder / "theirs", kling={**KLING, "base_url": "https://two"}),
    )
    with common_store(state) as store:
        store.add([make_wish(account="kling", task_id="old-task")], source="cli", now=NOW)
        store.belong(None, {"kling": KLING["base_url"]})
    assert place(shell, theirs) == f"{theirs.parent}/.genbridge/state.db", "the same name at another host"
    assert "unfinished tasks (1 of kling)" in shell("check", "-c", str(theirs)).out
    assert [row["id"] for row in shell("list", "--json", "-c", str(mine)).json] == ["old-task"]
    assert shell("add", "new-task", "-c", str(mine)).code == 0
    twin = project(shell.folder / "twin")
    assert place(shell, twin) == f"{twin.parent}/.genbridge/state.db", "it is the first one's by now"
    assert "unfinished tasks" not in shell("check", "-c", str(twin)).out
    assert place(shell, mine) == f"{state}/genbridge/state.db"
    mine.parent.rename(shell.folder / "moved")
    assert place(shell, shell.folder / "moved/genbridge.yaml") == f"{state}/genbridge/state.db"


def test_a_store_is_adopted_if_the_settings_have_all_of_its_accounts(shell: Shell, state: Path) -> None:
    with common_store(state) as store:
        store.add([make_wish(account="kling", task_id="old-task")], source="cli", now=NOW)
        store.belong(None, {"kling": KLING["base_url"]})
    more = project(shell.folder / "more", kling=KLING, other=KLING)
    assert place(shell, more) == f"{state}/genbridge/state.db"
    without = project(shell.folder / "without", other=KLING)
    assert place(shell, without) == f"{without.parent}/.genbridge/state.db"


def test_a_slash_at_the_end_of_a_base_url_makes_no_difference(shell: Shell, state: Path) -> None:
    with common_store(state) as store:
        store.add([make_wish(account="kling", task_id="old-task")], source="cli", now=NOW)
        store.belong(None, {"kling": KLING["base_url"]})
    mine = project(shell.folder / "mine", kling={**KLING, "provider": "own", "base_url": None})
    provider = {"extends": "kling", "base_url": f"{KLING['base_url']}/"}
    mine.write_text(json.dumps({**json.loads(mine.read_text()), "providers": {"own": provider}}))
    assert place(shell, mine) == f"{state}/genbridge/state.db"


def test_the_first_settings_file_that_runs_adopts_a_version_1_store(shell: Shell, state: Path) -> None:
    mine, other = project(shell.folder / "mine"), project(shell.folder / "other")
    common = state / "genbridge/state.db"
    with common_store(state) as store:
        store.add([make_wish(account="kling", task_id="old-task")], source="cli", now=NOW)
    as_of_version_1(common)
    for words in (["check"], ["status"]):
        said = shell(*words, "-c", str(mine))
        assert said.code == 0
        assert (
            f"{common}, which settings files without `store` shared before, will belong to {mine}"
            in said.out + said.err
        )
        assert "unfinished tasks (1 of kling)" in said.out + said.err
    assert [row["id"] for row in shell("list", "--json", "-c", str(mine)).json] == ["old-task"]
    with DaemonProcess(mine) as daemon:
        until(lambda: "daemon.ready" in daemon.log.read_text(), seconds=15, what="the start")
    adopted = [json.loads(line) for line in daemon.log.read_text().splitlines() if "store.adopted" in line]
    assert [(line["level"], line["store"], line["settings"]) for line in adopted] == [
        ("warning", str(common), str(mine))
    ]
    assert place(shell, mine) == str(common)
    assert place(shell, other) == f"{other.parent}/.genbridge/state.db"
    for words in (["check"], ["status"]):
        said = shell(*words, "-c", str(mine))
        assert "shared before" not in said.out + said.err
    with DaemonProcess(mine) as daemon:
        until(lambda: daemon.log.read_text().count("daemon.ready") == 2, seconds=15, what="a second start")
    assert daemon.log.read_text().count("store.adopted") == 1


def test_a_version_1_store_with_an_unknown_account_only_causes_a_warning(shell: Shell, state: Path) -> None:
    mine, common = project(shell.folder / "mine"), state / "genbridge/state.db"
    with common_store(state) as store:
        store.add([make_wish(account="kling", task_id="old-task")], source="cli", now=NOW)
        store.add([make_wish(account="of-another", task_id="other-task")], source="cli", now=NOW)
    as_of_version_1(common)
    said = shell("check", "-c", str(mine))
    assert said.code == 0
    assert f"{common}, which settings files without `store` shared before, is not used" in said.out
    assert f"write `store: {common}`" in said.out
    assert place(shell, mine) == f"{mine.parent}/.genbridge/state.db"
    written = json.loads(mine.read_text())
    mine.write_text(json.dumps({**written, "store": str(common)}))
    assert len(shell("list", "--json", "-c", str(mine)).json) == 2


def test_a_store_of_version_1_needs_no_variables_to_be_found(shell: Shell, state: Path) -> None:
    mine = project(shell.folder / "mine", kling={**KLING, "base_url": "https://${NOWHERE_SET_HOST}"})
    with common_store(state) as store:
        store.add([make_wish(account="kling", task_id="old-task")], source="cli", now=NOW)
    as_of_version_1(state / "genbridge/state.db")
    assert [row["id"] for row in shell("list", "--json", "-c", str(mine)).json] == ["old-task"]


def test_a_store_of_version_1_without_unfinished_tasks_is_adopted_by_name(shell: Shell, state: Path) -> None:
    mine = project(shell.folder / "mine")
    with common_store(state) as store:
        wish = make_wish(account="kling", task_id="old-task")
        store.add([wish], source="cli", now=NOW)
        store.withdraw([wish.key], now=NOW)
    as_of_version_1(state / "genbridge/state.db")
    assert place(shell, mine) == f"{state}/genbridge/state.db"


def test_an_unwritable_folder_moves_the_store_to_the_state_folder(shell: Shell, state: Path) -> None:
    one, other = project(shell.folder / "one"), project(shell.folder / "other")
    for settings in (one, other):
        (settings.parent / ".genbridge").write_text("a file in the way")
    places = {place(shell, settings) for settings in (one, other)}
    assert len(places) == 2
    assert all(Path(found).parent.parent == state / "genbridge" for found in places)
    assert shell("add", "task-one-1", "-c", str(one)).code == 0
    (one.parent / ".genbridge").unlink()
    assert [row["id"] for row in shell("list", "--json", "-c", str(one)).json] == ["task-one-1"], "it stays where it is"


def test_a_store_folder_of_another_user_is_named_in_a_warning() -> None:
    if os.geteuid() != 0:
        pytest.skip("acting as another user needs root (run the tests as root)")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        file = read_settings(project(Path(name) / "one"))
        (Path(name) / "one/.genbridge").mkdir(mode=0o700)
        assert place_store(file, {"HOME": name}).warning is None
        os.seteuid(65534)
        try:
            placed = place_store(file, {"HOME": name})
        finally:
            os.seteuid(0)
    assert str(placed.place).startswith(f"{name}/.local/state/genbridge/")
    assert str(placed.warning).startswith(f"{name}/one/.genbridge belongs to another user")


def test_a_user_without_a_home_folder_has_the_store_beside_the_settings(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = project(shell.folder / "one")
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)  # a user that the system does not know
    assert place(shell, settings) == str(shell.folder / "one/.genbridge/state.db")
    assert shell("add", "task-one-1", "-c", str(settings)).code == 0
    assert [row["id"] for row in shell("list", "--json", "-c", str(settings)).json] == ["task-one-1"]


def test_the_closed_home_of_another_user_causes_no_warning() -> None:
    if os.geteuid() != 0:
        pytest.skip("acting as another user needs root (run the tests as root)")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        file = read_settings(project(Path(name) / "one"))
        home = Path(name) / "home"
        home.mkdir(mode=0o700)
        os.chown(file.path.parent, 65534, 65534)
        os.seteuid(65534)
        try:
            placed = place_store(file, {"HOME": str(home)})
        finally:
            os.seteuid(0)
    assert (str(placed.place), placed.warning) == (f"{name}/one/.genbridge/state.db", None)


def test_a_store_named_in_the_settings_stays_there(shell: Shell, state: Path) -> None:
    settings = project(shell.folder / "one")
    settings.write_text(json.dumps({"accounts": {"kling": KLING}, "store": "data/here.db"}))
    assert place(shell, settings) == f"{settings.parent}/data/here.db"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write /etc")
def test_settings_under_etc_have_the_services_store_by_any_spelling(shell: Shell, state: Path) -> None:
    folder = Path(f"/etc/genbridge-test-{os.getpid()}")
    try:
        settings = project(folder)
        (shell.folder / "linked").symlink_to(folder)
        (shell.folder / "file.yaml").symlink_to(settings)
        for spelling in (settings, shell.folder / "linked/genbridge.yaml", shell.folder / "file.yaml"):
            assert is_service(spelling.absolute())
        assert not is_service(Path("/etc/../srv/genbridge.yaml"))
    finally:
        shutil.rmtree(folder)
