"""A forked daemon is a process like one that was started from scratch."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from bridge import __version__
from tests.fork_server import started
from tests.world import until


def test_a_forked_command_has_its_own_words_environment_folder_and_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Path("out").open("wb") as out, Path("err").open("wb") as err:
        shown = started(["--version"], os.environ, out=out.fileno(), err=err.fileno())
        refused = started(["list"], {**os.environ, "GENBRIDGE_CONFIG": "none.yaml"}, out=out.fileno(), err=err.fileno())
        assert (shown.wait(30), refused.wait(30)) == (0, 78)
    assert Path("out").read_text().strip().endswith(__version__)
    assert "none.yaml" in Path("err").read_text()


def test_a_forked_command_can_be_signaled_and_is_waited_for(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        kept = started(["simulate", "--listen", "127.0.0.1:0"], os.environ, out=log.fileno(), err=log.fileno())
    until(lambda: bool((tmp_path / "log").read_text()), seconds=10, what="the simulator")
    with pytest.raises(subprocess.TimeoutExpired):
        kept.wait(0.05)
    assert Path(f"/proc/{kept.pid}/stat").read_text().split()[3] == str(os.getpid())
    kept.kill()
    assert kept.wait(10) == -signal.SIGKILL
