"""Loading any file gives settings or a ConfigError."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.config.load import load, resolve
from bridge.errors import ConfigError
from tests.config.settings_files import LEAST, written

WORDS = st.sampled_from(
    (
        *(
            "accounts",
            "kling",
            "provider",
            "base_url",
            "api_key",
            "action",
            "limits",
            "rate",
            "headers",
            "endpoints",
            "a",
        ),
        *(
            "type",
            "webhook",
            "apprise",
            "url",
            "urls",
            "secret",
            "title",
            "routes",
            "topics",
            "polling",
            "min_interval",
        ),
        *(
            "not_found",
            "delivery",
            "retries",
            "log",
            "level",
            "store",
            "http://a",
            "${X}",
            "file:/x",
            "json://x",
            "[key]",
        ),
        *(
            "5s",
            "0",
            "-1",
            "1e999",
            "",
            "~",
            "{{ a }}",
            "{%",
            "\x00",
            "\ud800",
            "é",
            "whsec_",
            "template",
            "newapi",
            "credential:x",
            "task_failed",
        ),
    )
)
VALUES = st.recursive(
    WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=30,
)


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    text = "".join(f"\\U{ord(char):08x}" if char in '"\\' or not char.isprintable() else char for char in str(value))
    return f'"{text}"' if text != "~" else "~"


ACCOUNT = st.fixed_dictionaries(
    {"provider": st.just("kling"), "base_url": st.just("http://a") | WORDS, "api_key": st.just("k") | WORDS},
    optional=dict.fromkeys(("action", "limits", "headers", "proxy", "ca_file"), VALUES),
)
WEBHOOK = st.fixed_dictionaries(
    {"type": st.just("webhook"), "url": st.just("http://a") | WORDS},
    optional=dict.fromkeys(
        ("api_key", "secret", "headers", "proxy", "ca_file", "format", "template", "body", "concurrency"), VALUES
    ),
)
APPRISE = st.fixed_dictionaries(
    {"type": st.just("apprise"), "urls": st.lists(WORDS, max_size=3)},
    optional={"title": st.text(), "body": WORDS | st.text()},
)
SHAPED = st.fixed_dictionaries(
    {"accounts": st.dictionaries(st.just("kling") | WORDS, ACCOUNT, max_size=2)},
    optional={
        "endpoints": st.dictionaries(st.just("e") | WORDS, WEBHOOK | APPRISE | VALUES, max_size=3),
        **dict.fromkeys(("store", "sources", "routes", "polling", "delivery", "retention", "sharing", "log"), VALUES),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.usefixtures("unmeasured")
@given(
    st.one_of(st.text(), st.binary(), VALUES.map(_flow), SHAPED.map(_flow), st.text().map(lambda text: LEAST + text))
)
def test_any_input_gives_settings_or_a_config_error(tmp_path: Path, data: str | bytes) -> None:
    lines: tuple[str, ...] = ()
    path = written(tmp_path, data)
    try:
        resolve(load(path, {}), {"X": "x\n"})
    except ConfigError as error:
        lines = error.problems
        assert lines
    for line in lines:
        assert line.isprintable()
        assert re.match(rf"{re.escape(str(path))}:[1-9][0-9]*:[1-9][0-9]*: ", line)
