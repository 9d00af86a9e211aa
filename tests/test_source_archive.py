"""The source archive has the right files, and its wheel equals the wheel of the checkout."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

import bridge

pytestmark = pytest.mark.usefixtures("unmeasured")

ROOT: Final = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, the wheel built from it, and that of the checkout."""
    folder = tmp_path_factory.mktemp("built")
    build("--sdist", ROOT, folder)
    with tarfile.open(folder / f"genbridge-{bridge.__version__}.tar.gz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # since Python 3.11.4
        archive.extractall(folder)
    build("--wheel", folder / f"genbridge-{bridge.__version__}", folder / "from_archive")
    build("--wheel", ROOT, folder / "from_checkout")
    return folder


def build(what: str, source: Path, to: Path) -> None:
    """Build with the installed packages, without a network."""
    command: Sequence[str | Path] = [sys.executable, "-m", "build", "--no-isolation", what, "--outdir", to, source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def files_of(folder: Path) -> dict[str, int]:
    """The files of the only wheel there, with their checksums."""
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


@pytest.mark.long
def test_the_source_archive_holds_what_an_installation_and_its_tests_need(built: Path) -> None:
    source = built / f"genbridge-{bridge.__version__}"
    for name in ("systemd/install", "Containerfile", "compose.yaml", "constraints.txt", "config.example.yaml"):
        assert (source / name).is_file(), name
    for name in ("README.md", "README.zh-CN.md", "docs/man.py", "docs/faq.md", "tests/conftest.py", "LICENSE"):
        assert (source / name).is_file(), name
    assert not (source / ".ci").exists()
    assert not list(source.rglob("*.pyc"))
    assert (source / "systemd/install").stat().st_mode & 0o111


@pytest.mark.long
def test_the_wheel_of_the_source_archive_is_the_one_of_the_checkout(built: Path) -> None:
    assert files_of(built / "from_archive") == files_of(built / "from_checkout")
