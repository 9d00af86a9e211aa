"""A prompt in an empty folder, with settings and nothing else of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import Shell


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
