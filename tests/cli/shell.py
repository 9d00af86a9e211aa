"""Calls commands in this process, in a separate folder, and records their output."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge.cli import outcome
from bridge.store import Store, open_store

ONE_ACCOUNT: dict[str, Any] = {
    "kling": {
        "provider": "kling",
        "base_url": "https://api.example.com",
        "api_key": "${KLING_KEY}",
        "action": "videos/text2video",
    }
}
SETTINGS: dict[str, Any] = {
    "store": "state.db",
    "accounts": ONE_ACCOUNT,
    "endpoints": {
        "hook": {"type": "webhook", "url": "http://127.0.0.1:9/hook"},
        "chat": {"type": "apprise", "urls": ["json://127.0.0.1:9/chat"]},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The exit code, stdout and stderr of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


def change(settings: Path, **changes: Any) -> None:
    """Replace these keys of a settings file."""
    settings.write_text(json.dumps({**json.loads(settings.read_text()), **changes}))


class Shell:
    """`shell("list", "--json")` runs a command; `stdin` is what it reads (None: closed)."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._capsys = capsys
        self._patch = patch

    def __call__(self, *words: str, stdin: bytes | None = b"") -> Said:
        self._capsys.readouterr()
        self._patch.setattr(sys, "stdin", None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            code = outcome(list(words))
        finally:
            structlog.reset_defaults()  # the log of `run` and `once` goes only to the stderr of this call
            logging.getLogger().handlers.clear()
        out, err = self._capsys.readouterr()
        return Said(code=code, out=out, err=err)

    @property
    def err_so_far(self) -> str:
        """What the running command has written to stderr so far. Other threads use this."""
        captured = sys.stderr.buffer
        assert isinstance(captured, io.BytesIO)
        return captured.getvalue().decode()

    def settings(self, changes: Mapping[str, Any] | None = None, *, name: str = "genbridge.yaml") -> Path:
        """Write the usual settings with these changes. (JSON is YAML.)"""
        path = self.folder / name
        path.write_text(json.dumps({**SETTINGS, **(changes or {})}))
        path.chmod(0o600)
        return path

    def store(self) -> Store:
        """The store of the usual settings. The caller closes it."""
        return open_store(self.folder / "state.db", create=True, group_access=False)
