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
    from xdist.workermanage import WorkerController

ROOT: Final = Path(__file__).parent / "conftest.py"  # its module fixtures cost nothing


class Distribution(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist has no types
    """Gives each process the next test when it has finished one, or the next file if its tests run together."""

    def __init__(self, config: pytest.Config, log: Producer, *, together: Collection[str]) -> None:
        super().__init__(config, log)
        self._together = together  # folders whose files run as a whole, too: messages would take as long as their tests

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Forget what a process has finished. Otherwise each message would count all of it again, 20 s in all."""
        super().mark_test_complete(node, item_index, duration)
        units = self.assigned_work[node]
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(units[scope].values()):
            del units[scope]

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
