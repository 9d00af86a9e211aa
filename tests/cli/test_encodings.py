"""Output in other encodings than UTF-8, as in a shell with the locale zh_CN.GBK."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.cli.shell import Shell

LABEL = "雨中的灯塔 🎬"


@pytest.mark.parametrize(
    ("encoding", "label"),
    [
        ("utf-8", LABEL),
        ("gbk", r"雨中的灯塔 \U0001f3ac"),
        ("latin-1", r"\u96e8\u4e2d\u7684\u706f\u5854 \U0001f3ac"),
    ],
)
def test_characters_that_the_encoding_lacks_are_escaped(encoding: str, label: str, shell: Shell) -> None:
    shell("add", "a", "--label", LABEL)
    for words in (["list"], ["explain", "a"]):
        assert label.encode(encoding) in _out(shell, encoding, *words)


@pytest.mark.parametrize("encoding", ["gbk", "latin-1"])
def test_json_is_utf_8_in_every_encoding(encoding: str, shell: Shell) -> None:
    shell("add", "a", "--label", LABEL)
    [task] = json.loads(_out(shell, encoding, "list", "--json").decode())
    assert task["label"] == LABEL


def _out(shell: Shell, encoding: str, *words: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "bridge", *words],
        cwd=shell.folder,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout
