"""Fixtures for commands: an empty folder with settings, a filled store, and a simulated provider and receiver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.task import Phase, ReadingKind
from bridge.domain.watch import Memory
from bridge.store import Store
from tests.cli.kept_tasks import BAD, DONE, FAR, LIVE
from tests.cli.shell import Shell
from tests.factories import NOW, make_wish
from tests.store.making import Teller, make_attempt, make_deferred, make_end, make_note
from tests.world import World, running_world


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    for variable in ("GENBRIDGE_CONFIG", "GENBRIDGE_STORE", "XDG_STATE_HOME", "NO_COLOR", "NOTIFY_SOCKET"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    shell = Shell(tmp_path, capsys, monkeypatch)
    shell.settings()
    return shell


@pytest.fixture
def store(shell: Shell) -> Iterator[Store]:
    """Three tasks: one succeeded and its delivery was accepted, one failed and its delivery is dead, and one runs."""
    store = shell.store()
    wishes = [
        make_wish(task_id="done", label="A film", meta={"order": 7, "nested": {"a": [1]}}, action="videos/text2video"),
        make_wish(task_id="bad", action="videos/text2video"),
        make_wish(task_id="live", label="\u202eevil", action="videos/text2video"),
    ]
    store.add(wishes, source="queue", now=NOW)
    tell = Teller(("hook", ""))
    store.note(
        [
            make_note(LIVE, next_poll_at=FAR),
            make_note(DONE, memory=Memory(polls=1), kind=ReadingKind.TRANSIENT, detail="502 \x1b[2J"),
        ]
    )
    store.commit([make_end(DONE)], tell)
    failed = make_end(BAD, phase=Phase.FAILED, reason="risk control", snapshot=None)
    store.commit([failed], tell)
    first, second = store.due("hook", "", now=FAR, limit=9)[0]
    store.commit([make_deferred(first, next_attempt_at=NOW + 70)], tell)
    [again] = [one for one in store.due("hook", "", now=FAR, limit=9)[0] if one.delivery_id == first.delivery_id]
    store.commit([make_attempt(again, at=NOW + 71)], tell)
    store.commit([make_attempt(second, state=DeliveryState.DEAD, outcome="refused", detail="HTTP 500")], tell)
    yield store
    store.close()


@pytest.fixture
def world(shell: Shell) -> Iterator[World]:
    """A simulated provider and receiver. The settings of the shell point to them."""
    with running_world(World()) as running:
        running.settings(shell.folder)
        yield running
