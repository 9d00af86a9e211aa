"""`pipx` and `uv tool` install, upgrade and remove genbridge as docs/installing.md says, without a network.

`GENBRIDGE_INSTALLERS` is a folder with both programs; uv's cache already holds everything to install (`UV_CACHE_DIR`).
`GENBRIDGE_CHECKOUT` is the checkout that is installed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import bridge

DOCS = (Path(__file__).parents[1] / "docs/installing.md").read_text()
NEEDED = ("GENBRIDGE_INSTALLERS", "UV_CACHE_DIR", "GENBRIDGE_CHECKOUT")


class Installer:
    """One of the two programs, with a home of its own."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.bin = home / ".local/bin"
        self._checkout = Path(os.environ["GENBRIDGE_CHECKOUT"])
        self._env = {
            "HOME": str(home),
            "PATH": f"{os.environ['GENBRIDGE_INSTALLERS']}:{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "PIPX_DEFAULT_BACKEND": "uv",  # installs in a tenth of the time, and from its cache
            "UV_CACHE_DIR": os.environ["UV_CACHE_DIR"],
            "UV_CONSTRAINT": str(self._checkout / "constraints.txt"),
            "UV_OFFLINE": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }

    def documented(self, pattern: str) -> str:
        """The command of this installer in the docs."""
        found = re.search(rf"{self.name} {pattern}", DOCS)
        assert found is not None, f"docs/installing.md names no such command of {self.name}"
        return found[0]

    def run(self, command: str) -> str:
        done = subprocess.run(
            shlex.split(command), env=self._env, cwd=self._checkout, capture_output=True, text=True, timeout=110
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(params=["pipx", "uv"])
def installer(request: pytest.FixtureRequest, tmp_path: Path) -> Installer:
    if lacking := [name for name in NEEDED if name not in os.environ]:
        pytest.skip(f"pipx and uv were not tried (.ci/run does it): {', '.join(lacking)} not set")
    return Installer(request.param, tmp_path)


@pytest.mark.wheel
@pytest.mark.real
@pytest.mark.timeout(240)
def test_the_documented_commands_install_upgrade_and_remove_genbridge(installer: Installer) -> None:
    install = installer.documented(r"(?:tool )?install \.")
    installer.run(install)
    assert bridge.__version__ in installer.run("genbridge --version")
    assert "kling" in installer.run("genbridge providers")
    assert (installer.bin / "genbridge").resolve().is_relative_to(installer.bin.parent), "not from its own folder"
    installer.run(f"{install} --force")
    assert bridge.__version__ in installer.run("genbridge --version")
    installer.run(installer.documented(r"(?:tool )?uninstall genbridge"))
    assert not (installer.bin / "genbridge").exists()
