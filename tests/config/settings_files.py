"""Settings files for tests: minimal valid settings, and functions that load a text from a real file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from bridge.config import load
from bridge.config.load import Loaded
from bridge.errors import ConfigError

LEAST: Final = """\
accounts:
  kling:
    provider: kling
    base_url: https://api.example.com
    api_key: "${KLING_API_KEY}"
endpoints:
  automation:
    type: webhook
    url: https://hooks.example.com/kling
"""
SIGNING: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "genbridge.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    path.chmod(0o600)
    return path


def loaded(folder: Path, text: str | bytes) -> Loaded:
    return load.load(written(folder, text), {})


def resolved(folder: Path, text: str, env: Mapping[str, str] | None = None) -> Loaded:
    return load.resolve(loaded(folder, text), {"KLING_API_KEY": "the-kling-key"} if env is None else env)


def problems(folder: Path, text: str | bytes, *, env: Mapping[str, str] | None = None) -> list[str]:
    """The mistakes in a settings file, without the folder's name. With `env`, also those that are found when it is
    resolved."""
    read = partial(loaded, folder, text) if env is None else partial(load.resolve, loaded(folder, text), env)
    with pytest.raises(ConfigError) as caught:
        read()
    assert all(line.isprintable() for line in caught.value.problems)
    return [line.removeprefix(f"{folder}/") for line in caught.value.problems]
