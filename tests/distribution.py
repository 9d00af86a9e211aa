"""How pytest-xdist distributes tests over processes: one by one, but some files as a whole."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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

    def _pending_of(self, workload: dict[str, dict[str, bool]]) -> int:
        """Forget the finished tests. Otherwise all of them would be counted again after each test."""
        for scope in [scope for scope, tests in workload.items() if all(tests.values())]:
            del workload[scope]
        return sum(list(tests.values()).count(False) for tests in workload.values())


def report_less(config: pytest.Config) -> None:
    """Let this process send only what pytest's output shows: per test one report, not five. Each takes as long as an
    empty test."""
    [worker] = [each for each in config.pluginmanager.get_plugins() if hasattr(each, "sendevent")]
    send = worker.sendevent

    def send_news(name: str, **event: Any) -> None:
        report = event.get("data", {})
        is_plain = report.get("when") in {"setup", "teardown"} and report["outcome"] == "passed"
        if not is_plain and name not in {"logstart", "logfinish"}:
            send(name, **event)

    worker.sendevent = send_news


@cache
def run_together(path: Path) -> bool:
    """Whether the tests of this file run in one process, one after the other. They do if they are marked `together`.
    They also do if they share a module fixture of the file or its folder, because each process would set it up
    again."""
    texts = [file.read_text() for file in (path, path.parent / "conftest.py") if file.exists() and file != ROOT]
    return any("pytest.mark.together" in text or 'scope="module"' in text for text in texts)
