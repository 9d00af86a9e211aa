"""How pytest-xdist distributes tests over processes: one by one, but some files as a whole.

Long tests mostly wait for real time to pass. If all processes began with them, the cores would have little to do at
first, and too much later. So additional processes take the files with long tests, while the others run the rest.
"""

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
    """Gives each process the next test when it has finished one, or the next file if its tests run together.

    `together` are folders whose files run as a whole, too: messages would take as long as their tests. The first `most`
    processes take the files with long tests after all others. Further processes take only files with long tests."""

    def __init__(self, config: pytest.Config, log: Producer, *, together: Collection[str], most: int) -> None:
        super().__init__(config, log)
        self._together = together
        self._most = most

    def _assign_work_unit(self, node: WorkerController) -> None:
        wanted = self._next_for(node)
        if wanted is not None:
            self.workqueue.move_to_end(wanted, last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if not self._is_additional(node) or self._next_for(node) is not None:
            super()._reschedule(node)
        elif not node.shutting_down:
            node.shutdown()

    def _next_for(self, node: WorkerController) -> str | None:
        """The next tests of the kind that the process prefers; None if there are no more."""
        root, is_additional = self.config.rootpath, self._is_additional(node)
        return next(
            (unit for unit in self.workqueue if has_long(root / unit.partition("::")[0]) is is_additional), None
        )

    def _is_additional(self, node: WorkerController) -> bool:
        return int(node.gateway.id.removeprefix("gw")) >= self._most

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        path = self.config.rootpath / file
        return file if path.parent.name in self._together or run_together(path) else nodeid


@cache
def has_long(path: Path) -> bool:
    """Whether any test of this file is long."""
    return "pytest.mark.long" in path.read_text()


@cache
def run_together(path: Path) -> bool:
    """Whether the tests of this file run in one process, one after the other. They do if they are marked `together`.
    They also do if they share a module fixture of the file or its folder, because each process would set it up
    again."""
    texts = [file.read_text() for file in (path, path.parent / "conftest.py") if file.exists() and file != ROOT]
    return any("pytest.mark.together" in text or 'scope="module"' in text for text in texts)
