"""The man pages say what `--help` and the docs say, and are correct roff."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import click
import pytest

from bridge.cli import COMMANDS, command_called

ROOT: Final = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, ROOT / "docs/man.py", folder], check=True, timeout=60)
    return folder


def plain(page: Path) -> str:
    """The text of the page without formatting."""
    found = re.sub(r"\\f[BR]|\\&", "", page.read_text())
    return found.replace("\\-", "-").replace("\\(dq", '"').replace("\\e", "\\")


def test_the_man_page_genbridge_1_has_every_command_with_every_option(pages: Path) -> None:
    page = plain(pages / "genbridge.1")
    sections = dict(re.findall(r'^\.SS "([\w-]+)"\n(.*?)(?=^\.S[SH] )', page, re.MULTILINE | re.DOTALL))
    assert sections.keys() >= COMMANDS.keys()
    for name in COMMANDS:
        params = command_called(name).params
        for option in (param for param in params if isinstance(param, click.Option) and not param.hidden):
            longest = max(option.opts, key=len)
            assert longest in sections[name] or longest in {"--config", "--help"}, f"{name} {longest}"


def test_the_man_page_genbridge_yaml_5_has_every_key_of_the_docs(pages: Path) -> None:
    page = plain(pages / "genbridge.yaml.5")
    keys = re.findall(r"^\| `([\w.]+)` \|", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE)
    assert len(keys) > 50
    assert [key for key in keys if f"\n{key}\n" not in page] == []


@pytest.mark.real
@pytest.mark.parametrize("name", ["genbridge.1", "genbridge.yaml.5"])
def test_groff_formats_a_page_without_a_warning(name: str, pages: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("the man pages were not formatted: no groff (install groff-base)")
    command = ["groff", "-man", "-Tutf8", "-ww", "-Kutf8", str(pages / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert "GENBRIDGE" in done.stdout
