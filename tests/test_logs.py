from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import structlog

from bridge import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def logged(form: str) -> str:
    stream = io.StringIO()
    logs.hide(["s3cret-and", "s3cret-and-more"])
    logs.set_up(level="debug", form=form, stream=stream)
    error = ValueError("refused: " + "-".join(["s3cret", "and", "more"]))  # the traceback shows this line, too
    try:
        raise error
    except ValueError:
        logs.get_logger().exception("poll.bug", reason="s3cret-and", task_ids=["s3cret-and", "a\x1b[2Jb"])
    return stream.getvalue()


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_secret_shows_in_values_lists_or_tracebacks(form: str) -> None:
    said = logged(form)
    assert "ValueError: refused: ***" in said
    assert "s3cret-and" not in said
    assert "-more" not in said


def test_control_characters_never_reach_the_terminal() -> None:
    assert "\x1b[2J" not in logged("console")
