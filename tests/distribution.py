"""How pytest-xdist distributes tests over processes: one by one, but some files as a whole."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from xdist.scheduler import LoadScopeScheduling

ROOT: Final = Path(__file__).parent / "conftest.py"  # its module fixtures cost nothing


class Distribution(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist has no types
    """Gives each process the next test when it has finished one, or the next file if its tests run together."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if run_together(self.config.rootpath / file) else nodeid


@cache
def run_together(path: Path) -> bool:
    """Whether the tests of this file run in one process, one after the other. They do if they are marked `together`.
    They also do if they share a module fixture of the file or its folder, because each process would set it up
    again."""
    texts = [file.read_text() for file in (path, path.parent / "conftest.py") if file.exists() and file != ROOT]
    return any("pytest.mark.together" in text or 'scope="module"' in text for text in texts)
