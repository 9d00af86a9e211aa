"""Files in memory for Apprise's plugins."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any


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
