"""How pytest-xdist distributes tests over processes: one by one, but some files as a whole."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

ROOT: Final = Path(__file__).parent / "conftest.py"  # its module fixtures cost nothing


class Distribution(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist has no types
    """Gives each process the next test when it has finished one, or the next file if its tests run together."""

    def __init__(self, config: pytest.Config, log: Producer, *, together: Collection[str]) -> None:
        super().__init__(config, log)
        self._together = together  # folders whose files run as a whole, too: messages would take as long as their tests

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        path = self.config.rootpath / file
        return file if path.parent.name in self._together or run_together(path) else nodeid


@cache
def run_together(path: Path) -> bool:
    """Whether the tests of this file run in one process, one after the other. They do if they are marked `together`.
    They also do if they share a module fixture of the file or its folder, because each process would set it up
    again."""
    texts = [file.read_text() for file in (path, path.parent / "conftest.py") if file.exists() and file != ROOT]
    return any("pytest.mark.together" in text or 'scope="module"' in text for text in texts)
