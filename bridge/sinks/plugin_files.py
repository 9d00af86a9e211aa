"""Extensions of Apprise's plugins: files in memory for all of them; for Matrix, players and a separate plain text."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

_PLAYS = {"video": "m.video", "audio": "m.audio"}


@lru_cache
def held_file(memory: Any) -> Any:
    """Apprise's attachment in memory, extended for plugins that open its path. `memory` is its class, a parameter
    because only one file imports Apprise.

    Mailgun, Matrix, Mastodon, Pushbullet and others do that. They get a temporary file, which `stack` removes.
    """

    class HeldFile(memory):  # type: ignore[misc]
        def __init__(self, *, stack: ExitStack, **options: Any) -> None:
            super().__init__(**options)
            self._stack = stack
            self._written: str | None = None

        @property
        def path(self) -> str:
            if self._written is None:
                folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="genbridge-"))
                file = Path(folder, self.name)
                with self.open() as content:
                    file.write_bytes(content.read())
                self._written = str(file)
            return self._written

    return HeldFile


def improve_matrix(plugin: Any) -> None:
    """Make a Matrix plugin send videos and audio as such, send no empty text after files, and send `plain_text` in
    addition to HTML."""
    kind: Any = type(plugin)
    plugin.__class__ = _better_matrix(kind)


@lru_cache
def _better_matrix(base: Any) -> Any:
    # Private methods, because Apprise offers no extension point. tests/sinks/test_matrix.py tests them with a real
    # server.
    class BetterMatrix(base):  # type: ignore[misc]
        plain_text = ""

        def _fetch(self, path: str, payload: Any = None, **options: Any) -> Any:
            if isinstance(payload, Mapping) and "msgtype" in payload:
                if not payload.get("body"):
                    return True, {}, 200
                media_type = str(payload.get("info", {}).get("mimetype", ""))
                if payload["msgtype"] == "m.file":
                    payload = {**payload, "msgtype": _PLAYS.get(media_type.partition("/")[0], "m.file")}
            return super()._fetch(path, payload=payload, **options)

        def _e2ee_send_to_room(self, room_id: str, body: str, *args: Any, **options: Any) -> Any:
            return super()._e2ee_send_to_room(room_id, body, *args, **options) if body else True

        def _matrix_plain_fallback(self, body: str, *args: Any) -> Any:
            return (body and self.plain_text) or super()._matrix_plain_fallback(body, *args)

    return BetterMatrix
